// What the simulated bus promises while its network loses, doubles, delays and reorders.

#include "bus/simulated/simulated_bus.h"

#include <gtest/gtest.h>

#include <set>

#include "core/virtual_scheduler.h"
#include "tests/bus/bus_process.h"

namespace supercloud {
namespace {

struct World {
  explicit World(std::uint64_t seed) : network(scheduler, Random(seed)) {}

  std::unique_ptr<BusProcess> start(const std::string& name) {
    auto process = std::make_unique<BusProcess>(name, std::make_unique<EventPool>());
    process->bus = std::make_unique<SimulatedBus>(name, network, scheduler, *process->pool);
    process->bus->start(*process, {});
    return process;
  }

  VirtualScheduler scheduler;
  SimulatedNetwork network;
};

LinkFaults rough() {
  LinkFaults faults;
  faults.delay_max = absl::Milliseconds(20);
  faults.loss_per_million = 100'000;
  faults.duplicate_per_million = 100'000;
  faults.reorder_per_million = 200'000;
  faults.reorder_delay_max = absl::Milliseconds(50);
  return faults;
}

TEST(SimulatedBus, over_a_rough_network_every_event_of_a_log_arrives_once_and_in_order) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    World world(seed);
    auto a = world.start("a");
    auto b = world.start("b");
    a->keeps_log = true;
    bool ready = false;
    b->bus->subscribe("vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
    world.scheduler.run_for(absl::Seconds(2));
    ASSERT_TRUE(ready);
    world.network.set_faults(rough());
    for (int i = 0; i < 300; ++i) {
      a->publish("executor", i % 3 == 0 ? "web1" : "web2");
      if (i % 10 == 0) a->heartbeat();
      world.scheduler.run_for(absl::Milliseconds(5));
    }
    world.network.calm();
    a->heartbeat();
    world.scheduler.run_for(absl::Seconds(10));
    const auto arrived = b->sequences("a/executor");
    ASSERT_EQ(arrived.size(), 300) << "seed " << seed;
    for (std::size_t i = 0; i < arrived.size(); ++i) ASSERT_EQ(arrived[i], i + 1);
    EXPECT_TRUE(b->gaps.empty()) << "seed " << seed;
  }
}

TEST(SimulatedBus, over_a_rough_network_every_event_arrives_in_order_or_is_in_a_reported_gap) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    World world(seed);
    auto a = world.start("a");
    auto b = world.start("b");
    world.network.set_faults(rough());
    bool ready = false;
    b->bus->subscribe("vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
    for (int i = 0; i < 200 && !ready; ++i) world.scheduler.run_for(absl::Milliseconds(50));
    ASSERT_TRUE(ready) << "the handshake goes through in the end, seed " << seed;
    for (int i = 0; i < 300; ++i) {
      a->publish("executor", i % 3 == 0 ? "web1" : "web2");
      if (i % 10 == 0) a->heartbeat();
      world.scheduler.run_for(absl::Milliseconds(5));
    }
    world.network.calm();
    world.scheduler.run_for(absl::Seconds(1));
    a->heartbeat();
    world.scheduler.run_for(absl::Seconds(20));
    const auto arrived = b->sequences("a/executor");
    std::set<std::uint64_t> accounted(arrived.begin(), arrived.end());
    EXPECT_EQ(accounted.size(), arrived.size()) << "once each";
    EXPECT_TRUE(std::is_sorted(arrived.begin(), arrived.end())) << "seed " << seed;
    for (const BusGap& gap : b->gaps) {
      for (std::uint64_t s = gap.after + 1; s <= gap.up_to; ++s) accounted.insert(s);
    }
    for (std::uint64_t s = 1; s <= 300; ++s)
      EXPECT_EQ(accounted.count(s), 1) << s << ", seed " << seed;
  }
}

TEST(SimulatedBus, a_doubled_request_is_served_once) {
  World world(3);
  auto a = world.start("a");
  auto b = world.start("b");
  world.scheduler.run_for(absl::Seconds(2));
  LinkFaults faults;
  faults.duplicate_per_million = 1'000'000;
  world.network.set_faults(faults);
  int answers = 0;
  a->bus->request({"b", "echo"}, "x",
                  Reply<std::string>(far_future, [&](absl::StatusOr<std::string> answer) {
                    EXPECT_TRUE(answer.ok());
                    ++answers;
                  }));
  world.scheduler.run_for(absl::Seconds(2));
  EXPECT_EQ(b->served["x"], 1);
  EXPECT_EQ(answers, 1);
}

TEST(SimulatedBus, a_one_sided_partition_is_seen_by_the_side_that_hears_nothing) {
  World world(3);
  auto a = world.start("a");
  auto b = world.start("b");
  world.scheduler.run_for(absl::Seconds(2));
  world.network.block("a", "b");
  world.scheduler.run_for(absl::Seconds(5));
  EXPECT_FALSE(b->sees("a"));
  EXPECT_TRUE(a->sees("b"));
  world.network.heal();
  world.scheduler.run_for(absl::Seconds(2));
  EXPECT_TRUE(b->sees("a"));
}

TEST(SimulatedBus, a_subscription_outlives_a_partition_and_its_loss_is_reported) {
  World world(5);
  auto a = world.start("a");
  auto b = world.start("b");
  b->bus->subscribe("vm.", Reply<Done>());
  world.scheduler.run_for(absl::Seconds(2));
  world.network.partition({"a"});
  a->publish("executor", "web1");
  world.scheduler.run_for(absl::Seconds(10));
  world.network.heal();
  world.scheduler.run_for(absl::Seconds(2));
  a->publish("executor", "web1");
  world.scheduler.run_for(absl::Seconds(1));
  EXPECT_EQ(b->sequences("a/executor"), (std::vector<std::uint64_t>{2}));
  ASSERT_EQ(b->gaps.size(), 1);
  EXPECT_EQ(b->gaps[0].up_to, 1);
}

TEST(SimulatedBus,
     what_a_process_sent_before_it_ended_arrives_and_what_was_under_way_to_it_does_not) {
  World world(3);
  auto a = world.start("a");
  auto b = world.start("b");
  b->bus->subscribe("vm.", Reply<Done>());
  world.scheduler.run_for(absl::Seconds(2));
  a->publish("executor", "web1");
  a.reset();
  world.scheduler.run_for(absl::Seconds(1));
  EXPECT_EQ(b->events.size(), 1);
  b->bus->request({"a", "echo"}, "x", Reply<std::string>());
  a = world.start("a");
  world.scheduler.run_for(absl::Seconds(1));
  EXPECT_TRUE(a->served.empty());
}

TEST(SimulatedBus, the_same_seed_gives_the_same_run) {
  const auto run = [](std::uint64_t seed) {
    World world(seed);
    world.network.set_faults(rough());
    auto a = world.start("a");
    auto b = world.start("b");
    b->bus->subscribe("", Reply<Done>());
    for (int i = 0; i < 100; ++i) {
      a->publish("executor", "web1");
      world.scheduler.run_for(absl::Milliseconds(7));
    }
    world.scheduler.run_for(absl::Seconds(1));
    std::vector<std::uint64_t> story = b->sequences("a/executor");
    for (const BusGap& gap : b->gaps) story.insert(story.end(), {gap.after, gap.up_to});
    story.insert(story.end(), {world.network.counts().sent, world.network.counts().lost});
    return story;
  };
  EXPECT_EQ(run(11), run(11));
  EXPECT_NE(run(11), run(12));
}

}  // namespace
}  // namespace supercloud
