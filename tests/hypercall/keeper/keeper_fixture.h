// A keeper, its guest that counts, and what they leave behind, in a folder of their own.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hypercall/keeper/keeper_client.h"
#include "hypercall/keeper/protocol.h"
#include "tests/hypercall/keeper/counting_guest.h"
#include "tests/hypercall/keeper/guest_guard.h"
#include "tests/hypercall/keeper/left_cgroup.h"

namespace supercloud {

inline constexpr Duration patience = absl::Seconds(30);
// delta of rule 8, in which a guest may still execute: FencePolicy's.
inline constexpr Duration stop_time = absl::Milliseconds(200);

class KeeperProcessTest : public testing::Test {
 protected:
  KeeperProcessTest() {
    std::string made =
        (std::filesystem::temp_directory_path() / "supercloud-keeper-XXXXXX").string();
    folder = ::mkdtemp(made.data());
    guard.watch(folder);
    options.program = environment("SUPERCLOUD_KEEPER");
    options.socket = (folder / "keeper").string();
    options.output = (folder / "output").string();
    options.guest = {environment("SUPERCLOUD_COUNTING_GUEST"), (folder / "count").string()};
    const int fd = ::open(options.guest[1].c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_EQ(::ftruncate(fd, sizeof(CountingPage)), 0);
    page = static_cast<CountingPage*>(
        ::mmap(nullptr, sizeof(CountingPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ::close(fd);
  }
  ~KeeperProcessTest() override {
    client.reset();
    if (auto left = KeeperClient::find(loop, options.socket, nullptr); left.ok()) {
      bool gone = false;
      (*left)->kill(Reply<KeeperState>(far_future, [&](const auto&) { gone = true; }));
      EXPECT_TRUE(loop.run_until([&] { return gone; }, patience));
    }
    EXPECT_TRUE(nothing_is_left());
    ::munmap(page, sizeof(CountingPage));
    std::error_code error;
    std::filesystem::remove_all(folder, error);
  }

  static std::string environment(const char* name) {
    const char* value = ::getenv(name);
    EXPECT_NE(value, nullptr) << name << ": meson sets it";
    return value == nullptr ? "" : value;
  }

  Instant now() const { return loop.clock().now(); }
  bool eventually(absl::FunctionRef<bool()> holds, Duration limit = patience) {
    const Instant end = now() + limit;
    while (!holds()) {
      if (now() > end) return false;
      pass(absl::Milliseconds(1));
    }
    return true;
  }
  void pass(Duration time) {
    bool due = false;
    loop.at(now() + time, [&] { due = true; });
    loop.run_until([&] { return due; }, patience);
  }

  absl::Status start_client(std::vector<std::string> more = {}) {
    options.guest.insert(options.guest.end(), more.begin(), more.end());
    std::optional<absl::Status> started;
    KeeperClient::start(
        loop, options, [this](const KeeperState& state) { told.push_back(state); },
        Reply<std::unique_ptr<KeeperClient>>(
            far_future, [&](absl::StatusOr<std::unique_ptr<KeeperClient>> made) {
              started = made.status();
              if (made.ok()) client = *std::move(made);
            }));
    EXPECT_TRUE(loop.run_until([&] { return started.has_value(); }, patience));
    return started.value_or(absl::UnknownError("no reply"));
  }
  // And waits until so many threads count.
  void start(const std::vector<std::string>& more = {}, int threads = 1) {
    const absl::Status started = start_client(more);
    ASSERT_TRUE(started.ok()) << started;
    ASSERT_TRUE(eventually([&] {
      int counting = 0;
      for (const CountedThread& thread : page->thread) counting += thread.count > 2 ? 1 : 0;
      return counting == threads;
    }));
  }
  absl::Status sweep() {
    std::optional<absl::Status> swept;
    KeeperClient::sweep(
        loop, options,
        Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { swept = done.status(); }));
    EXPECT_TRUE(loop.run_until([&] { return swept.has_value(); }, patience));
    return swept.value_or(absl::UnknownError("no reply"));
  }
  KeeperState state() {
    const absl::StatusOr<KeeperState> answer = client->status();
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or(KeeperState{});
  }
  KeeperState::Phase phase() { return state().phase; }

  bool told_frozen() {
    return eventually(
        [&] { return !told.empty() && told.back().phase == KeeperState::Phase::frozen; });
  }

  std::vector<std::uint64_t> counts() const {
    std::vector<std::uint64_t> all;
    for (const CountedThread& thread : page->thread) all.push_back(thread.count);
    return all;
  }
  // No thread of the guest executes for a while.
  bool stands_still() {
    const std::vector<std::uint64_t> before = counts();
    pass(absl::Milliseconds(50));
    return counts() == before;
  }
  // Each that ever counted goes on.
  bool all_go_on() {
    const std::vector<std::uint64_t> before = counts();
    return eventually([&] {
      const std::vector<std::uint64_t> after = counts();
      for (std::size_t i = 0; i < after.size(); ++i)
        if (before[i] > 0 && after[i] == before[i]) return false;
      return true;
    });
  }
  // Of all its threads.
  Instant last_executed() const {
    std::int64_t last = 0;
    for (const CountedThread& thread : page->thread)
      last = std::max<std::int64_t>(last, thread.last_ns);
    return {last};
  }

  static bool lives(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string stat;
    std::getline(file, stat);
    return stat.rfind(')') + 2 < stat.size() && stat[stat.rfind(')') + 2] != 'Z';
  }
  bool no_process_is_left() {
    return eventually([&] {
      for (const CountedThread& thread : page->thread)
        if (thread.process > 0 && lives(thread.process)) return false;
      return true;
    });
  }
  bool no_cgroup_is_left() const { return !cgroup_is_left_of(options.socket); }
  bool nothing_is_left() {
    EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(options.socket); }));
    return no_process_is_left() && eventually([&] { return no_cgroup_is_left(); });
  }
  // The parent of the guest's process. 0: it is not known; never to be killed, for that is the test's own group.
  pid_t keeper_process() {
    std::ifstream file("/proc/" + std::to_string(state().guest) + "/stat");
    std::string stat;
    std::getline(file, stat);
    const std::size_t name_end = stat.rfind(')');
    return name_end == std::string::npos ? 0 : std::atoi(stat.substr(name_end).c_str() + 4);
  }

  EventLoop loop;
  std::filesystem::path folder;
  GuestGuard guard;
  KeeperOptions options;
  CountingPage* page = nullptr;
  std::unique_ptr<KeeperClient> client;
  std::vector<KeeperState> told;
};

}  // namespace supercloud
