// What a node's actors ask the bus for: its traffic grows with that.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "simulation/cluster.h"

namespace supercloud {
namespace {

using Asked = std::list<std::set<std::string>>;  // prefixes, of each node, the first ones first

// Passes everything on.
class NotedBus final : public Bus {
 public:
  NotedBus(Bus& real, std::set<std::string>& asked) : real_(real), asked_(asked) {}

  void start(BusReceiver& receiver, std::vector<OriginTail> past) override {
    real_.start(receiver, std::move(past));
  }
  void publish(const Event& event) override { real_.publish(event); }
  void subscribe(std::string prefix, Reply<Done> reply) override {
    asked_.insert(prefix);
    real_.subscribe(std::move(prefix), std::move(reply));
  }
  void unsubscribe(std::string prefix) override { real_.unsubscribe(std::move(prefix)); }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    real_.request(std::move(to), std::move(bytes), std::move(reply));
  }

 private:
  Bus& real_;
  std::set<std::string>& asked_;
};

// By all actors that a node may have, in a market and on Xen hosts, while VMs run and move.
Asked asked(std::set<std::string> holders, std::uint64_t seed = 1) {
  Asked asked;
  ClusterOptions options;
  options.seed = seed;
  options.nodes = 3;
  options.xen = true;
  options.archived = {{schema::Payload::MIGRATION_ACCEPTED, 1}};
  options.followers = false;  // of the simulator's own
  options.holders = std::move(holders);
  options.adjust = [&](MachineOptions& machine) {
    std::set<std::string>& of_node = asked.emplace_back();
    machine.in_place.bus = [&of_node](Bus& real) {
      return std::make_unique<NotedBus>(real, of_node);
    };
  };
  SimulatedCluster cluster(std::move(options));
  cluster.run_for(absl::Seconds(2));
  cluster.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
  cluster.run_for(absl::Seconds(2));
  cluster.migrate("node-0", "web1", "node-1");
  cluster.run_for(absl::Seconds(10));
  return asked;
}

std::ptrdiff_t for_everything(const Asked& asked) {
  return std::ranges::count_if(asked, [](const auto& prefixes) { return prefixes.contains(""); });
}

TEST(Subscriptions, no_actor_of_a_node_asks_for_everything_not_even_an_archive) {
  const Asked found = asked({});
  ASSERT_GE(found.size(), 3U);
  EXPECT_GT(found.front().size(), 10U);
  EXPECT_EQ(for_everything(found), 0);
}

TEST(Subscriptions, who_does_is_found) {
  // The simulator's holders, in half of their lives.
  std::ptrdiff_t found = 0;
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U})
    found += for_everything(asked({"node-0", "node-1", "node-2"}, seed));
  EXPECT_GT(found, 0);
}

}  // namespace
}  // namespace supercloud
