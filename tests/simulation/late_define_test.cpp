// A VM whose first swap is still under way to the lease table when the daemon ends that sent it.
#include <gtest/gtest.h>

#include "simulation/cluster.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

class LateDefineTest : public testing::Test {
 protected:
  LateDefineTest() : cluster_(options()) { cluster_.run_for(absl::Seconds(3)); }

  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 3;
    options.market = false;
    return options;
  }

  // Every first swap of a VM reaches the table so late.
  void delay_defines(Duration late) {
    cluster_.table()->set_swap_gate([this, late](const Swap& swap) {
      if (swap.kind != SwapKind::DEFINE) return absl::ZeroDuration();
      ++defines_;
      return late;
    });
  }
  void restart_daemon() {
    SimulatedMachine& machine = *cluster_.machine("node-1");
    machine.kill_daemon(true);
    machine.start_daemon();
  }
  int count(schema::Payload::Which type) {
    int found = 0;
    for (const Event& event : cluster_.history())
      found += event.type() == type && event.subject() == "db1" ? 1 : 0;
    return found;
  }
  bool runs() {
    for (const GuestProbe& probe : cluster_.machine("node-1")->probes())
      if (probe.vm == "main/db1" && probe.executes) return true;
    return false;
  }
  void expect_converged() {
    demand_convergence(cluster_, cluster_.history());
    for (const Violation& violation : cluster_.checker().violations())
      ADD_FAILURE() << violation.rule << ": " << violation.what;
  }

  SimulatedCluster cluster_;
  int defines_ = 0;
};

TEST_F(LateDefineTest, finds_its_disk_though_the_daemon_ended_that_sent_it) {
  delay_defines(absl::Seconds(3));
  cluster_.create_vm("node-1", "db1", schema::DiskLoss::SYNC);
  cluster_.run_for(absl::Milliseconds(500));
  ASSERT_EQ(defines_, 1);
  ASSERT_TRUE(cluster_.machine("node-1")->disk().volumes().contains("main/db1"));
  restart_daemon();
  cluster_.run_for(absl::Seconds(20));
  EXPECT_TRUE(runs());
  EXPECT_EQ(count(schema::Payload::VM_DEFINED), 1);
  EXPECT_EQ(count(schema::Payload::VM_FAILED), 0);
  expect_converged();
}

TEST_F(LateDefineTest, is_not_waited_for_once_it_was_said_to_have_taken_effect) {
  cluster_.create_vm("node-1", "db1", schema::DiskLoss::SYNC);
  cluster_.run_for(absl::Seconds(5));
  restart_daemon();
  cluster_.run_for(absl::Seconds(5));
  EXPECT_TRUE(runs());
  EXPECT_EQ(count(schema::Payload::VM_DEFINED), 1);
  expect_converged();
}

TEST_F(LateDefineTest, leaves_no_disk_when_it_never_arrives) {
  delay_defines(absl::Hours(1));
  cluster_.create_vm("node-1", "db1", schema::DiskLoss::SYNC);
  cluster_.run_for(absl::Milliseconds(500));
  ASSERT_EQ(defines_, 1);
  restart_daemon();
  cluster_.run_for(absl::Seconds(20));
  EXPECT_FALSE(cluster_.machine("node-1")->disk().volumes().contains("main/db1"));
  EXPECT_EQ(count(schema::Payload::VM_DEFINED), 0);
  expect_converged();
}

}  // namespace
}  // namespace supercloud
