// A few machines, one VM, no faults: the choreography from the proposal to "cleaned".
#include "simulation/cluster.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include "core/json.h"

namespace supercloud {
namespace {

const std::vector<std::string> all_actors = {
    "session",  "log",      "archive", "custodian",  "replicator", "network",
    "executor", "orphans",  "policy",  "dirty_rate", "latency",    "resource",
    "watcher",  "provider", "ledger",  "observer",   "agent",      "follower"};

class ClusterTest : public testing::Test {
 protected:
  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 3;
    options.market = false;
    return options;
  }

  void TearDown() override {
    for (const Violation& violation : cluster_.checker().violations())
      ADD_FAILURE() << violation.rule << ": " << violation.what;
    if (HasFailure() && std::getenv("SUPERCLOUD_TRACE") != nullptr)
      for (const Event& event : cluster_.history()) std::cerr << to_json(event) << "\n";
  }

  int count(schema::Payload::Which type) {
    int found = 0;
    for (const Event& event : cluster_.history()) found += event.type() == type ? 1 : 0;
    return found;
  }

  std::string running_on(const std::string& vm) {
    std::string where;
    for (const auto& machine : cluster_.machines())
      for (const GuestProbe& probe : machine->probes())
        if (probe.vm == vm && probe.executes) where += machine->name();
    return where;
  }

  SimulatedCluster cluster_{options()};
};

TEST_F(ClusterTest, a_created_vm_runs_where_it_was_created) {
  cluster_.run_for(absl::Seconds(3));
  cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
  cluster_.run_for(absl::Seconds(3));
  EXPECT_EQ(running_on("main/web1"), "node-0");
}

TEST_F(ClusterTest, a_migration_goes_all_the_way) {
  cluster_.run_for(absl::Seconds(3));
  cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
  cluster_.run_for(absl::Seconds(3));
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Seconds(20));
  EXPECT_EQ(running_on("main/web1"), "node-1");
  EXPECT_EQ(count(schema::Payload::MIGRATION_ACCEPTED), 1);
  EXPECT_EQ(count(schema::Payload::MIGRATION_COMPLETED), 1);
  EXPECT_EQ(count(schema::Payload::MIGRATION_CLEANED), 1);
  EXPECT_EQ(count(schema::Payload::MIGRATION_ABORTED), 0);
}

TEST_F(ClusterTest, a_lost_machine_is_taken_over_by_an_in_sync_replica) {
  cluster_.run_for(absl::Seconds(3));
  cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
  cluster_.run_for(absl::Seconds(10));
  cluster_.machine("node-0")->power_off(true, cluster_.random());
  cluster_.run_for(absl::Seconds(20));
  const std::string where = running_on("main/web1");
  EXPECT_TRUE(where == "node-1" || where == "node-2") << where;
}

TEST(ClusterFaults, every_actor_of_a_node_may_fail) {
  SimulatedCluster cluster({});
  cluster.run_for(absl::Seconds(3));
  // The last one of the first machines has the resource, too.
  const std::vector<std::string> actors = cluster.machine("node-3")->actors();
  EXPECT_EQ(actors, all_actors);
  for (const std::string& actor : actors) {
    cluster.machine("node-3")->fail_actor(actor);
    cluster.run_for(absl::Seconds(1));
  }
  std::set<std::string> failed;
  for (const Event& event : cluster.history())
    if (event.type() == schema::Payload::BUS_ACTOR_FAILED)
      failed.emplace(text(event.payload().getBusActorFailed().getActor()));
  for (const std::string& actor : actors)
    EXPECT_TRUE(failed.contains(actor) || failed.contains("node-3/" + actor)) << actor;
}

}  // namespace
}  // namespace supercloud
