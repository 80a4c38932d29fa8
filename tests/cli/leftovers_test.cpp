#include "cli/guests/leftovers.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "hypercall/keeper/protocol.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

// A process whose command line names the folder, and that ends by itself with this one.
class LeftoversTest : public testing::Test {
 protected:
  LeftoversTest() {
    std::string pattern = (files::temp_directory_path() / "supercloud-leftovers-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~LeftoversTest() override {
    if (input_[1] >= 0) ::close(input_[1]);
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      write(cgroup_ / "cgroup.freeze", "0");
      write(cgroup_ / "freezer.state", "THAWED");
      ::waitpid(process_, nullptr, 0);
    }
    if (!cgroup_.empty()) ::rmdir(cgroup_.c_str());
    std::error_code error;
    files::remove_all(folder_, error);
  }

  void start() {
    ASSERT_EQ(::pipe2(input_, O_CLOEXEC), 0);
    process_ = ::fork();
    ASSERT_GE(process_, 0);
    if (process_ == 0) {
      ::dup2(input_[0], 0);
      ::execl("/bin/sh", "sh", "-c", "read word", (folder_ / "guest").c_str(), nullptr);
      ::_exit(127);
    }
    ::close(input_[0]);
    EXPECT_TRUE(eventually([&] {
      return read("/proc/" + std::to_string(process_) + "/cmdline").find(folder_.string()) !=
             std::string::npos;
    }));
  }
  // False: not on this machine, by this user.
  bool freeze_in(const files::path& hierarchy) {
    const files::path cgroup =
        hierarchy / (std::string(keeper::cgroup_name_begin) + std::to_string(::getpid()));
    if (::mkdir(cgroup.c_str(), 0755) != 0) return false;
    cgroup_ = cgroup;
    return write(cgroup_ / "cgroup.procs", std::to_string(process_)) &&
           ((write(cgroup_ / "cgroup.freeze", "1") &&
             eventually([&] { return read(cgroup_ / "cgroup.events").ends_with("frozen 1\n"); })) ||
            (write(cgroup_ / "freezer.state", "FROZEN") &&
             eventually([&] { return read(cgroup_ / "freezer.state") == "FROZEN\n"; })));
  }
  bool ended() {
    if (process_ <= 0 || ::waitpid(process_, nullptr, WNOHANG) != process_) return process_ <= 0;
    process_ = 0;
    return true;
  }

  static bool write(const files::path& file, const std::string& text) {
    std::ofstream to(file, std::ios::in | std::ios::out);
    return static_cast<bool>(to << text << std::flush);
  }
  static std::string read(const files::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  template <class F>
  static bool eventually(F holds) {
    for (int i = 0; i < 10'000; ++i) {
      if (holds()) return true;
      ::poll(nullptr, 0, 1);
    }
    return false;
  }

  files::path folder_, cgroup_;
  pid_t process_ = 0;
  int input_[2] = {-1, -1};
};

TEST_F(LeftoversTest, WhatNamesTheFolderIsEndedAndTheFolderIsRemoved) {
  start();
  {
    const Leftovers leftovers({folder_});
    EXPECT_TRUE(leftovers.status().ok()) << leftovers.status();
    EXPECT_FALSE(ended());
  }
  EXPECT_TRUE(eventually([&] { return ended(); }));
  EXPECT_FALSE(files::exists(folder_));
}

class FrozenLeftovers : public LeftoversTest, public testing::WithParamInterface<const char*> {};

TEST_P(FrozenLeftovers, AreThawedEndedAndTheirCgroupIsRemoved) {
  start();
  if (!freeze_in(GetParam()))
    GTEST_SKIP() << "no cgroup can be made and frozen in " << GetParam() << " by this user";
  {
    const Leftovers leftovers({folder_});
  }
  EXPECT_TRUE(eventually([&] { return ended(); }));
  EXPECT_FALSE(files::exists(cgroup_));
  EXPECT_FALSE(files::exists(folder_));
}

TEST_P(FrozenLeftovers, AreToldOfUntilNothingOfThemIsThere) {
  start();
  if (!freeze_in(GetParam()))
    GTEST_SKIP() << "no cgroup can be made and frozen in " << GetParam() << " by this user";
  GuestKiller killer({folder_});
  EXPECT_TRUE(killer.kill());
  EXPECT_TRUE(eventually([&] { return !killer.kill(); }));
  EXPECT_TRUE(eventually([&] { return ended(); }));
  EXPECT_FALSE(files::exists(cgroup_));
}

INSTANTIATE_TEST_SUITE_P(Hierarchies, FrozenLeftovers,
                         testing::Values("/sys/fs/cgroup/freezer", "/sys/fs/cgroup/unified",
                                         "/sys/fs/cgroup"));

}  // namespace
}  // namespace supercloud
