#include "bus/subscriber.h"

#include <gtest/gtest.h>

#include "core/virtual_scheduler.h"
#include "tests/bus/bus_process.h"

namespace supercloud {
namespace {

TEST(Subscriber, what_an_unsubscribe_lets_go_comes_after_the_call) {
  VirtualScheduler scheduler;
  BusProcess owner("b", std::make_unique<EventPool>());
  TestStreams streams("a");
  Subscriber subscriber(scheduler, *owner.pool, {.repair = false}, {},
                        [](const auto&, const auto&) {}, {});
  subscriber.start(owner);
  subscriber.subscribe("vm.", Reply<Done>());
  subscriber.in_effect("a", "vm.", 1, {});
  subscriber.subscribe("", Reply<Done>());  // not in effect yet: nothing is missing there
  const Event lost = streams.event(*owner.pool, "executor", "web1");
  const Event event = streams.event(*owner.pool, "executor", "web1");
  subscriber.arrived("a", "", event.bytes());
  ASSERT_TRUE(owner.events.empty()) << "waits for the one before it";
  subscriber.unsubscribe("vm.");
  EXPECT_TRUE(owner.events.empty()) << "the owner is inside its own call";
  scheduler.run_for(absl::ZeroDuration());
  EXPECT_EQ(owner.sequences("a/executor"), (std::vector<std::uint64_t>{2}));
}

TEST(Subscriber, a_gap_under_the_buss_own_subscription_is_told_to_who_subscribes_to_a_part_of_it) {
  VirtualScheduler scheduler;
  BusProcess owner("b", std::make_unique<EventPool>());
  TestStreams streams("a");
  Subscriber subscriber(scheduler, *owner.pool, {.repair = false}, {},
                        [](const auto&, const auto&) {}, {});
  subscriber.start(owner);
  subscriber.subscribe("node.heartbeat.main.", Reply<Done>());
  for (const char* prefix : {"node.heartbeat.", "node.heartbeat.main."})
    subscriber.in_effect("a", prefix, 1, {});
  streams.heartbeat(*owner.pool);
  const Event second = streams.heartbeat(*owner.pool);
  subscriber.arrived("a", "", second.bytes());
  scheduler.run_for(absl::Milliseconds(200));
  ASSERT_EQ(owner.gaps.size(), 1);
  EXPECT_EQ(owner.gaps[0].up_to, 1);
  EXPECT_EQ(owner.sequences("a/node"), (std::vector<std::uint64_t>{2}));
}

TEST(Subscriber, what_nobody_waits_for_is_not_asked_again) {
  VirtualScheduler scheduler;
  BusProcess owner("b", std::make_unique<EventPool>());
  TestStreams streams("a");
  int asked = 0;
  Subscriber subscriber(
      scheduler, *owner.pool, {}, {}, [](const auto&, const auto&) {},
      [&](const Address&, const std::string&, Reply<std::string> reply) {
        ++asked;
        reply(absl::UnavailableError("out of reach"));
      });
  subscriber.start(owner);
  subscriber.subscribe("vm.", Reply<Done>());
  subscriber.in_effect("a", "vm.", 1, {});
  streams.event(*owner.pool, "executor", "web1");
  subscriber.arrived("a", "", streams.event(*owner.pool, "executor", "web1").bytes());
  scheduler.run_for(absl::Seconds(1));
  ASSERT_GT(asked, 1) << "asked, and asked again";
  // Another process of the node, with another log: its origin begins anew, and the rest of what it had said is a gap.
  TestStreams anew("a");
  anew.incarnation = 2;
  subscriber.arrived("a", "", anew.event(*owner.pool, "executor", "web1").bytes());
  scheduler.run_for(absl::Milliseconds(300));
  const int until = asked;
  scheduler.run_for(absl::Seconds(30));
  EXPECT_EQ(asked, until);
}

}  // namespace
}  // namespace supercloud
