// Nodes that run real guests: the program, QEMU and keepers as they are, on this machine's loopback.
#include "tests/process/qemu_nodes.h"

namespace supercloud {
namespace {

using schema::Payload;
using testing::HasSubstr;

// Long enough to start a daemon in, on a machine that is busy.
constexpr const char* patient_leases = "[lease]\nttl = \"40s\"\nfence_after = \"30s\"\n";

TEST_F(QemuNodesTest, AGuestMovesThereAndBackAndCountsOn) {
  start_nodes();
  create();
  for (const char* target : {"c", "b"}) move_to(target);
  const auto descriptors = [&](const std::string& node) {
    const files::path folder = "/proc/" + std::to_string(nodes_.at(node)) + "/fd";
    return std::distance(files::directory_iterator(folder), files::directory_iterator());
  };
  const auto on_b = descriptors("b"), on_c = descriptors("c");
  for (const char* target : {"c", "b", "c", "b", "c", "b"}) move_to(target);
  // A command that asks just now has a connection.
  EXPECT_LE(descriptors("b"), on_b + 2);
  EXPECT_LE(descriptors("c"), on_c + 2);
  EXPECT_GE(show().value("epoch", 0), 9);
  EXPECT_THAT(output("console.err"), HasSubstr("on c"));
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, AMoveTakesTheTargetThatIsReadyAndOneThatEndsIsMadeAgain) {
  start_nodes();
  create("prepared = [\"b\", \"c\"]\n");
  const auto ready_on = [&](const std::string& node, pid_t but) {
    pid_t ready = 0;
    EXPECT_TRUE(eventually(
        [&] {
          const auto state = keeper(node);
          ready = state ? state->guest : 0;
          return ready > 1 && ready != but;
        },
        patience))
        << node;
    return ready;
  };
  const pid_t first = ready_on("c", 0);
  kill_node("c");
  start_node("c");
  const pid_t second = ready_on("c", first);
  ASSERT_GT(second, 1);
  EXPECT_NE(::kill(first, 0), 0) << "that of the daemon that was killed is gone";
  ::kill(second, SIGKILL);
  const pid_t third = ready_on("c", second);
  await_that_it_could_move_to("c");
  const Said moved = run({"vm", "migrate", "web1", "c"});
  EXPECT_EQ(moved.code, 0) << moved.out << moved.err;
  ASSERT_EQ(runs_on(), "c");
  EXPECT_EQ(ready_on("c", 0), third) << "it runs in what was ready";
  expect_it_goes_on();
  ready_on("b", 0);
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, WhatANodeCannotMakeIsRefusedWithTheCure) {
  start_nodes();
  const auto refusal = [&](const std::string& more) {
    const std::string file =
        write("other.toml", "name = \"web2\"\nmemory = \"32MiB\"\naddress = \"10.1.0.2\"\n" + more);
    const Said created = run({"vm", "create", file, "--node", "b"});
    EXPECT_NE(created.code, 0);
    return created.err;
  };
  EXPECT_THAT(refusal(""), HasSubstr("names no image to start from; write image = with one of "
                                     "this node's: tiny"));
  EXPECT_THAT(refusal("image = \"huge\"\n"), HasSubstr("none of this node's: tiny"));
  EXPECT_THAT(refusal("image = \"tiny\"\ndisk = \"64MiB\"\n"), HasSubstr("leave out its disk"));
  EXPECT_EQ(copies("b"), 0);
}

TEST_F(QemuNodesTest, AMoveToWhereItCouldNotGoOnIsRefusedBeforeAByteMoves) {
  configured_["c"] = write(
      "c.toml", node_toml("c", "own", "c", seed()) + machine("c", "other", "cpu = \"qemu64\"\n"));
  start_nodes();
  create();
  Said said;
  EXPECT_TRUE(eventually(
      [&] {
        said = run({"vm", "migrate", "web1", "c", "--dry-run"});
        return said.out.find("cpu: ") != std::string::npos;
      },
      patience));
  EXPECT_THAT(said.out, HasSubstr("cpu: max here, qemu64 there"));
  EXPECT_THAT(said.out,
              HasSubstr("guest: the image of main/web1, tiny, is none of this node's: other"));
  EXPECT_EQ(run({"vm", "migrate", "web1", "c"}).code, 1);
  EXPECT_EQ(copies("c"), 0);
  expect_it_goes_on();
}

TEST_F(QemuNodesTest, AnImageThatIsMissingIsMissedByTheVmsOfThatImageAlone) {
  const std::string kernel = (folder_ / "vmlinuz").string();
  start_node("a");
  start_node("c");
  start_node("b", "[host.qemu.image.gone]\nkernel = \"" + kernel + "\"\n");
  EXPECT_THAT(
      output("b-3.err"),
      HasSubstr("[host.qemu] image.gone: the kernel of this image is not to be read: " + kernel));
  create();
  const std::string file =
      write("gone.toml",
            "name = \"web2\"\nmemory = \"32MiB\"\naddress = \"10.1.0.2\"\nimage = \"gone\"\n");
  const Said refused = run({"vm", "create", file, "--node", "b"});
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(refused.err, HasSubstr("the kernel of main/web2, of the image gone, is not to be "
                                     "read: " +
                                     kernel));
  EXPECT_THAT(refused.err, HasSubstr("put it there"));
  files::copy_file(::getenv("SUPERCLOUD_TINY_GUEST"), kernel);
  const Said created = run({"vm", "create", file, "--node", "b", "--wait"});
  EXPECT_EQ(created.code, 0) << created.err;
  EXPECT_EQ(run({"vm", "destroy", "web2", "--wait"}).code, 0);
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, AConsoleThatNobodyReadsIsLeftAllTheSame) {
  start_nodes();
  create();
  end(console_, SIGTERM);
  constexpr int room = 4096;
  int full[2] = {};
  ASSERT_EQ(::pipe2(full, O_CLOEXEC), 0);
  ASSERT_EQ(::fcntl(full[1], F_SETPIPE_SZ, room), room);
  const std::string filling(room, '.');
  ASSERT_EQ(::write(full[1], filling.data(), filling.size()), room);
  for (const int signal : {SIGINT, SIGTERM}) {
    const pid_t console = start({"vm", "console", "web1"}, [&] {
      ::dup2(full[1], 1);
      const int err = ::open((folder_ / "left.err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(err, 2);
    });
    ASSERT_TRUE(eventually([&] { return says("left.err", "the console of main/web1"); }, patience));
    // In a call of write(2), if it makes one that waits.
    eventually(
        [&] {
          return content("/proc/" + std::to_string(console) + "/syscall").starts_with("1 0x1 ");
        },
        absl::Seconds(2));
    ::kill(console, signal);
    EXPECT_EQ(ended(console, patience), 130);
  }
  for (const int each : full) ::close(each);
}

TEST_F(QemuNodesTest, ANodeThatCannotRunGuestsSaysWhyAndEnds) {
  start_node("a");
  const auto complaint = [&](const std::string& with, const std::string& instead) {
    std::string toml = node_toml("b", "own", "b", seed()) + machine("b");
    toml.replace(toml.find(with), with.size(), instead);
    const Said said = run({"node", "--config", write("b.toml", toml)});
    EXPECT_EQ(said.code, 1) << said.out;
    return said.err;
  };
  EXPECT_THAT(complaint(GuestParts::find().qemu + "\"", "/bin/true\""),
              HasSubstr("[host.qemu] program: /bin/true does not say which QEMU it is"));
  EXPECT_THAT(complaint("keeper = \"", "keeper = \"/nowhere"),
              HasSubstr("cannot execute the keeper"));
  EXPECT_THAT(complaint("[host.qemu]\n", "[host.qemu]\nrun = \"" + folder_.string() + "/" +
                                             std::string(90, 'x') + "\"\n"),
              HasSubstr("name a shorter run folder"));
}

TEST_F(QemuNodesTest, ADaemonThatIsKilledFindsItsGuestRunning) {
  start_nodes(patient_leases);
  create();
  const auto before = show();
  kill_node("b");
  expect_it_goes_on();
  start_node("b");
  EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
  EXPECT_EQ(show().value("epoch", 0), before.value("epoch", -1)) << "it was not adopted as it was";
  expect_it_goes_on();
  move_to("c");
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, AQemuThatDoesNotAnswerKeepsNoDaemonFromItsOtherGuests) {
  start_nodes(patient_leases);
  create();
  const std::string file =
      write("silent.toml",
            "name = \"web2\"\nmemory = \"32MiB\"\naddress = \"10.1.0.2\"\nimage = \"tiny\"\n");
  ASSERT_EQ(run({"vm", "create", file, "--node", "b", "--wait"}).code, 0);
  const auto silent = keeper("b", "main/web2"), before = keeper("b");
  ASSERT_TRUE(silent && silent->guest > 1 && before);
  kill_node("b");
  ::kill(silent->guest, SIGSTOP);
  start_node("b");
  EXPECT_TRUE(eventually([&] { return runs_on() == "b"; }, patience));
  // Its deadline is moved again, by the daemon that has found it.
  EXPECT_TRUE(eventually(
      [&] {
        const auto after = keeper("b");
        return after && after->deadline && *after->deadline > *before->deadline;
      },
      patience));
  const auto after = keeper("b");
  EXPECT_TRUE(after && after->freezes == before->freezes) << "it was frozen meanwhile";
  expect_it_goes_on();
  ::kill(silent->guest, SIGCONT);
  const Said paused = run({"vm", "pause", "web2", "--wait"});
  EXPECT_EQ(paused.code, 0) << paused.err;
  EXPECT_EQ(run({"vm", "destroy", "web2", "--wait"}).code, 0);
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, AGuestIsFrozenWithoutItsDaemonAndGoesOnWhereItWasAtANewEpoch) {
  start_nodes();
  create();
  const auto before = show();
  kill_node("b");
  EXPECT_TRUE(eventually(
      [&] {
        const auto state = keeper("b");
        return state && state->phase == KeeperState::Phase::frozen;
      },
      patience));
  const unsigned long frozen_at = heard().ticks;
  start_node("b");
  EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
  EXPECT_GT(show().value("epoch", 0), before.value("epoch", 1000));
  EXPECT_GE(heard().ticks, frozen_at);
  expect_it_goes_on();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, AFrozenGuestWhoseLeaseWasTakenOverIsDestroyed) {
  start_nodes();
  create("disk_loss = \"bounded-loss\"\nloss_bound = \"1h\"\n");
  // Who may take over has a copy of its disk, of no bytes, and has heard of its epoch.
  EXPECT_TRUE(eventually([&] { return fence("c") > 0; }, patience));
  kill_node("b");
  EXPECT_TRUE(eventually([&] { return runs_on() == "c"; }, patience));
  EXPECT_EQ(copies("b"), 1) << "frozen, and nobody's";
  start_node("b");
  EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
  EXPECT_EQ(runs_on(), "c");
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, AGuestThatDiesIsStartedAnew) {
  start_nodes();
  create();
  await_that_a_restart_would_be_heard();
  const auto before = show();
  const auto state = keeper("b");
  ASSERT_TRUE(state && state->guest > 1);
  ::kill(state->guest, SIGKILL);
  EXPECT_TRUE(eventually(
      [&] {
        return heard().restarts == 1 && show().value("epoch", 0) > before.value("epoch", 1000);
      },
      patience))
      << output("console.err");
  EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
  destroy_and_expect_nothing_left();
}

TEST_F(QemuNodesTest, ItsUserPausesStopsAndStartsIt) {
  start_nodes();
  create();
  const auto ask = [&](const std::string& command) {
    const Said said = run({"vm", command, "web1", "--wait"});
    EXPECT_EQ(said.code, 0) << command << ": " << said.err;
  };
  ask("pause");
  EXPECT_EQ(copies("b"), 1);
  ask("resume");
  expect_it_goes_on();
  ask("stop");
  EXPECT_EQ(copies("b"), 0);
  EXPECT_EQ(ended(console_, patience), 1) << "it has no console any more";
  ask("start");
  open_console();
  expect_it_goes_on();
  destroy_and_expect_nothing_left();
}

// As the files of a node tell it, which name the boot that they are of.
TEST_F(QemuNodesTest, AfterARebootTheGuestIsStartedAnewAboveItsOldFence) {
  start_nodes();
  create();
  await_that_a_restart_would_be_heard();
  const auto before = show();
  kill_node("b");
  const auto state = keeper("b");
  const pid_t parent = keeper_process("b");
  ASSERT_TRUE(state && state->guest > 1 && parent > 1);
  for (const pid_t process : {parent, state->guest}) ::kill(process, SIGKILL);
  const files::path own = folder_ / "own" / "b";
  const std::string boot = content(own / "boot"), old_boot = std::string(36, '0') + "\n";
  ASSERT_EQ(boot.size(), old_boot.size()) << boot;
  std::ofstream(own / "boot") << old_boot;
  std::string volume = content(own / "volumes" / "main.web1");
  volume.replace(volume.find(boot.substr(0, 36)), 36, old_boot, 0, 36);
  std::ofstream(own / "volumes" / "main.web1") << volume;
  start_node("b");
  EXPECT_TRUE(eventually([&] { return heard().restarts == 1 && one_copy_runs(); }, patience));
  EXPECT_GT(show().value("epoch", 0), before.value("epoch", 1000));
  EXPECT_EQ(fence("b"), show().value("epoch", -1));
  EXPECT_EQ(content(own / "boot"), boot);
  destroy_and_expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
