// Nodes that are frozen and thawed once others have taken over, in part and as a whole, and nodes that are told at once to run one VM: one copy
// executes after that, and the other gets nothing done before it is stopped.
#include <unistd.h>

#include "tests/process/qemu_nodes.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

class QemuFrozenTest : public QemuNodesTest {
 protected:
  // A copy of b's that c has taken over from.
  void create_what_may_be_taken_over() {
    start_nodes();
    create("disk_loss = \"bounded-loss\"\nloss_bound = \"1h\"\n");
    EXPECT_TRUE(eventually([&] { return fence("c") > 0; }, patience));
  }
  // How long that process has executed.
  static absl::Duration executed(pid_t process) {
    const std::string stat = content("/proc/" + std::to_string(process) + "/stat");
    const std::size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) return absl::ZeroDuration();
    unsigned long user = 0, system = 0;
    EXPECT_EQ(std::sscanf(stat.c_str() + name_end + 2,
                          "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
              2);
    return absl::Seconds(1) * static_cast<double>(user + system) /
           static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  // The copy that was on b is gone or frozen, and what runs goes on at c.
  void expect_that_c_alone_runs_it() {
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience))
        << copies("b") << " copies on b, " << copies("c") << " on c, runs on " << runs_on();
    EXPECT_EQ(runs_on(), "c");
    end(console_, SIGTERM);
    open_console();
    expect_it_goes_on();
    destroy_and_expect_nothing_left();
  }
};

TEST_F(QemuFrozenTest, ADaemonThatIsThawedAfterATakeoverFindsItsGuestStoppedAndEndsIt) {
  create_what_may_be_taken_over();
  const auto guest = keeper("b");
  ASSERT_TRUE(guest && guest->guest > 1);
  ::kill(nodes_.at("b"), SIGSTOP);
  EXPECT_TRUE(eventually([&] { return runs_on() == "c"; }, patience));
  const auto stopped = keeper("b");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->phase, KeeperState::Phase::frozen) << "its keeper needs no daemon for that";
  const absl::Duration before = executed(guest->guest);
  ::kill(nodes_.at("b"), SIGCONT);
  EXPECT_TRUE(eventually([&] { return copies("b") == 0; }, patience));
  EXPECT_LE(executed(guest->guest) - before, absl::ZeroDuration()) << "gone, or where it was";
  expect_that_c_alone_runs_it();
}

// As when the machine that all of them are on is frozen. Who of them is thawed first is nobody's choice: the worst is the guest.
TEST_F(QemuFrozenTest,
       ANodeThatIsThawedAsAWholeAfterATakeoverStopsItsGuestBeforeItGetsAnythingDone) {
  create_what_may_be_taken_over();
  const auto state = keeper("b");
  const pid_t keeps = keeper_process("b");
  ASSERT_TRUE(state && state->guest > 1 && keeps > 1);
  const std::vector<pid_t> all = {state->guest, keeps, nodes_.at("b")};
  for (const pid_t process : all) ::kill(process, SIGSTOP);
  EXPECT_TRUE(eventually([&] { return runs_on() == "c"; }, patience));
  ASSERT_EQ(copies("b"), 1);
  const absl::Duration before = executed(state->guest);
  absl::Duration after = before;
  for (const pid_t process : all) ::kill(process, SIGCONT);
  EXPECT_TRUE(eventually(
      [&] {
        if (const absl::Duration now = executed(state->guest); now > after) after = now;
        return copies("b") == 0;
      },
      patience));
  std::printf("daemon, keeper and guest: it executed for %s after it was thawed\n",
              absl::FormatDuration(after - before).c_str());
  // The time that a process has had is counted in hundredths of a second; its keeper is woken at once.
  EXPECT_LE(after - before, absl::Milliseconds(100));
  expect_that_c_alone_runs_it();
}

TEST_F(QemuFrozenTest, OfTwoNodesThatAreToldAtOnceToRunOneVmOneDoes) {
  start_nodes();
  const std::string file = write(
      "vm.toml", "name = \"web1\"\nmemory = \"32MiB\"\naddress = \"10.1.0.1\"\nimage = \"tiny\"\n");
  for (const char* node : {"b", "c"})
    ASSERT_TRUE(eventually(
        [&] {
          const Said said = run({"vm", "create", file, "--node", node, "--wait"});
          return said.code == 0 && run({"vm", "destroy", "web1", "--wait"}).code == 0;
        },
        patience))
        << node << " is not known";
  for (int round = 0; round < 5; ++round) {
    SCOPED_TRACE(round);
    ASSERT_TRUE(eventually([&] { return copies("b") + copies("c") == 0; }, patience));
    std::map<std::string, pid_t> creators;
    for (const char* node : {"b", "c"})
      creators[node] = start({"vm", "create", file, "--node", node, "--wait"},
                             std::string(node) + ".made", std::string(node) + ".not");
    // Who is late finds it as it was to be, wherever that is.
    for (const auto& [node, creator] : creators)
      EXPECT_EQ(ended(creator, patience), 0) << output(node + ".made") << output(node + ".not");
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    const std::string on = runs_on();
    for (const char* node : {"b.made", "c.made"}) EXPECT_THAT(output(node), HasSubstr(" on " + on));
    EXPECT_EQ(copies(on == "b" ? "c" : "b"), 0);
    if (round < 4) {
      EXPECT_EQ(run({"vm", "destroy", "web1", "--wait"}).code, 0);
    }
  }
  open_console();
  expect_it_goes_on();
  destroy_and_expect_nothing_left();
}

// To and fro a hundred times, a guest that writes 2,000 pages a second.
TEST_F(QemuFrozenTest, AHundredMovesLeaveItsMemoryWholeAndTheDaemonsAsTheyWere) {
  constexpr int moves = 100, first = 10;  // by then they have what they will have
  struct Daemon {
    long descriptors = 0, kib = 0;
  };
  start_nodes();
  create("prepared = [\"b\", \"c\"]\n");
  const auto look = [&](const std::string& node) {
    const files::path process = "/proc/" + std::to_string(nodes_.at(node));
    Daemon daemon;
    daemon.descriptors =
        std::distance(files::directory_iterator(process / "fd"), files::directory_iterator());
    std::istringstream status(content(process / "status"));
    for (std::string word; status >> word;)
      if (word == "VmRSS:") status >> daemon.kib;
    return daemon;
  };
  std::map<std::string, Daemon> before;
  int aborted = 0;
  for (int i = 0; i < moves; ++i) {
    SCOPED_TRACE(i);
    if (i == first)
      for (const char* node : {"b", "c"}) before[node] = look(node);
    const std::string target = i % 2 == 0 ? "c" : "b";
    // On a machine that is busy a blackout may last too long: then the guest goes on where it was, and is moved again.
    ASSERT_TRUE(eventually(
        [&] {
          const bool moved = run({"vm", "migrate", "web1", target}).code == 0;
          aborted += moved ? 0 : 1;
          return moved;
        },
        patience));
    EXPECT_EQ(heard().restarts, 0);
  }
  EXPECT_EQ(runs_on(), "b");
  expect_it_goes_on();
  for (const char* node : {"b", "c"}) {
    const Daemon now = look(node), then = before[node];
    std::printf("%s after %d moves, and after %d: %ld and %ld descriptors, %.1f and %.1f MiB\n",
                node, first, moves, then.descriptors, now.descriptors,
                static_cast<double>(then.kib) / 1024, static_cast<double>(now.kib) / 1024);
    EXPECT_LE(now.descriptors, then.descriptors + 2) << "a command that asks has a connection";
    EXPECT_LE(now.kib, then.kib + (12 << 10)) << "90 moves kept more than 12 MiB";
  }
  std::printf("%d moves; %d were tried again\n", moves, aborted);
  EXPECT_LE(aborted, moves / 5);
  destroy_and_expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
