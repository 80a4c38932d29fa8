// Every participant of a move is killed at every step of it that is told of: after that one copy of the guest executes, and nothing is
// left of others. What the guest had in memory is lost only with the process that had it.
#include "tests/process/qemu_nodes.h"

namespace supercloud {
namespace {

using schema::Payload;

class QemuKillsTest : public QemuNodesTest {
 protected:
  enum class Part { daemon, qemu, keeper, leases };

  struct Moment {
    const char* name;
    Payload::Which event;
  };
  static constexpr Moment moments[] = {{"accepted", Payload::MIGRATION_ACCEPTED},
                                       {"target ready", Payload::MIGRATION_TARGET_READY},
                                       {"memory begins", Payload::MIGRATION_STARTED},
                                       {"paused", Payload::VM_PAUSED},
                                       {"sealed", Payload::STORAGE_SEALED},
                                       {"resumed", Payload::VM_RESUMED}};

  void kill_at_every_step(Part part, bool prepared = false) {
    start_nodes();
    create(prepared ? "prepared = [\"b\", \"c\"]\n" : "");
    listen();
    std::printf("%-14s %-7s %-13s %-4s %-12s %s\n", "killed at", "on", "move", "ends", "epochs",
                "memory");
    for (const Moment& moment : moments)
      for (const bool source : {true, false}) {
        if (part == Part::leases && !source) continue;  // there is one
        SCOPED_TRACE(std::string(moment.name) + (source ? ", source" : ", target"));
        kill_at(moment, source, part);
        if (HasFatalFailure()) return;
      }
    stop_listening();
    destroy_and_expect_nothing_left();
  }

 private:
  void kill_at(const Moment& moment, bool source, Part part) {
    ASSERT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    await_that_a_restart_would_be_heard();
    const auto before = show();
    const std::string from = before.value("node", ""), to = from == "b" ? "c" : "b";
    await_that_it_could_move_to(to);
    client_->run_until([] { return true; }, client_->loop().clock().now());
    events_.clear();
    const int restarts = heard().restarts;
    const pid_t mover = start({"vm", "migrate", "web1", to}, "move.out", "move.err");
    EventId migration;
    ASSERT_TRUE(hears([&](const Event& event) {
      if (event.type() == Payload::MIGRATION_PROPOSED) migration = event.id();
      return !migration.empty();
    })) << output("move.err");
    ASSERT_TRUE(hears([&](const Event& event) {
      return event.type() == moment.event && event.migration() == migration;
    })) << output("move.err");
    const bool killed = kill_part(part, source ? from : to);
    const int code = ended(mover, 2 * patience);
    EXPECT_NE(code, -2) << "its end is never told\n" << output("move.err");
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience))
        << copies("b") << " copies on b, " << copies("c") << " on c, runs on " << runs_on();
    // The copy that executed, or was to, may have been the one that was killed: at the target, if it was resumed before that.
    client_->run_until([] { return true; }, client_->loop().clock().now());
    const bool target_ran = std::ranges::any_of(events_, [&](const Event& event) {
      return event.type() == Payload::VM_RESUMED && event.migration() == migration &&
             text(event.payload().getVmResumed().getNode()) == to;
    });
    const bool may_be_lost = (part == Part::qemu || part == Part::keeper) && killed &&
                             (source ? moment.event != Payload::VM_RESUMED : target_ran);
    expect_it_goes_on(restarts + (may_be_lost ? 1 : 0));
    const auto after = show();
    const char* const on = part == Part::leases ? "site" : source ? "source" : "target";
    std::printf("%-14s %-7s %-13s %-4s %2d to %-6d %s%s\n", moment.name, on,
                code == 0 ? "completed" : "aborted", after.value("node", "").c_str(),
                before.value("epoch", 0), after.value("epoch", 0),
                heard().restarts > restarts ? "lost" : "kept",
                killed ? "" : " (nothing there to kill)");
  }

  bool kill_part(Part part, const std::string& node) {
    if (part == Part::daemon || part == Part::leases) {
      const std::string process = part == Part::leases ? "a" : node;
      kill_node(process);
      start_node(process);
      return true;
    }
    const auto state = keeper(node);
    const pid_t process = part == Part::keeper ? keeper_process(node) : state ? state->guest : 0;
    return process > 1 && ::kill(process, SIGKILL) == 0;
  }
};

TEST_F(QemuKillsTest, ADaemonIsKilled) { kill_at_every_step(Part::daemon); }
TEST_F(QemuKillsTest, AQemuIsKilled) { kill_at_every_step(Part::qemu); }
TEST_F(QemuKillsTest, AKeeperIsKilled) { kill_at_every_step(Part::keeper); }
TEST_F(QemuKillsTest, TheLeaseTableIsKilled) { kill_at_every_step(Part::leases); }
TEST_F(QemuKillsTest, ADaemonIsKilledWhereTargetsAreReady) {
  kill_at_every_step(Part::daemon, true);
}
TEST_F(QemuKillsTest, AQemuIsKilledWhereTargetsAreReady) { kill_at_every_step(Part::qemu, true); }
TEST_F(QemuKillsTest, AKeeperIsKilledWhereTargetsAreReady) {
  kill_at_every_step(Part::keeper, true);
}

}  // namespace
}  // namespace supercloud
