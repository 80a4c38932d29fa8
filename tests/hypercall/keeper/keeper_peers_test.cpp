// What others do to a keeper's socket, and what is said there.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/hypercall/keeper/keeper_fixture.h"

namespace supercloud {
namespace {

using Phase = KeeperState::Phase;

class KeeperPeers : public KeeperProcessTest {
 protected:
  int connected() {
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    options.socket.copy(address.sun_path, options.socket.size());
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string said_on(int fd) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 20'000) <= 0) return "nothing";
    char packet[256];
    const ssize_t size = ::recv(fd, packet, sizeof packet, 0);
    return size <= 0 ? "gone" : std::string(packet, static_cast<std::size_t>(size));
  }
};

TEST_F(KeeperPeers, are_told_what_would_have_been_a_command) {
  start();
  const int peer = connected();
  const std::string digits(60'000, '1');
  for (const std::string& packet :
       {std::string("arm"), std::string("arm "), std::string("arm -1"), std::string("arm 1 2"),
        std::string("arm 0x10"), std::string("arm 9223372036854775808"),
        std::string("thaw 00000000000000000001"), std::string("STATUS"), std::string("status\n"),
        std::string("kill\0", 5), std::string("\0", 1), "arm " + digits, digits}) {
    ASSERT_EQ(::send(peer, packet.data(), packet.size(), 0), static_cast<ssize_t>(packet.size()));
    EXPECT_TRUE(absl::StrContains(said_on(peer), "error no such command; say status"))
        << packet.substr(0, 40);
  }
  EXPECT_EQ(state().deadline, std::nullopt);
  EXPECT_TRUE(all_go_on());
  ::close(peer);
}

TEST_F(KeeperPeers, who_do_not_read_keep_nobody_waiting) {
  start();
  const int deaf = connected();
  ASSERT_GT(::send(deaf, "watch", 5, 0), 0);
  // Until the keeper has had enough.
  const Instant begin = now();
  while (::send(deaf, "status", 6, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 || errno == EAGAIN)
    if (now() - begin > patience) break;
  EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET) << "it was not cut off";
  const absl::StatusOr<KeeperState> armed = client->arm(now());
  ASSERT_TRUE(armed.ok()) << armed.status();
  EXPECT_EQ(armed->phase, Phase::frozen);
  ::close(deaf);
}

TEST_F(KeeperPeers, of_whom_there_are_many_are_turned_away_and_the_deadline_is_kept) {
  start();
  ASSERT_EQ(phase(), Phase::running);  // has its connection by now
  const Instant deadline = now() + absl::Milliseconds(300);
  ASSERT_TRUE(client->arm(deadline).ok());
  std::vector<int> peers;
  for (int i = 0; i < 1000; ++i) peers.push_back(connected());
  ASSERT_TRUE(told_frozen());
  EXPECT_LT(last_executed() - deadline, stop_time);
  EXPECT_EQ(phase(), Phase::frozen);
  int turned_away = 0;
  for (const int peer : peers) {
    if (::send(peer, "status", 6, MSG_NOSIGNAL) < 0 || said_on(peer) == "gone") ++turned_away;
    ::close(peer);
  }
  EXPECT_GT(turned_away, 900);
  EXPECT_LT(turned_away, 1000);
  // And there is room again.
  EXPECT_TRUE(eventually([&] {
    const int peer = connected();
    const bool served = ::send(peer, "status", 6, MSG_NOSIGNAL) > 0 && said_on(peer) != "gone";
    ::close(peer);
    return served;
  }));
}

TEST_F(KeeperPeers, hear_what_was_asked_for_only) {
  start();
  const int watcher = connected();
  const int silent = connected();
  ASSERT_GT(::send(watcher, "watch", 5, 0), 0);
  EXPECT_TRUE(absl::StrContains(said_on(watcher), "running deadline=none freezes=0 "));
  ASSERT_TRUE(client->arm(now()).ok());
  EXPECT_TRUE(absl::StrContains(said_on(watcher), "frozen "));
  ASSERT_TRUE(client->thaw(now() + absl::Seconds(60)).ok());
  EXPECT_TRUE(absl::StrContains(said_on(watcher), "running "));
  client->kill(Reply<KeeperState>());
  // The end is for everybody.
  EXPECT_EQ(said_on(watcher), "ended signal=9");
  EXPECT_EQ(said_on(watcher), "gone");
  EXPECT_EQ(said_on(silent), "ended signal=9");
  ::close(watcher);
  ::close(silent);
}

// By the freezer of the first kind, whose frozen processes a signal does not kill.
TEST_F(KeeperPeers, stop_with_the_first_cgroup_freezer_too) {
  options.freezer = "cgroup";
  options.cgroup = "/sys/fs/cgroup/freezer";
  if (::access((options.cgroup + "/tasks").c_str(), W_OK) != 0)
    GTEST_SKIP() << "no freezer of the first cgroups here";
  start({"family"}, 4);
  EXPECT_EQ(state().freezer, "cgroup1");
  ASSERT_TRUE(client->arm(now()).ok());
  EXPECT_TRUE(stands_still());
  ASSERT_TRUE(client->thaw(now() + absl::Seconds(60)).ok());
  EXPECT_TRUE(all_go_on());
  ASSERT_TRUE(client->arm(now()).ok());
  const pid_t keeper = keeper_process();
  ASSERT_GT(keeper, 1);
  ::kill(keeper, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !told.empty() && told.back().phase == Phase::ended; }));
  EXPECT_TRUE(stands_still());
  const absl::Status swept = sweep();
  EXPECT_TRUE(swept.ok()) << swept;
  EXPECT_TRUE(nothing_is_left());
}

// It may have no lock yet: who sweeps would take it for dead, and it would go on.
TEST_F(KeeperPeers, are_not_left_a_keeper_that_is_late) {
  options.program = (folder / "late").string();
  const std::string pid_file = (folder / "pid").string();
  std::ofstream(options.program) << "#!/bin/sh\necho $$ > " << pid_file << "\nexec sleep 60\n";
  std::filesystem::permissions(options.program, std::filesystem::perms::owner_all);
  const absl::Status started = start_client();
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_TRUE(absl::StrContains(started.message(), "does not answer")) << started;
  pid_t late = 0;
  std::ifstream(pid_file) >> late;
  ASSERT_GT(late, 1);
  EXPECT_TRUE(eventually([&] { return !lives(late); }));
}

TEST_F(KeeperPeers, are_told_when_no_cgroup_freezes) {
  options.freezer = "cgroup";
  options.cgroup = folder.string();  // is none
  const absl::Status started = start_client();
  EXPECT_TRUE(absl::StrContains(started.message(), "take --freezer signal")) << started;
  std::filesystem::remove_all(folder / keeper::cgroup_name(options.socket));
}

TEST(KeeperAnswers, are_read_whole_or_refused) {
  const absl::StatusOr<KeeperState> state =
      parse_keeper_answer("freezing deadline=12 freezes=3 pid=77 freezer=cgroup2");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->phase, Phase::freezing);
  EXPECT_EQ(state->deadline, Instant{12});
  EXPECT_EQ(state->freezes, 3U);
  EXPECT_EQ(state->guest, 77);
  EXPECT_EQ(state->freezer, "cgroup2");
  EXPECT_EQ(parse_keeper_answer("running deadline=none freezes=0 pid=1 freezer=x")->deadline,
            std::nullopt);
  EXPECT_EQ(parse_keeper_answer("ended exit=3")->end, "exit=3");
  EXPECT_TRUE(absl::IsFailedPrecondition(parse_keeper_answer("error a; b").status()));
  for (const char* nonsense :
       {"", "error", "ended", "ended exit=", "ended exit=1 2", "ended by=1", "running",
        "running deadline=none freezes=0 pid=1", "running deadline= freezes=0 pid=1 freezer=x",
        "running deadline=1 freezes=x pid=1 freezer=x",
        "running freezes=0 deadline=1 pid=1 freezer=x",
        "frozen deadline=1 freezes=0 pid=1 freezer=x y"})
    EXPECT_TRUE(absl::IsInvalidArgument(parse_keeper_answer(nonsense).status())) << nonsense;
}

TEST(KeeperCommands, are_those_of_the_grammar) {
  using Verb = keeper::Command::Verb;
  EXPECT_EQ(keeper::parse("status")->verb, Verb::status);
  EXPECT_EQ(keeper::parse("arm 5")->verb, Verb::arm);
  EXPECT_EQ(keeper::parse("arm 9223372036854775807")->deadline, INT64_MAX);
  EXPECT_EQ(keeper::parse("thaw 0")->verb, Verb::thaw);
  for (const char* nonsense :
       {"", " ", "arm", "arm ", "arm  5", "arm 5 ", "arm -5", "arm +5", "thaw", "thawed 5"})
    EXPECT_FALSE(keeper::parse(nonsense)) << nonsense;
}

}  // namespace
}  // namespace supercloud
