// Moves between clouds that have nothing in common but their hubs, where nothing else goes wrong.
#include <gtest/gtest.h>

#include <string>

#include "simulation/cluster.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

class SimulatedHubs : public testing::Test {
 protected:
  // node-0 and the site are in the first cloud, node-1 in the second, node-2 in the third; a live node's times.
  static ClusterOptions options() {
    ClusterOptions options;
    options.clouds = 3;
    options.market = false;
    options.bus.repair = RepairTimes();
    return options;
  }

  void SetUp() override {
    cluster_.run_for(absl::Seconds(4));
    cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC, "1");
    cluster_.run_for(absl::Seconds(4));
    ASSERT_EQ(running_on("main/web1"), "node-0");
  }
  void TearDown() override {
    cluster_.run_for(absl::Seconds(10));
    demand_convergence(cluster_, cluster_.history());
    for (const Violation& violation : cluster_.checker().violations())
      ADD_FAILURE() << violation.rule << ": " << violation.what;
  }

  std::string running_on(const std::string& vm) {
    std::string where;
    for (const auto& machine : cluster_.machines())
      for (const GuestProbe& probe : machine->probes())
        if (probe.vm == vm && probe.executes) where += machine->name();
    return where;
  }
  // As a user does who asks again when it is refused.
  bool moves(const std::string& from, const std::string& to, Duration within) {
    const Instant end = cluster_.scheduler().now() + within;
    while (cluster_.scheduler().now() < end && running_on("main/web1") != to) {
      cluster_.migrate(from, "web1", to);
      cluster_.run_for(absl::Seconds(2));
    }
    return running_on("main/web1") == to;
  }
  void kill_hub(std::size_t cloud, Duration gone) {
    cluster_.hubs()[cloud]->kill();
    cluster_.run_for(gone);
    cluster_.hubs()[cloud]->start();
  }

  SimulatedCluster cluster_{options()};
};

TEST_F(SimulatedHubs, a_guest_moves_between_clouds) {
  EXPECT_TRUE(moves("node-0", "node-1", absl::Seconds(10)));
  EXPECT_TRUE(moves("node-1", "node-2", absl::Seconds(10)));
  EXPECT_GT(cluster_.hubs()[0]->relayed(), 0);
}

TEST_F(SimulatedHubs, a_guest_moves_soon_after_a_hub_came_back) {
  for (const Duration gone : {absl::Milliseconds(500), absl::Seconds(8), absl::Seconds(30)}) {
    kill_hub(0, gone);
    EXPECT_TRUE(moves("node-0", "node-1", absl::Seconds(20))) << gone;
    kill_hub(1, gone);
    EXPECT_TRUE(moves("node-1", "node-0", absl::Seconds(20))) << gone;
  }
}

TEST_F(SimulatedHubs, a_guest_moves_soon_after_its_machine_and_the_hub_came_back) {
  for (const char* node : {"node-1", "node-0"}) {
    cluster_.machine(node)->kill_daemon(false);
    kill_hub(1, absl::Seconds(6));
    cluster_.run_for(absl::Seconds(1));
    cluster_.machine(node)->start_daemon();
    EXPECT_TRUE(moves("node-0", "node-1", absl::Seconds(30)));
    EXPECT_TRUE(moves("node-1", "node-0", absl::Seconds(30)));
  }
}

TEST_F(SimulatedHubs, a_guest_moves_soon_after_clouds_were_apart) {
  for (const Duration apart : {absl::Seconds(2), absl::Seconds(20)}) {
    cluster_.networks().block("node-0", "node-1");
    cluster_.run_for(apart);
    cluster_.networks().heal();
    EXPECT_TRUE(moves("node-0", "node-1", absl::Seconds(20))) << apart;
    cluster_.hubs()[0]->freeze();
    cluster_.run_for(apart);
    cluster_.hubs()[0]->thaw();
    EXPECT_TRUE(moves("node-1", "node-0", absl::Seconds(20))) << apart;
  }
}

}  // namespace
}  // namespace supercloud
