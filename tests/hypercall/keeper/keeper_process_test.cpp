// The keeper's program with guests that count: what stops them, what lets them go on, and what is left when they are gone.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/hypercall/keeper/keeper_fixture.h"

namespace supercloud {
namespace {

using Phase = KeeperState::Phase;
using ::testing::HasSubstr;

// By the best way that there is here, and by signals, which there are everywhere.
class Keepers : public KeeperProcessTest, public testing::WithParamInterface<const char*> {
 protected:
  Keepers() { options.freezer = GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Ways, Keepers, testing::Values("auto", "signal"),
                         [](const auto& of) { return std::string(of.param); });

TEST_P(Keepers, freeze_when_the_deadline_passes_and_thaw_for_a_new_one_only) {
  start();
  EXPECT_EQ(state().deadline, std::nullopt);
  const Instant deadline = now() + absl::Milliseconds(100);
  const absl::StatusOr<KeeperState> armed = client->arm(deadline);
  ASSERT_TRUE(armed.ok()) << armed.status();
  EXPECT_EQ(armed->phase, Phase::running);
  EXPECT_EQ(armed->deadline, deadline);

  ASSERT_TRUE(told_frozen());
  EXPECT_LT(last_executed() - deadline, stop_time);
  EXPECT_GE(last_executed(), deadline - absl::Milliseconds(50));
  EXPECT_TRUE(stands_still());

  // Whatever the deadline is moved to, only a thaw lets it go on.
  const absl::StatusOr<KeeperState> still = client->arm(now() + absl::Seconds(60));
  ASSERT_TRUE(still.ok()) << still.status();
  EXPECT_EQ(still->phase, Phase::frozen);
  EXPECT_TRUE(absl::IsFailedPrecondition(client->disarm().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(client->thaw(now()).status()));
  EXPECT_TRUE(stands_still());
  const absl::StatusOr<KeeperState> thawed = client->thaw(now() + absl::Seconds(60));
  ASSERT_TRUE(thawed.ok()) << thawed.status();
  EXPECT_EQ(thawed->phase, Phase::running);
  EXPECT_EQ(thawed->freezes, 1U);
  EXPECT_TRUE(all_go_on());
}

TEST_P(Keepers, go_before_everyone_else_and_their_guest_does_not) {
  start();
  const int policy = ::sched_getscheduler(keeper_process());
  const pid_t guest = state().guest;
  EXPECT_EQ(::sched_getscheduler(guest), SCHED_OTHER);
  EXPECT_EQ(::getpgid(guest), guest) << "nor does it belong to the terminal of who started it";
  if (policy == SCHED_OTHER) GTEST_SKIP() << "this user may raise nobody's priority";
  EXPECT_EQ(policy & ~SCHED_RESET_ON_FORK, SCHED_FIFO);
}

TEST_P(Keepers, move_the_deadline_in_both_directions) {
  start();
  ASSERT_TRUE(client->arm(now() + absl::Milliseconds(100)).ok());
  ASSERT_TRUE(client->arm(now() + absl::Seconds(60)).ok());
  pass(absl::Milliseconds(200));
  EXPECT_EQ(phase(), Phase::running);
  EXPECT_TRUE(all_go_on());

  const Instant sooner = now() + absl::Milliseconds(20);
  ASSERT_TRUE(client->arm(sooner).ok());
  ASSERT_TRUE(eventually([&] { return phase() == Phase::frozen; }));
  EXPECT_LT(last_executed() - sooner, stop_time);

  // Without one, nothing passes.
  ASSERT_TRUE(client->thaw(now() + absl::Milliseconds(200)).ok());
  ASSERT_TRUE(client->disarm().ok());
  pass(absl::Milliseconds(300));
  EXPECT_EQ(state().deadline, std::nullopt);
  EXPECT_TRUE(all_go_on());
}

TEST_P(Keepers, have_frozen_all_of_the_guest_when_they_say_so) {
  start({"family"}, 4);
  const absl::StatusOr<KeeperState> armed = client->arm(Instant{0});
  const Instant answered = now();
  ASSERT_TRUE(armed.ok()) << armed.status();
  EXPECT_EQ(armed->phase, Phase::frozen);
  EXPECT_LT(last_executed(), answered);
  EXPECT_TRUE(stands_still());
  ASSERT_TRUE(client->thaw(now() + absl::Seconds(60)).ok());
  EXPECT_TRUE(all_go_on());
}

TEST_P(Keepers, let_nothing_that_comes_late_reach_a_frozen_guest) {
  const std::string fifo = (folder / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const int cont = ::open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  start({"fifo=" + fifo});
  ASSERT_EQ(::write(cont, "c", 1), 1);
  ASSERT_TRUE(eventually([&] { return page->bytes == 1; }));
  ASSERT_TRUE(client->arm(now()).ok());
  ASSERT_EQ(::write(cont, "c", 1), 1);
  EXPECT_TRUE(stands_still());
  EXPECT_EQ(page->bytes, 1U);
  ::close(cont);
}

// Rule 8: a daemon that is gone renews nothing.
TEST_P(Keepers, need_no_daemon) {
  int told_deadline[2];
  ASSERT_EQ(::pipe(told_deadline), 0);
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    EventLoop own;
    KeeperClient::start(
        own, options, nullptr, Reply<std::unique_ptr<KeeperClient>>(far_future, [&](auto started) {
          const Instant deadline = own.clock().now() + absl::Milliseconds(700);
          if (!started.ok() || !(*started)->arm(deadline).ok() ||
              ::write(told_deadline[1], &deadline, sizeof deadline) != sizeof deadline)
            ::_exit(1);
          started->release();  // as a daemon has it when it is killed
        }));
    own.run();
    ::_exit(1);
  }
  ::close(told_deadline[1]);
  Instant deadline;
  ASSERT_EQ(::read(told_deadline[0], &deadline, sizeof deadline), ssize_t{sizeof deadline});
  ::close(told_deadline[0]);
  ::kill(daemon, SIGKILL);
  ::waitpid(daemon, nullptr, 0);

  EXPECT_TRUE(eventually([&] { return page->thread[0].count > 2; }));
  EXPECT_LT(now(), deadline) << "this machine is too slow for the test to say anything";
  ASSERT_TRUE(eventually([&] { return last_executed() < now() - absl::Milliseconds(500); }));
  EXPECT_GT(last_executed(), deadline - absl::Milliseconds(100)) << "it did not go on until then";
  EXPECT_LT(last_executed(), deadline + stop_time);

  // The next daemon finds it stopped.
  absl::StatusOr<std::unique_ptr<KeeperClient>> found =
      KeeperClient::find(loop, options.socket, nullptr);
  ASSERT_TRUE(found.ok()) << found.status();
  client = *std::move(found);
  EXPECT_EQ(phase(), Phase::frozen);
  EXPECT_EQ(state().deadline, deadline);
  EXPECT_TRUE(stands_still());
}

// The keeper and its guest are stopped together, as in a machine that is frozen, until the deadline has passed.
TEST_P(Keepers, freeze_first_when_they_were_stopped_themselves) {
  start();
  const pid_t keeper = keeper_process();
  const pid_t guest = state().guest;
  ASSERT_GT(keeper, 1);
  ASSERT_GT(guest, 1);
  const int late = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options.socket.copy(address.sun_path, options.socket.size());
  ASSERT_EQ(::connect(late, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);

  const Instant deadline = now() + absl::Milliseconds(100);
  ASSERT_TRUE(client->arm(deadline).ok());
  ::kill(keeper, SIGSTOP);
  ::kill(guest, SIGSTOP);
  const absl::Cleanup goes_on = [keeper] { ::kill(keeper, SIGCONT); };
  ASSERT_TRUE(eventually([&] { return now() > deadline + absl::Milliseconds(50); }));
  EXPECT_TRUE(absl::IsUnavailable(client->status().status()));
  // What a daemon sent meanwhile comes too late.
  const std::string arm = absl::StrCat("arm ", (now() + absl::Seconds(60)).ns);
  ASSERT_GT(::send(late, arm.data(), arm.size(), 0), 0);

  const Instant thawed = now();
  const std::uint64_t before = page->thread[0].count;
  ::kill(guest, SIGCONT);
  ::kill(keeper, SIGCONT);
  ASSERT_TRUE(told_frozen());
  EXPECT_LT(last_executed() - thawed, stop_time);
  EXPECT_LT(page->thread[0].count - before, 4 * absl::ToInt64Milliseconds(stop_time));
  char answer[128];
  const ssize_t size = ::recv(late, answer, sizeof answer, 0);
  EXPECT_THAT(std::string(answer, static_cast<std::size_t>(std::max<ssize_t>(size, 0))),
              HasSubstr("frozen "));
  EXPECT_TRUE(stands_still());
  ::close(late);
}

TEST_P(Keepers, take_the_guest_with_them_when_they_are_killed) {
  start();
  ASSERT_TRUE(client->arm(now() + absl::Seconds(60)).ok());
  const pid_t keeper = keeper_process();
  ASSERT_GT(keeper, 1);
  ::kill(keeper, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !told.empty(); }));
  EXPECT_EQ(told.back().end, "keeper lost");
  EXPECT_TRUE(no_process_is_left());
  EXPECT_TRUE(absl::IsNotFound(client->status().status()));
  EXPECT_TRUE(absl::IsNotFound(KeeperClient::find(loop, options.socket, nullptr).status()));
  const absl::Status swept = sweep();
  EXPECT_TRUE(swept.ok()) << swept;
  EXPECT_TRUE(nothing_is_left());
}

TEST_P(Keepers, leave_nothing_when_they_were_killed_with_a_frozen_family_and_another_follows) {
  start({"family"}, 4);
  ASSERT_TRUE(client->arm(now()).ok());
  const pid_t keeper = keeper_process();
  ASSERT_GT(keeper, 1);
  ::kill(keeper, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !told.empty() && told.back().phase == Phase::ended; }));
  std::vector<pid_t> old;
  for (CountedThread& thread : page->thread) {
    old.push_back(thread.process);
    if (options.freezer == "signal" && thread.process > 0) ::kill(thread.process, SIGKILL);
    thread.process = 0;
    thread.count = 0;
  }
  page->threads = 0;
  client.reset();
  options.guest.resize(2);
  start();
  EXPECT_TRUE(eventually([&] {
    for (const pid_t process : old)
      if (process > 0 && lives(process)) return false;
    return true;
  })) << "only the guest's own process dies with its keeper, and what is in its cgroup with the "
         "next";
  EXPECT_TRUE(absl::IsFailedPrecondition(sweep()));
}

// Their socket may be gone, or not be listened to yet: only their lock tells.
TEST_P(Keepers, who_cannot_be_reached_are_not_swept_as_long_as_they_live) {
  start();
  const std::string aside = options.socket + ".aside";
  ASSERT_EQ(::rename(options.socket.c_str(), aside.c_str()), 0);
  EXPECT_TRUE(absl::IsNotFound(KeeperClient::find(loop, options.socket, nullptr).status()));
  const absl::Status swept = sweep();
  EXPECT_TRUE(absl::IsFailedPrecondition(swept));
  EXPECT_TRUE(absl::StrContains(swept.message(), "has a keeper")) << swept;
  const std::string program = std::exchange(options.program, "/nowhere/keeper");
  const absl::Status unswept = sweep();
  EXPECT_TRUE(absl::IsUnavailable(unswept)) << unswept << ": it proves nothing";
  options.program = program;
  EXPECT_TRUE(all_go_on());
  ASSERT_EQ(::rename(aside.c_str(), options.socket.c_str()), 0);
  EXPECT_EQ(phase(), Phase::running);
}

TEST_P(Keepers, who_are_stopped_hold_up_their_daemon_once_and_do_later_what_they_were_told) {
  start();
  const pid_t keeper = keeper_process();
  ASSERT_GT(keeper, 1);
  ::kill(keeper, SIGSTOP);
  const absl::Cleanup goes_on = [keeper] { ::kill(keeper, SIGCONT); };
  EXPECT_TRUE(absl::IsUnavailable(client->status().status()));
  const Instant begin = now();
  const Instant deadline = begin + absl::Seconds(60);
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(absl::IsUnavailable(client->arm(deadline - absl::Seconds(20 - i)).status()));
  EXPECT_LT(now() - begin, 2 * KeeperClient::answer_time_max) << "each of them waited";

  // Nor does looking for one keep the loop from its work.
  std::optional<absl::Status> found;
  bool worked = false;
  KeeperClient::find(loop, options.socket, nullptr,
                     Reply<std::unique_ptr<KeeperClient>>(
                         far_future, [&](auto other) { found = other.status(); }));
  EXPECT_FALSE(found.has_value());
  loop.post([&] { worked = !found.has_value(); });
  ASSERT_TRUE(loop.run_until([&] { return found.has_value(); }, patience));
  EXPECT_TRUE(absl::IsUnavailable(*found)) << *found;
  EXPECT_TRUE(worked);

  ::kill(keeper, SIGCONT);
  ASSERT_TRUE(eventually([&] { return client->status().ok(); }));
  EXPECT_EQ(state().deadline, deadline - absl::Seconds(1));
}

TEST_P(Keepers, kill_all_of_the_guest_before_they_say_so) {
  for (const bool frozen : {false, true}) {
    SCOPED_TRACE(frozen);
    page->threads = 0;
    options.guest.resize(2);
    for (CountedThread& thread : page->thread) thread.count = 0;
    told.clear();
    start({"family"}, 4);
    if (frozen) {
      ASSERT_TRUE(client->arm(now()).ok());
      ASSERT_TRUE(told_frozen());
      told.clear();
    }
    std::optional<KeeperState> end;
    client->kill(Reply<KeeperState>(far_future, [&](auto state) { end = *std::move(state); }));
    ASSERT_TRUE(loop.run_until([&] { return end.has_value(); }, patience));
    EXPECT_EQ(end->end, "signal=9");
    for (const CountedThread& thread : page->thread) EXPECT_FALSE(lives(thread.process));
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].end, "signal=9");
    EXPECT_FALSE(std::filesystem::exists(options.socket));
    EXPECT_TRUE(no_cgroup_is_left());
    EXPECT_TRUE(absl::IsNotFound(client->arm(now()).status()));
  }
}

TEST_P(Keepers, end_with_the_guest_and_say_how) {
  start({"family"}, 4);
  const pid_t guest = state().guest;
  ASSERT_GT(guest, 1);
  ::kill(guest, SIGTERM);
  ASSERT_TRUE(eventually([&] { return !told.empty(); }));
  EXPECT_EQ(told.back().end, "signal=15");
  EXPECT_TRUE(nothing_is_left()) << "what it had started does not outlive it";
}

TEST_P(Keepers, say_why_a_guest_does_not_start) {
  options.guest = {(folder / "no_such_program").string()};
  const absl::Status started = start_client();
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_TRUE(absl::StrContains(started.message(), "No such file or directory; name a program"))
      << started;
}

TEST_P(Keepers, end_with_a_guest_that_ends_at_once) {
  const absl::Status started = start_client({"exit=7"});
  if (started.ok()) {
    ASSERT_TRUE(eventually([&] { return !told.empty(); }));
    EXPECT_EQ(told.back().end, "exit=7");
  }
  EXPECT_TRUE(nothing_is_left());
}

TEST_P(Keepers, are_one_at_each_socket) {
  start();
  options.guest.resize(2);
  std::optional<absl::Status> second;
  KeeperClient::start(
      loop, options, nullptr,
      Reply<std::unique_ptr<KeeperClient>>(far_future, [&](auto made) { second = made.status(); }));
  ASSERT_TRUE(loop.run_until([&] { return second.has_value(); }, patience));
  EXPECT_TRUE(absl::IsAlreadyExists(*second)) << *second;
  EXPECT_EQ(phase(), Phase::running);
  struct stat file{};
  ASSERT_EQ(::stat(options.socket.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777U, 0600U);
}

}  // namespace
}  // namespace supercloud
