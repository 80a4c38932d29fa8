// What others have said passes hubs with its proof, and a hub that lies is not believed.
#include "bus/hub_proofs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bus/history.h"
#include "tests/bus/hub_fixture.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

using testing::ElementsAre;

class HubProofsTest : public CloudsTest {
 protected:
  HubProofsTest() : CloudsTest(2, {.keys_of = test_keys_of}, {.keys_of = test_keys_of}) {}
};

TEST_F(HubProofsTest, what_is_logged_passes_with_its_commit_and_nobody_asks_for_it) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->publish_started("executor", "web1");
  a->publish("executor", "web1");
  run_for(absl::Milliseconds(100));
  EXPECT_THAT(b->events, testing::IsEmpty()) << "what is not in a log yet may never have been said";
  a->publish_started("policy", "web1");
  a->end_commit();
  run_for(absl::Milliseconds(20));
  EXPECT_THAT(b->sequences("a/executor"), ElementsAre(1, 2));
  EXPECT_THAT(b->sequences("a/policy"), ElementsAre(1));
  run_for(absl::Seconds(5));
  EXPECT_EQ(a->asked, 0);
  EXPECT_THAT(b->rejected, testing::IsEmpty());
  EXPECT_THAT(b->gaps, testing::IsEmpty());
}

TEST_F(HubProofsTest, telemetry_waits_for_nothing) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->publish_started("executor", "web1");
  a->publish("watcher", "web1");
  run_for(absl::Milliseconds(20));
  EXPECT_THAT(b->sequences("a/watcher"), ElementsAre(1));
}

TEST_F(HubProofsTest, a_proof_that_is_lost_is_asked_for_with_what_it_proves) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->publish_started("executor", "web1");
  a->end_commit();
  run_for(absl::Milliseconds(20));
  ASSERT_THAT(b->sequences("a/executor"), ElementsAre(1));
  clouds_.networks[1]->block("hub-1", "b");
  a->publish_started("executor", "web1");
  a->end_commit();
  run_for(absl::Milliseconds(50));
  clouds_.networks[1]->heal();
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 2; }));
  EXPECT_EQ(a->asked, 1);
  EXPECT_THAT(b->gaps, testing::IsEmpty());
}

// The hub loses the proof of an event to `b`, and tells of it later: it is asked for.
class AskedReplayTest : public HubProofsTest {
 protected:
  std::unique_ptr<BusProcess> start_b(HeardBefore::Positions before) {
    heard_ = std::make_shared<HeardBefore>(std::move(before));
    auto b =
        clouds_.start(1, "b", TestStreams("b"), {.keys_of = test_keys_of, .heard_before = heard_});
    join({a_.get(), b.get()});
    subscribe(*b, "vm.");
    return b;
  }
  void lose_one() {
    clouds_.networks[1]->block("hub-1", "b");
    a_->publish_started("executor", "web1");
    a_->end_commit();
    run_for(absl::Milliseconds(50));
    clouds_.networks[1]->heal();
  }
  HeardBefore::Position newest() const { return heard_->newest().at("a/executor").position; }

  std::unique_ptr<BusProcess> a_ = start(0, "a");
  std::shared_ptr<HeardBefore> heard_;
};

TEST_F(AskedReplayTest, what_was_asked_for_is_remembered_too) {
  auto b = start_b({});
  a_->publish_started("executor", "web1");
  a_->end_commit();
  run_for(absl::Milliseconds(20));
  ASSERT_THAT(b->sequences("a/executor"), ElementsAre(1));
  lose_one();
  ASSERT_TRUE(clouds_.run_until([&] { return b->events.size() == 2; }));
  EXPECT_EQ(a_->asked, 1);
  EXPECT_EQ(newest(), (HeardBefore::Position{1, 2}));
}

TEST_F(AskedReplayTest,
       what_a_process_before_has_heard_does_not_count_though_a_hub_has_it_asked_for) {
  auto b = start_b({{"a/executor", {{1, 2}, HybridTime{2 << 12}}}});
  lose_one();
  lose_one();
  ASSERT_TRUE(clouds_.run_until([&] { return !b->gaps.empty(); })) << "not in silence";
  EXPECT_EQ(b->gaps[0].why, gap_refused);
  EXPECT_GT(a_->asked, 0);
  a_->publish_started("executor", "web1");
  a_->end_commit();
  ASSERT_TRUE(clouds_.run_until([&] { return !b->events.empty(); }));
  EXPECT_THAT(b->sequences("a/executor"), ElementsAre(3)) << "what is new counts";
  EXPECT_EQ(newest(), (HeardBefore::Position{1, 3}));
}

TEST_F(HubProofsTest, what_no_commit_ends_is_told_as_a_gap) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  join({a.get(), b.get()});
  subscribe(*b, "vm.");
  a->publish_started("executor", "web1");
  a->commit.clear();
  run_for(absl::Seconds(3));
  a->publish("executor", "web1");
  a->heartbeat();
  ASSERT_TRUE(clouds_.run_until([&] { return !b->events.empty() && !b->gaps.empty(); }));
  EXPECT_THAT(b->sequences("a/executor"), ElementsAre(2));
  EXPECT_EQ(b->gaps[0].up_to, 1);
}

TEST_F(HubProofsTest, checkpoints_pass_as_events_to_who_subscribes_them_and_nobody_else) {
  auto a = start(0, "a");
  auto b = start(1, "b");
  auto c = start(1, "c");
  join({a.get(), b.get(), c.get()});
  subscribe(*b, "vm.");
  a->publish_started("executor", "web1");
  a->end_commit();
  run_for(absl::Seconds(5));
  EXPECT_EQ(clouds_.hub_bus(1).followed().standing_of("a/log"), std::nullopt);
  EXPECT_EQ(clouds_.wide_bus(1).followed().standing_of("a/log"), std::nullopt)
      << "nor is another cloud told where that stands";
  subscribe(*c, "bus.");
  a->publish_started("executor", "web1");
  a->end_commit();
  run_for(absl::Seconds(5));
  EXPECT_THAT(c->sequences("a/log"), ElementsAre(2));
  EXPECT_THAT(b->sequences("a/log"), testing::IsEmpty());
  EXPECT_THAT(b->sequences("a/executor"), ElementsAre(1, 2));
}

class AwaitingProofTest : public testing::Test {
 protected:
  Event logged(std::string_view actor) { return streams_.started(pool_, actor, "web1"); }

  VirtualScheduler scheduler_;
  EventPool pool_;
  TestStreams streams_{"a"};
  Proofs proofs_{test_keys_of};
  std::vector<std::string> passed_;
  AwaitingProof awaiting_{scheduler_, &proofs_, [this](const Event& event, const Event* proof) {
                            passed_.push_back(event.id().to_string() + (proof ? "" : "?"));
                          }};
};

TEST_F(AwaitingProofTest, each_origin_goes_on_as_far_as_it_is_proven) {
  const Event first = logged("x"), second = logged("x"), other = logged("y");
  for (const Event& event : {first, second, other}) awaiting_.take(event);
  const Event checkpoint = streams_.checkpoint(pool_, {first}, "a");
  ASSERT_TRUE(proofs_.take(checkpoint).ok());
  awaiting_.proven_by(checkpoint);
  EXPECT_THAT(passed_, ElementsAre("a/x:1:1"));
  const Event rest = streams_.checkpoint(pool_, {other, second}, "a");
  ASSERT_TRUE(proofs_.take(rest).ok());
  awaiting_.proven_by(rest);
  EXPECT_THAT(passed_, ElementsAre("a/x:1:1", "a/x:1:2", "a/y:1:1"));
}

TEST_F(AwaitingProofTest, what_waits_in_vain_passes_without_a_second_later) {
  awaiting_.take(logged("x"));
  scheduler_.run_for(absl::Milliseconds(600));
  awaiting_.take(logged("x"));
  awaiting_.take(logged("y"));
  EXPECT_THAT(passed_, testing::IsEmpty());
  scheduler_.run_for(absl::Milliseconds(600));
  EXPECT_THAT(passed_, ElementsAre("a/x:1:1?", "a/x:1:2?"));
  scheduler_.run_for(absl::Milliseconds(600));
  EXPECT_THAT(passed_, ElementsAre("a/x:1:1?", "a/x:1:2?", "a/y:1:1?"));
}

TEST_F(AwaitingProofTest, so_does_what_waits_longest_where_too_much_does) {
  awaiting_.take(logged("x"));
  scheduler_.run_for(absl::Milliseconds(1));
  for (std::size_t i = 0; i < AwaitingProof::events_max; ++i) awaiting_.take(logged("y"));
  EXPECT_THAT(passed_, ElementsAre("a/x:1:1?"));
}

// In the place of a cloud's hub, with a node "far" beyond it that says what the test wants.
class LyingHubTest : public HubProofsTest, private Beyond {
 protected:
  LyingHubTest() {
    clouds_.kill_hub(1);
    liar_bus_ = std::make_unique<SimulatedBus>(
        "hub-1", *clouds_.networks[1], clouds_.scheduler, pool_,
        SimulatedBusOptions{.gaps = hub_gap_options(), .keys_of = test_keys_of});
    liar_bus_->relay(*this, false);
    liar_bus_->start(liar_, {});
    far_.keeps_log = true;
    b_ = start(1, "b");
    EXPECT_TRUE(
        clouds_.run_until([&] { return !dynamic_cast<SimulatedBus&>(*b_->bus).relays().empty(); }));
    subscribe(*b_, "vm.");
  }
  ~LyingHubTest() override { liar_bus_.reset(); }

  Event said() { return streams_.started(pool_, "executor", "web1"); }
  Event signed_by(const std::string& signer, const std::vector<Event>& events) {
    return streams_.checkpoint(pool_, events, signer);
  }
  void pass(const Event& event, const Event& checkpoint) {
    liar_bus_->publish_proof(checkpoint, "vm.started.main.");
    liar_bus_->publish(event);
  }
  bool forgery_is_told(const std::string& words) {
    return clouds_.run_until([&] {
      return std::ranges::any_of(b_->rejected, [&](const std::string& line) {
        return line.find(words) != std::string::npos;
      });
    });
  }

  EventPool pool_;
  TestStreams streams_{"far"};  // as its node has them
  BusProcess liar_{"hub-1", std::make_unique<EventPool>()};
  BusProcess far_{"far", std::make_unique<EventPool>()};  // how the hub answers in its name
  std::unique_ptr<SimulatedBus> liar_bus_;
  std::unique_ptr<BusProcess> b_;

 private:
  void want(const std::string&, Reply<Done> reply) override { reply(Done{}); }
  void let_go(const std::string&) override {}
  bool has(std::string_view) const override { return true; }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    const auto range = decode_question(bytes);
    if (!range.ok()) return reply(range.status());
    serve_history(far_, to.node, to.actor, *range, std::move(reply), true);
  }
  std::vector<OriginTail> standing() const override { return {}; }
};

TEST_F(LyingHubTest, is_believed_while_it_tells_the_truth) {
  const Event event = said();
  pass(event, signed_by("far", {event}));
  ASSERT_TRUE(clouds_.run_until([&] { return !b_->events.empty(); }));
  EXPECT_EQ(b_->events[0].origin(), "far/executor");
}

TEST_F(LyingHubTest, what_it_makes_up_is_not_taken) {
  liar_bus_->publish(said());
  EXPECT_TRUE(forgery_is_told("relays what no checkpoint proves"));
  run_for(absl::Seconds(20));
  EXPECT_THAT(b_->events, testing::IsEmpty());
}

TEST_F(LyingHubTest, nor_if_it_signs_that_itself) {
  const Event event = said();
  pass(event, signed_by("hub-1", {event}));
  EXPECT_TRUE(forgery_is_told("signed by no key that is enrolled as far"));
  run_for(absl::Seconds(20));
  EXPECT_THAT(b_->events, testing::IsEmpty());
}

TEST_F(LyingHubTest, nor_what_it_has_changed) {
  const Event event = said();
  const Event checkpoint = signed_by("far", {event});
  TestStreams changed("far");
  pass(changed.started(pool_, "executor", "web2"), checkpoint);
  EXPECT_TRUE(forgery_is_told("is not what its checkpoint lists"));
  run_for(absl::Seconds(20));
  EXPECT_THAT(b_->events, testing::IsEmpty());
  pass(event, checkpoint);
  run_for(absl::Seconds(1));
  EXPECT_THAT(b_->sequences("far/executor"), ElementsAre(1)) << "the true one still counts";
}

TEST_F(LyingHubTest, what_it_repeats_is_taken_once) {
  const Event event = said();
  const Event checkpoint = signed_by("far", {event});
  for (int i = 0; i < 3; ++i) pass(event, checkpoint);
  run_for(absl::Seconds(1));
  EXPECT_THAT(b_->sequences("far/executor"), ElementsAre(1));
}

TEST_F(LyingHubTest, nor_a_checkpoint_that_is_none) {
  subscribe(*b_, "bus.");
  const Event event = said();
  pass(event, signed_by("far", {event}));
  ASSERT_TRUE(clouds_.run_until([&] { return !b_->events.empty(); }));
  liar_bus_->publish(signed_by("hub-1", {event}));
  EXPECT_TRUE(forgery_is_told("signed by no key that is enrolled as far"));
  EXPECT_EQ(b_->events.size(), 1);
}

TEST_F(LyingHubTest, nor_what_it_answers_for_a_neighbour_that_has_died) {
  auto c = start(1, "c");
  ASSERT_TRUE(clouds_.run_until([&] { return b_->sees("c") && c->sees("b"); }));
  subscribe(*b_, "vm.");
  c->publish_started("executor", "web1");
  ASSERT_TRUE(clouds_.run_until([&] { return b_->events.size() == 1; }));
  clouds_.networks[1]->block("c", "b");
  c->publish_started("executor", "web1");
  run_for(absl::Milliseconds(50));
  clouds_.networks[1]->heal();
  clouds_.networks[1]->block("b", "c");  // it cannot be asked
  c->publish_started("executor", "web1");
  run_for(absl::Seconds(1));
  c.reset();
  TestStreams changed("c");
  changed.started(pool_, "executor", "web1");
  far_.log = {changed.started(pool_, "executor", "web2"),
              changed.started(pool_, "executor", "web2")};
  run_for(absl::Minutes(1));
  EXPECT_GT(far_.asked, 0);
  EXPECT_THAT(b_->sequences("c/executor"), testing::Not(testing::Contains(2)));
  for (const Event& event : b_->events) EXPECT_EQ(event.topic(), "vm.started.main.web1");
}

TEST_F(LyingHubTest, what_it_leaves_out_is_missed_and_what_it_answers_in_its_place_is_not_taken) {
  const Event first = said(), second = said(), third = said();
  pass(first, signed_by("far", {first}));
  ASSERT_TRUE(clouds_.run_until([&] { return !b_->events.empty(); }));
  TestStreams changed("far");
  changed.started(pool_, "executor", "web1");
  far_.log = {changed.started(pool_, "executor", "web2")};  // with the number of the second
  far_.checkpoints = {signed_by("hub-1", far_.log)};
  pass(third, signed_by("far", {second, third}));
  ASSERT_TRUE(clouds_.run_until([&] { return b_->events.size() == 2; }, absl::Minutes(1)));
  EXPECT_THAT(b_->sequences("far/executor"), ElementsAre(1, 3));
  ASSERT_EQ(b_->gaps.size(), 1);
  EXPECT_EQ(b_->gaps[0].after, 1);
  EXPECT_EQ(b_->gaps[0].up_to, 2);
}

}  // namespace
}  // namespace supercloud
