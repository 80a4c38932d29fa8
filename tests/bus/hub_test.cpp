#include "bus/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/bus/hub_fixture.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

class HubTest : public CloudsTest {
 protected:
  explicit HubTest(SimulatedBusOptions options = {}) : CloudsTest(3, std::move(options), {}) {}
  absl::StatusOr<std::string> ask(BusProcess& from, Address to, std::string bytes) {
    std::optional<absl::StatusOr<std::string>> answer;
    from.bus->request(
        std::move(to), std::move(bytes),
        Reply<std::string>(clouds_.scheduler.now() + absl::Seconds(5),
                           [&](absl::StatusOr<std::string> value) { answer = std::move(value); }));
    if (!clouds_.run_until([&] { return answer.has_value(); }))
      return absl::InternalError("no reply at all");
    return *std::move(answer);
  }
  // On its way to the hub of the first cloud, where it is.
  void publish_in_vain(BusProcess& process) {
    clouds_.networks[0]->block(process.name, "hub-0");
    process.publish("executor", "web1");
    run_for(absl::Milliseconds(50));
    clouds_.networks[0]->heal();
  }
};

TEST_F(HubTest, a_request_finds_the_cloud_of_its_node) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  auto c = start(2, "c");
  join({a.get(), b.get(), c.get()});
  for (BusProcess* to : {b.get(), c.get(), b.get()}) {
    const auto answer = ask(*a, {to->name, "echo"}, "x");
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, "echo:x");
  }
  EXPECT_EQ(b->served["x"], 2);
  EXPECT_EQ(c->served["x"], 1);
}

TEST_F(HubTest, a_node_that_moved_to_another_cloud_is_found_there) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  ASSERT_TRUE(ask(*a, {"b", "echo"}, "x").ok());
  b.reset();
  b = start(2, "b");
  join({b.get()});
  EXPECT_TRUE(clouds_.run_until([&] { return ask(*a, {"b", "echo"}, "x").ok(); }));
}

TEST_F(HubTest, of_a_node_that_is_nowhere_it_is_said_at_once) {
  auto a = start(0, "a");
  join({a.get()});
  const Instant asked = clouds_.scheduler.now();
  const auto answer = ask(*a, {"nowhere", "echo"}, "x");
  EXPECT_TRUE(absl::IsUnavailable(answer.status())) << answer.status();
  EXPECT_THAT(std::string(answer.status().message()), testing::HasSubstr("nowhere"));
  EXPECT_LT(clouds_.scheduler.now() - asked, absl::Milliseconds(100));
}

TEST_F(HubTest, what_nobody_wants_any_more_does_not_leave_its_cloud) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 1; }));
  const std::uint64_t relayed = clouds_.hub(0).relayed();
  b->bus->unsubscribe("vm.");
  run_for(absl::Seconds(3));
  for (int i = 0; i < 10; ++i) a->publish("executor", "web1");
  run_for(absl::Seconds(3));
  EXPECT_EQ(clouds_.hub(0).relayed(), relayed);
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 2; }));
  EXPECT_EQ(b->events[1].sequence(), 12) << "what came between is not owed";
  EXPECT_TRUE(b->gaps.empty());
}

TEST_F(HubTest, heartbeats_stay_in_their_cloud) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  for (int i = 0; i < 10; ++i) {
    a->heartbeat();
    run_for(absl::Seconds(1));
  }
  EXPECT_EQ(clouds_.hub(0).relayed(), 0);
  EXPECT_EQ(clouds_.hub(1).relayed(), 0);
}

// Its queues have room for few.
class HubReportsTest : public HubTest {
 protected:
  HubReportsTest() : HubTest({.high_water_mark = 16}) {}
  static std::vector<const Event*> of_hub(const BusProcess& process, schema::Payload::Which type) {
    std::vector<const Event*> found;
    for (const Event& event : process.events)
      if (event.type() == type && event.origin() == "hub-0/reports") found.push_back(&event);
    return found;
  }
};

TEST_F(HubReportsTest, a_hub_names_who_is_slow_to_its_cloud) {
  auto a = start(0, "a");
  auto b = start(0, "b");
  auto c = start(1, "c");
  join({a.get(), b.get(), c.get()});
  subscribe(*b, "vm.");
  subscribe(*a, "bus.");
  clouds_.networks[0]->set_taking("b", false);
  for (int i = 0; i < 100; ++i) {
    c->publish("executor", "web1");
    run_for(absl::Milliseconds(10));
  }
  ASSERT_TRUE(
      clouds_.run_until([&] { return !of_hub(*a, schema::Payload::BUS_SLOW_SUBSCRIBER).empty(); }));
  const auto said = of_hub(*a, schema::Payload::BUS_SLOW_SUBSCRIBER)[0]->payload();
  EXPECT_EQ(std::string(said.getBusSlowSubscriber().getSubscriber().cStr()), "b");
  EXPECT_GT(said.getBusSlowSubscriber().getBacklog(), 16U);
  EXPECT_EQ(of_hub(*a, schema::Payload::BUS_SLOW_SUBSCRIBER)[0]->topic(),
            "bus.slow_subscriber.main.hub-0");
  EXPECT_TRUE(a->gaps.empty());
}

TEST_F(HubReportsTest, a_hub_tells_its_cloud_whom_it_refuses_every_ten_seconds_at_most) {
  auto a = start(0, "a");
  auto rejected_alone = start(0, "b");
  join({a.get(), rejected_alone.get()});
  subscribe(*a, "bus.");
  subscribe(*rejected_alone, "bus.rejected.");
  constexpr std::uint64_t frames = 50;
  for (std::uint64_t i = 0; i < frames; ++i)
    SimulatedBus::send_garbage(*clouds_.networks[0], "stranger", "hub-0", "rubbish");
  clouds_.hub(0).on_slow_subscriber("", 7);
  const auto all = [&] { return of_hub(*a, schema::Payload::BUS_REJECTED); };
  ASSERT_TRUE(clouds_.run_until([&] { return !all().empty(); }));
  run_for(absl::Seconds(8));
  EXPECT_EQ(all().size(), 1U);
  ASSERT_TRUE(clouds_.run_until([&] { return all().size() == 2; }));
  run_for(absl::Seconds(30));
  ASSERT_EQ(all().size(), 2U) << "nobody else was refused";
  std::uint64_t count = 0;
  for (const Event* event : all()) {
    const auto said = event->payload().getBusRejected();
    EXPECT_EQ(std::string(said.getFrom().cStr()), "stranger");
    count += said.getCount();
  }
  EXPECT_EQ(count, frames);
  EXPECT_EQ(of_hub(*rejected_alone, schema::Payload::BUS_REJECTED).size(), 2U);
  EXPECT_TRUE(a->gaps.empty() && rejected_alone->gaps.empty());
}

TEST_F(HubTest, who_subscribes_later_than_others_of_its_cloud_owes_nothing_of_the_past) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  auto c = start(1, "c");
  join({a.get(), b.get(), c.get()});
  subscribe(*b, "migration.");
  a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
  for (int i = 0; i < 5; ++i) a->publish("executor", "web1");  // nobody's beyond
  a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
  run_for(absl::Seconds(5));
  subscribe(*c, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return !c->events.empty(); }));
  run_for(absl::Seconds(5));
  EXPECT_EQ(c->sequences("a/executor"), std::vector<std::uint64_t>{8});
  EXPECT_TRUE(c->gaps.empty());
  EXPECT_EQ(b->events.size(), 2);
}

TEST_F(HubTest, the_first_that_passes_is_missed_when_it_is_lost_behind_the_hub) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  auto late = start(0, "late");  // of which b was told nothing as it subscribed
  run_for(absl::Seconds(5));
  clouds_.networks[1]->block("hub-1", "b");
  late->publish("executor", "web1");
  run_for(absl::Milliseconds(50));
  clouds_.networks[1]->heal();
  EXPECT_TRUE(clouds_.run_until([&] { return b->events.size() == 1; }));
  EXPECT_EQ(b->sequences("late/executor"), range(1, 1));
  EXPECT_TRUE(b->gaps.empty());
}

TEST_F(HubTest, what_the_hub_of_its_publisher_misses_is_missed_by_all_behind_it) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->keeps_log = false;  // so that nobody can mend it
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 1; }));
  publish_in_vain(*a);
  ASSERT_TRUE(clouds_.run_until([&] {
    a->heartbeat();
    return !b->gaps.empty();
  }));
  EXPECT_EQ(b->gaps[0].origin, "a/executor");
  EXPECT_EQ(b->gaps[0].after, 1);
  EXPECT_EQ(b->gaps[0].up_to, 2);
}

TEST_F(HubTest, so_it_is_by_who_subscribes_less_than_others_there) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  auto c = start(1, "c");
  join({a.get(), b.get(), c.get()});
  subscribe(*c, "vm.");
  subscribe(*b, "vm.dirty_rate.");
  a->keeps_log = false;
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 1; }));
  publish_in_vain(*a);
  ASSERT_TRUE(clouds_.run_until([&] {
    a->heartbeat();
    return !b->gaps.empty() && !c->gaps.empty();
  }));
  EXPECT_EQ(b->gaps[0].prefix, "vm.dirty_rate.");
  EXPECT_EQ(b->gaps[0].up_to, 2);
}

TEST_F(HubTest, what_passed_while_clouds_were_apart_and_no_log_has_is_told_as_missing) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  auto c = start(2, "c");
  join({a.get(), b.get(), c.get()});
  subscribe(*b, "vm.");
  subscribe(*c, "vm.");  // so that its hub follows it all the time
  a->keeps_log = false;
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 1; }));
  clouds_.wide.block("hub-0", "hub-1");
  a->publish("executor", "web1");
  run_for(absl::Seconds(10));  // until nobody tells of it any more
  clouds_.wide.heal();
  ASSERT_TRUE(clouds_.run_until([&] { return !b->gaps.empty(); }));
  EXPECT_EQ(b->gaps[0].after, 1);
  EXPECT_EQ(b->gaps[0].up_to, 2);
}

TEST_F(HubTest, a_log_that_is_lost_is_told_beyond_too) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 1; }));
  a.reset();
  TestStreams empty("a");
  empty.incarnation = 1000;
  a = clouds_.start(0, "a", std::move(empty));
  ASSERT_TRUE(clouds_.run_until([&] { return !b->gaps.empty(); }));
  EXPECT_EQ(b->gaps[0].origin, "a/executor");
  EXPECT_EQ(b->gaps[0].incarnation, 1);
  EXPECT_EQ(b->gaps[0].up_to, BusGap::unknown);
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 2; }));
  EXPECT_EQ(b->gaps.size(), 1) << "it is lost once";
}

TEST_F(HubTest, two_hubs_in_one_cloud_refuse_what_the_other_relays_and_hold_up_nobody) {
  std::vector<std::string> complaints;
  EventPool pool;
  SimulatedBus cloud("second", *clouds_.networks[1], clouds_.scheduler, pool,
                     {.gaps = hub_gap_options()});
  SimulatedBus wide("second", clouds_.wide, clouds_.scheduler, pool, {.gaps = hub_gap_options()});
  const Hub second(clouds_.scheduler, pool, cloud, wide,
                   {.name = "second", .complain = [&](const std::string&, const std::string& why) {
                      complaints.push_back(why);
                    }});
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  run_for(absl::Seconds(3));
  subscribe(*b, "vm.");
  subscribe(*a, "vm.");
  a->publish("executor", "web1");
  b->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return !b->events.empty() && !a->events.empty(); }));
  run_for(absl::Seconds(3));
  EXPECT_EQ(b->sequences("a/executor"), range(1, 1));
  EXPECT_EQ(a->sequences("b/executor"), range(1, 1));
  EXPECT_THAT(complaints, testing::Contains(testing::HasSubstr("end one of the two hubs")));
}

// While it is gone, and what was under way in it: all of it comes from the log, also the end that nothing follows.
class HubGone : public HubTest, public testing::WithParamInterface<std::size_t> {};

TEST_P(HubGone, loses_nothing_that_is_in_a_log) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  std::uint64_t published = 0;
  const auto publish = [&](int count) {
    for (int i = 0; i < count; ++i, ++published) a->publish("executor", "web1");
  };
  publish(10);
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 10; }));
  for (const Duration gone : {absl::Milliseconds(500), absl::Seconds(10)}) {
    publish(5);
    clouds_.kill_hub(GetParam());
    publish(5);
    run_for(gone);
    publish(5);
    clouds_.start_hub(GetParam());
    EXPECT_TRUE(clouds_.run_until([&] { return b->events.size() == published; }, absl::Seconds(60)))
        << b->events.size() << " of " << published;
  }
  publish(5);
  EXPECT_TRUE(clouds_.run_until([&] { return b->events.size() == published; }));
  EXPECT_EQ(b->sequences("a/executor"), range(1, published));
  EXPECT_TRUE(b->gaps.empty());
}

INSTANTIATE_TEST_SUITE_P(OfThePublisher, HubGone, testing::Values(0));
INSTANTIATE_TEST_SUITE_P(OfTheSubscriber, HubGone, testing::Values(1));

// A hub that is gone for longer than it is remembered: what begins meanwhile is owed as all else is.
class HubForgotten : public HubTest, public testing::WithParamInterface<std::size_t> {
 protected:
  HubForgotten() : HubTest({.forget_after = absl::Seconds(20)}) {}
};

TEST_P(HubForgotten, owes_what_begins_while_it_is_gone) {
  auto a = start(0, "a");
  auto b = clouds_.start(1, "b", TestStreams("b"), {.forget_after = absl::Seconds(20)});
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 1; }));
  clouds_.kill_hub(GetParam());
  run_for(absl::Seconds(60));
  for (const char* actor : {"executor", "begun", "begun"}) a->publish(actor, "web1");
  clouds_.start_hub(GetParam());
  EXPECT_TRUE(clouds_.run_until([&] {
    a->heartbeat();
    run_for(absl::Seconds(1));
    return b->events.size() == 4;
  })) << b->events.size();
  EXPECT_EQ(b->sequences("a/begun"), range(1, 2));
  EXPECT_EQ(b->sequences("a/executor"), range(1, 2));
  EXPECT_TRUE(b->gaps.empty());
}

INSTANTIATE_TEST_SUITE_P(OfThePublisher, HubForgotten, testing::Values(0));
INSTANTIATE_TEST_SUITE_P(OfTheSubscriber, HubForgotten, testing::Values(1));

// Follows what it is given, and keeps what is published on it.
class KeptBus final : public RelayingBus {
 public:
  void start(BusReceiver&, std::vector<OriginTail>) override {}
  void publish(const Event& event) override { published.push_back(event); }
  void subscribe(std::string, Reply<Done>) override {}
  void unsubscribe(std::string) override {}
  void request(Address, std::string, Reply<std::string>) override {}
  void relay(Beyond&, bool) override {}
  bool has(std::string_view) const override { return false; }
  std::vector<std::string> relays() const override { return {}; }
  const GapDetector& followed() const override { return detector; }
  std::vector<std::string> news() override { return detector.news(); }
  const Proofs* proofs() const override { return nullptr; }
  void publish_proof(const Event&, std::string_view) override {}

  GapDetector detector{hub_gap_options()};
  std::vector<Event> published;
};

TEST(HubDigest,
     is_in_several_heartbeats_where_an_origin_has_said_something_under_very_many_prefixes) {
  constexpr std::size_t count = 10'000;
  VirtualScheduler scheduler;
  EventPool pool;
  KeptBus cloud, wide;
  std::vector<std::string> prefixes;
  wide.detector.relays("hub-b");
  for (std::size_t i = 0; i < count; ++i) {
    prefixes.push_back(absl::StrCat("vm.dirty_rate.", std::string(58, 't'), 10'000 + i, "."));
    wide.detector.subscribe(prefixes.back());
    wide.detector.in_effect(
        "hub-b", prefixes.back(),
        std::vector{OriginTail{"z/executor", 1, 9, 0, 0, {{prefixes.back(), 9, 0, 0}}}});
  }
  std::vector<std::string> complaints;
  const Hub hub(scheduler, pool, cloud, wide,
                {.name = "hub", .complain = [&](const std::string&, const std::string& why) {
                   complaints.push_back(why);
                 }});
  scheduler.run_for(absl::Seconds(1));
  EXPECT_THAT(complaints, testing::IsEmpty());
  std::vector<std::string> told;
  std::uint64_t beats = 0;
  for (const Event& event : cloud.published) {
    EXPECT_EQ(event.previous(0), beats);
    beats = event.sequence();
    for (const auto tail : event.payload().getNodeHeartbeat().getTails())
      for (const auto prefix : tail.getPrefixes()) told.emplace_back(text(prefix.getPrefix()));
  }
  EXPECT_THAT(told, testing::UnorderedElementsAreArray(prefixes));
}

}  // namespace
}  // namespace supercloud
