#include "cli/machine/kept_states.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/memory_link.h"
#include "core/virtual_scheduler.h"
#include "storage/replica_protocol.h"
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

  // Why another host's stream is refused; empty: it is not.
  std::string hello(Daemon& daemon, const std::string& vm, Epoch epoch) {
    const auto network = hub_.network("b", scheduler_);
    const auto link =
        network->connect(daemon.links->endpoint(), std::string(replica_protocol::service));
    std::string why;
    link->set_handler({[&why](const std::string& bytes) {
                         const auto frame = replica_protocol::decode(bytes);
                         if (!frame.ok()) return;
                         if (const auto* refuse = std::get_if<replica_protocol::Refuse>(&*frame))
                           why = refuse->why;
                       },
                       [](const absl::Status&) {}});
    link->send(
        replica_protocol::encode(replica_protocol::Hello{vm, "b", epoch, 0, 0, {{epoch, 1}}}));
    scheduler_.run_for(absl::Seconds(1));
    return why;
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

TEST_F(KeptStatesTest, AFileThatWasBeingReplacedIsRemoved) {
  {
    Daemon first(*this, "boot 1");
  }
  std::ofstream(folder_ / "volumes" / "main.web2.new-12") << "{\"vm\":";
  Daemon second(*this, "boot 1");
  EXPECT_TRUE(second.loaded.ok()) << second.loaded;
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "volumes"));
}

TEST_F(KeptStatesTest, ADamagedFileStaysAndItsVmHasNoDiskHereUntilAPersonRemovesIt) {
  {
    Daemon first(*this, "boot 1");
    create(first);
    EXPECT_TRUE(serve(first, 7).ok());
  }
  const auto file = folder_ / "volumes" / "main.new-web1";
  for (const bool renamed : {false, true}) {
    SCOPED_TRACE(renamed);
    auto damaged = file;
    if (renamed) {
      // Its own, under the name of another's.
      std::filesystem::rename(folder_ / "kept", file);
      damaged = folder_ / "volumes" / "main.web2";
      std::filesystem::rename(file, damaged);
    } else {
      std::filesystem::copy_file(file, folder_ / "kept");
      std::ofstream(file) << "{\"vm\":";
    }
    Daemon next(*this, "boot 1");
    EXPECT_TRUE(next.loaded.ok()) << next.loaded;
    EXPECT_TRUE(next.volumes.list().empty());
    absl::StatusOr<VolumeStatus> answer;
    next.volumes.create(vm_, 0, into(answer));
    scheduler_.run_for(absl::Seconds(1));
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kFailedPrecondition) << answer.status();
    EXPECT_NE(answer.status().message().find(damaged.string()), std::string::npos)
        << answer.status();
    EXPECT_NE(hello(next, vm_, 3).find("is damaged"), std::string::npos)
        << "a stream of an epoch below the lost fence";
    EXPECT_TRUE(std::filesystem::exists(damaged));
    std::filesystem::remove(damaged);
    create(next);
    next.volumes.destroy(vm_, {});
  }
  EXPECT_TRUE(fatal_.ok()) << fatal_;
}

TEST_F(KeptStatesTest, ANameThatNoVmHasIsRefusedAtTheDoor) {
  const std::vector<std::string> bad = {absl::StrCat("main/", std::string(300, 'x')),
                                        "main/\xff\xfe", "new-web1", "main/a/b", "main/"};
  {
    Daemon daemon(*this, "boot 1");
    create(daemon);
    for (const std::string& name : bad) {
      EXPECT_NE(hello(daemon, name, 3).find("is no VM's name"), std::string::npos) << name;
      absl::StatusOr<VolumeStatus> answer;
      daemon.volumes.create(name, 0, into(answer));
      scheduler_.run_for(absl::Seconds(1));
      EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument) << answer.status();
    }
    EXPECT_EQ(daemon.volumes.list().size(), 1U);
  }
  EXPECT_TRUE(fatal_.ok()) << fatal_;
  Daemon next(*this, "boot 1");
  EXPECT_TRUE(next.loaded.ok()) << next.loaded;
  EXPECT_EQ(next.volumes.list().size(), 1U);
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
