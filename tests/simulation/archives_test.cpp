// What archives have of machines that are gone, where nothing else goes wrong: all but the last moment.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "simulation/cluster.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

// Of an event on its way into an archive: two syncs, and a few ways through the network.
constexpr Duration last_moment = absl::Milliseconds(500);

class Archives : public testing::Test {
 protected:
  static ClusterOptions options() {
    ClusterOptions options;
    options.market = false;
    return options;
  }

  std::set<std::string> in(const MemoryLogDisk& disk, const std::string& node) {
    std::set<std::string> found;
    for (const MemoryLogDisk::Stored& stored : disk.events)
      if (node_of(pool_.restore(stored.span()).origin()) == node) found.emplace(stored.bytes);
    return found;
  }

  EventPool pool_;
  SimulatedCluster cluster_{options()};
};

TEST_F(Archives, have_what_a_machine_said_that_is_lost) {
  ASSERT_EQ(cluster_.archives().size(), 2);
  cluster_.run_for(absl::Seconds(3));
  cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC, "1");
  cluster_.run_for(absl::Seconds(3));
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Seconds(20));
  const absl::Time lost = cluster_.scheduler().wall();
  for (const char* node : {"node-0", "node-1"}) cluster_.lose_machine(*cluster_.machine(node));
  cluster_.run_for(absl::Seconds(20));
  int checked = 0;
  for (const SimulatedCluster::NodeLog& log : cluster_.node_logs()) {
    if (!log.lost) continue;
    for (const auto& [keeper, archive] : cluster_.archives()) {
      const std::set<std::string> kept = in(*archive, log.node);
      for (const MemoryLogDisk::Stored& stored : log.disk->events) {
        if (stored.time.wall() > lost - last_moment) continue;
        ++checked;
        EXPECT_TRUE(kept.contains(std::string(stored.bytes)))
            << keeper << " lacks " << stored.topic << " of " << log.node;
      }
    }
  }
  EXPECT_GT(checked, 20);
}

TEST_F(Archives, go_on_after_their_own_end) {
  cluster_.run_for(absl::Seconds(3));
  cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC, "1");
  cluster_.run_for(absl::Seconds(1));
  cluster_.kill_site();
  cluster_.machine("node-3")->kill_daemon(true);
  cluster_.run_for(absl::Seconds(3));
  cluster_.start_site();
  cluster_.machine("node-3")->start_daemon();
  cluster_.run_for(absl::Seconds(20));
  demand_convergence(cluster_, cluster_.history());
  for (const Violation& violation : cluster_.checker().violations())
    ADD_FAILURE() << violation.rule << ": " << violation.what;
}

// Whose logs forget meanwhile: actors that start again read a past that has no beginning.
TEST(ForgetfulLogs, leave_all_actors_what_they_need) {
  ClusterOptions options;
  options.retention.age = absl::Seconds(20);
  SimulatedCluster cluster(options);
  cluster.run_for(absl::Seconds(3));
  cluster.create_vm("node-0", "web1", schema::DiskLoss::SYNC, "1");
  for (int round = 0; round < 3; ++round) {
    cluster.run_for(absl::Seconds(25));
    cluster.kill_site();
    cluster.machine("node-3")->kill_daemon(true);
    cluster.run_for(absl::Seconds(1));
    cluster.start_site();
    cluster.machine("node-3")->start_daemon();
  }
  cluster.run_for(absl::Seconds(20));
  std::uint64_t forgotten = 0, kept = 0;
  for (const SimulatedCluster::NodeLog& log : cluster.node_logs()) {
    forgotten += log.disk->past.begins() - 1;
    kept += log.disk->past.kept();
  }
  EXPECT_GT(forgotten, 100);
  EXPECT_GT(kept, 5);
  for (const auto& [keeper, archive] : cluster.archives())
    EXPECT_GT(archive->past.begins(), 100) << keeper;
  demand_convergence(cluster, cluster.history());
  for (const Violation& violation : cluster.checker().violations())
    ADD_FAILURE() << violation.rule << ": " << violation.what;
}

}  // namespace
}  // namespace supercloud
