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
  for (const char* target : {"c", "b", "c", "b"}) move_to(target);
  EXPECT_EQ(show().value("epoch", 0), 5);
  EXPECT_THAT(output("console.err"), HasSubstr("on c"));
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
  // Who may take over has a copy of its disk, of no bytes.
  EXPECT_TRUE(eventually(
      [&] { return files::exists(folder_ / "own" / "c" / "volumes" / "main.web1"); }, patience));
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
  const auto before = show();
  const auto state = keeper("b");
  ASSERT_TRUE(state && state->guest > 1);
  ::kill(state->guest, SIGKILL);
  EXPECT_TRUE(eventually(
      [&] { return heard().restarted && show().value("epoch", 0) > before.value("epoch", 1000); },
      patience))
      << output("console.err");
  EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
  destroy_and_expect_nothing_left();
}

// Every participant's daemon is killed at every step that is told of.
TEST_F(QemuNodesTest, ADaemonThatIsKilledInTheMidstOfAMoveCostsTheGuestNothing) {
  struct Moment {
    const char* name;
    Payload::Which event;
  };
  constexpr Moment moments[] = {{"accepted", Payload::MIGRATION_ACCEPTED},
                                {"target ready", Payload::MIGRATION_TARGET_READY},
                                {"memory begins", Payload::MIGRATION_STARTED},
                                {"paused", Payload::VM_PAUSED},
                                {"sealed", Payload::STORAGE_SEALED},
                                {"resumed", Payload::VM_RESUMED}};
  start_nodes();
  create();
  listen();
  std::printf("%-16s %-8s %-10s %-6s %s\n", "killed at", "daemon", "move", "ends", "epochs");
  for (const Moment& moment : moments) {
    for (const bool source : {true, false}) {
      SCOPED_TRACE(std::string(moment.name) + (source ? ", source" : ", target"));
      ASSERT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
      const auto before = show();
      const std::string from = before.value("node", ""), to = from == "b" ? "c" : "b";
      await_that_it_could_move_to(to);
      client_->run_until([] { return true; }, client_->loop().clock().now());
      events_.clear();
      const pid_t mover = start({"vm", "migrate", "web1", to}, "move.out", "move.err");
      EventId migration;
      ASSERT_TRUE(hears([&](const Event& event) {
        if (event.type() == Payload::MIGRATION_PROPOSED) migration = event.id();
        return !migration.empty();
      })) << output("move.err");
      ASSERT_TRUE(hears([&](const Event& event) {
        return event.type() == moment.event && event.migration() == migration;
      })) << output("move.err");
      const std::string killed = source ? from : to;
      kill_node(killed);
      start_node(killed);
      const int code = ended(mover, patience);
      EXPECT_NE(code, -2) << "its end is never told\n" << output("move.err");
      EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience))
          << copies("b") << " copies on b, " << copies("c") << " on c, runs on " << runs_on();
      expect_it_goes_on();
      const auto after = show();
      std::printf("%-16s %-8s %-10s %-6s %d to %d\n", moment.name, source ? "source" : "target",
                  code == 0 ? "completed" : "aborted", after.value("node", "").c_str(),
                  before.value("epoch", 0), after.value("epoch", 0));
    }
  }
  events_.clear();
  client_.reset();
  destroy_and_expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
