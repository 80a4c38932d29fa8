#include "cli/machine/kept_states.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "core/memory_link.h"
#include "core/virtual_scheduler.h"
#include "storage/simulated/memory_volume.h"

namespace supercloud {
namespace {

using Role = VolumeStatus::Role;

// A daemon's volumes over one folder; each of them finds what the one before left.
class KeptStatesTest : public testing::Test {
 protected:
  struct Daemon {
    Daemon(KeptStatesTest& test, const std::string& boot)
        : states(test.folder_ / "volumes", boot,
                 [&test](absl::Status why) { test.fatal_ = std::move(why); }),
          disk(&states),
          loaded(states.load(disk)),
          links(test.hub_.network("a", test.scheduler_)),
          volumes(disk, test.scheduler_, *links, {.node = "a", .disk_bytes = 0}) {}
    KeptStates states;
    MemoryDisk disk;
    absl::Status loaded;
    std::unique_ptr<LinkNetwork> links;
    MemoryVolumeStore volumes;
  };

  KeptStatesTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sc-states-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~KeptStatesTest() override { std::filesystem::remove_all(folder_); }

  static Reply<VolumeStatus> into(absl::StatusOr<VolumeStatus>& answer) {
    return {far_future,
            [&answer](absl::StatusOr<VolumeStatus> value) { answer = std::move(value); }};
  }
  absl::Status serve(Daemon& daemon, Epoch epoch) {
    absl::StatusOr<VolumeStatus> answer = absl::UnknownError("no answer");
    daemon.volumes.serve(vm_, epoch, into(answer));
    scheduler_.run_for(absl::Seconds(1));
    return answer.status();
  }
  void create(Daemon& daemon) {
    absl::StatusOr<VolumeStatus> answer;
    daemon.volumes.create(vm_, 0, into(answer));
    scheduler_.run_for(absl::Seconds(1));
    ASSERT_TRUE(answer.ok()) << answer.status();
  }

  std::filesystem::path folder_;
  absl::Status fatal_;
  VirtualScheduler scheduler_;
  MemoryLinkHub hub_{scheduler_};
  const std::string vm_ = "main/new-web1";
};

TEST_F(KeptStatesTest, AFenceIsKnownToTheNextDaemonAndDoesNotGoBack) {
  {
    Daemon first(*this, "boot 1");
    ASSERT_TRUE(first.loaded.ok()) << first.loaded;
    create(first);
    EXPECT_TRUE(serve(first, 7).ok());
  }
  Daemon second(*this, "boot 1");
  ASSERT_TRUE(second.loaded.ok()) << second.loaded;
  ASSERT_EQ(second.volumes.list().size(), 1U);
  const VolumeStatus found = second.volumes.list()[0];
  EXPECT_EQ(found.vm, vm_);
  EXPECT_EQ(found.epoch, 7U);
  EXPECT_EQ(found.role, Role::serving);
  EXPECT_FALSE(found.crashed);
  EXPECT_EQ(serve(second, 6).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(serve(second, 8).ok());
}

TEST_F(KeptStatesTest, AfterARebootWhatWasServedHasCrashed) {
  {
    Daemon first(*this, "boot 1");
    create(first);
    EXPECT_TRUE(serve(first, 3).ok());
  }
  Daemon second(*this, "boot 2");
  ASSERT_EQ(second.volumes.list().size(), 1U);
  EXPECT_TRUE(second.volumes.list()[0].crashed);
  EXPECT_EQ(serve(second, 3).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(serve(second, 4).ok());
}

TEST_F(KeptStatesTest, WhatIsDestroyedIsForgotten) {
  {
    Daemon first(*this, "boot 1");
    create(first);
    first.volumes.destroy(vm_, {});
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "volumes"));
}

TEST_F(KeptStatesTest, ADamagedFileIsNamedAndOneThatWasBeingReplacedIsRemoved) {
  {
    Daemon first(*this, "boot 1");
  }
  std::ofstream(folder_ / "volumes" / "main.web2.new-12") << "{\"vm\":";
  {
    Daemon second(*this, "boot 1");
    EXPECT_TRUE(second.loaded.ok()) << second.loaded;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "volumes"));
  std::ofstream(folder_ / "volumes" / "main.web2") << "{\"vm\":";
  Daemon third(*this, "boot 1");
  EXPECT_EQ(third.loaded.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(third.loaded.message().find("main.web2"), std::string::npos) << third.loaded;
}

TEST_F(KeptStatesTest, WhatCannotBeKeptEndsTheNode) {
  Daemon first(*this, "boot 1");
  create(first);
  std::filesystem::remove_all(folder_ / "volumes");
  EXPECT_TRUE(fatal_.ok());
  (void)serve(first, 3);
  EXPECT_FALSE(fatal_.ok());
}

}  // namespace
}  // namespace supercloud
