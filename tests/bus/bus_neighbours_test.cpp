// What every implementation of the Bus seam promises about processes that are connected to each other, with no hub between them.

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/bus/bus_conformance.h"

namespace supercloud {
namespace {

class NeighbourConformance : public BusConformance {};

TEST_P(NeighbourConformance, peers_find_each_other) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  auto c = world_->start("c");
  meet(*a, *b);
  meet(*b, *c);
  meet(*a, *c);
}

TEST_P(NeighbourConformance, a_process_that_ended_is_reported_and_one_that_returns_is_heard_again) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*a, "vm.");
  b->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; }));
  b.reset();
  ASSERT_TRUE(run_until([&] { return !a->sees("b"); }));
  b = world_->start("b");
  b->streams.incarnation = 2;
  ASSERT_TRUE(run_until([&] {
    b->publish("executor", "web1");
    return a->sees("b") && a->events.size() >= 3;
  })) << "the subscription is made again";
  const auto answer = ask(*a, {"b", "echo"}, "again");
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_P(NeighbourConformance, a_process_that_returns_before_it_is_missed_is_noticed) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*a, "vm.");
  b->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; }));
  b.reset();
  b = world_->start("b");
  b->streams.incarnation = 2;
  ASSERT_TRUE(run_until([&] {
    b->publish("executor", "web1");
    return a->events.size() >= 3;
  }));
  EXPECT_EQ(a->events.back().incarnation(), 2);
  ASSERT_FALSE(a->gaps.empty()) << "the log is lost that knew how much there was";
  EXPECT_EQ(a->gaps[0].incarnation, 1);
  EXPECT_EQ(a->gaps[0].after, 0) << "the least under any of its subscriptions";
  EXPECT_EQ(a->gaps[0].up_to, BusGap::unknown);
  // What the new process said before it was heard, and while it was subscribed in another form, is not lost in silence.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> missing, told;
  std::uint64_t last = 0;
  for (const Event& event : a->events) {
    if (event.incarnation() != 2) continue;
    if (event.sequence() != last + 1) missing.emplace_back(last, event.sequence() - 1);
    last = event.sequence();
  }
  for (std::size_t i = 1; i < a->gaps.size(); ++i) {
    EXPECT_EQ(a->gaps[i].incarnation, 2);
    told.emplace_back(a->gaps[i].after, a->gaps[i].up_to);
  }
  EXPECT_EQ(told, missing);
}

TEST_P(NeighbourConformance, a_second_process_of_one_name_is_told_and_harms_no_one) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  auto twin = world_->start("a");
  ASSERT_TRUE(run_until([&] { return !twin->fatal.empty(); }));
  EXPECT_TRUE(absl::IsAlreadyExists(twin->fatal[0])) << twin->fatal[0];
  EXPECT_NE(twin->fatal[0].message().find("\"a\""), std::string::npos);
  const auto answer = ask(*b, {"a", "echo"}, "x");
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(a->served["x"], 1);
  EXPECT_TRUE(a->fatal.empty());
}

TEST_P(NeighbourConformance, an_event_that_contradicts_itself_is_rejected) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  Draft draft = a->pool->draft("web1");
  draft.payload().initVmDirtyRate();
  ASSERT_TRUE(draft.set_topic().ok());
  Envelope envelope;
  envelope.origin = "a/executor";
  envelope.incarnation = 1;
  envelope.sequence = 1;
  envelope.previous[0] = 9;
  a->bus->publish(*std::move(draft).seal(envelope));
  ASSERT_TRUE(run_until([&] { return !b->rejected.empty(); }));
  EXPECT_TRUE(b->events.empty());
}

TEST_P(NeighbourConformance,
       the_first_event_of_a_new_process_is_missed_by_who_knew_its_origin_otherwise) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "migration.");
  a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  const TestStreams log = a->streams;
  a.reset();
  a = world_->start("a", log);
  // A socket connects to it again by itself, so that its events may arrive before it is met.
  ASSERT_TRUE(run_until([&] { return b->met["a"] == 2; }));
  subscribe(*b, "vm.");
  a->streams.event(*a->pool, "executor", "web1");  // is lost
  const auto under = [&](std::string_view prefix) {
    return std::any_of(b->gaps.begin(), b->gaps.end(),
                       [&](const BusGap& gap) { return gap.prefix == prefix; });
  };
  EXPECT_TRUE(run_until([&] {
    a->publish("executor", "web1");
    return under("vm.");
  }));
}

INSTANTIATE_TEST_SUITE_P(Simulated, NeighbourConformance,
                         testing::Values(MakeBusWorld(make_simulated_world)));
INSTANTIATE_TEST_SUITE_P(Ipc, NeighbourConformance, testing::Values(MakeBusWorld(make_ipc_world)));
INSTANTIATE_TEST_SUITE_P(Tcp, NeighbourConformance, testing::Values(MakeBusWorld(make_tcp_world)));

}  // namespace
}  // namespace supercloud
