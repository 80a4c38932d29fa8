#include "bus/gap_detector.h"

#include <algorithm>

#include "tests/bus/gap_detector_fixture.h"

namespace supercloud {
namespace {

TEST_F(GapDetectorTest, events_in_order_pass_at_once) {
  detector_.in_effect("a", "vm.", {});
  for (const Event& event : vms(3)) arrive(event);
  EXPECT_EQ(told(), (Told{"1", "2", "3"}));
  EXPECT_EQ(detector_.wake_at(), far_future);
}

TEST_F(GapDetectorTest, what_is_not_subscribed_is_not_missing) {
  detector_.in_effect("a", "vm.", {});
  const Event first = vm();
  migration();
  const Event second = vm();
  arrive(first);
  arrive(second);
  EXPECT_EQ(told(), (Told{"1", "3"}));
}

TEST_F(GapDetectorTest, a_duplicate_is_dropped) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(2);
  for (std::size_t i : {0, 0, 1, 0, 1}) arrive(events[i]);
  EXPECT_EQ(told(), (Told{"1", "2"}));
  EXPECT_EQ(detector_.counts().duplicates, 3);
}

TEST_F(GapDetectorTest, an_overtaken_event_is_waited_for_and_order_is_restored) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(5);
  for (std::size_t i : {0, 3, 2, 4}) arrive(events[i]);
  EXPECT_EQ(told(), (Told{"1"}));
  arrive(events[1]);
  EXPECT_EQ(told(), (Told{"2", "3", "4", "5"}));
  EXPECT_EQ(detector_.wake_at(), far_future);
}

TEST_F(GapDetectorTest, what_does_not_come_within_the_hold_is_a_gap) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(5);
  arrive(events[0]);
  arrive(events[3]);
  arrive(events[4]);
  EXPECT_EQ(detector_.wake_at(), now_ + absl::Milliseconds(200));
  wait(absl::Milliseconds(199));
  EXPECT_EQ(told(), (Told{"1"}));
  wait(absl::Milliseconds(1));
  EXPECT_EQ(told(), (Told{"gap vm. 2-3", "4", "5"}));
  arrive(events[1]);
  EXPECT_EQ(told(), Told{}) << "too late: it would break the order, and was reported";
}

TEST_F(GapDetectorTest, no_more_than_held_max_wait) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(131);
  for (std::size_t i = 1; i < events.size(); ++i) arrive(events[i]);
  const auto all = told();
  ASSERT_EQ(all.size(), 131);
  EXPECT_EQ(all.front(), "gap vm. 1-1");
  EXPECT_EQ(detector_.held(), 0);
}

TEST_F(GapDetectorTest, a_tail_that_does_not_arrive_is_a_gap) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(3);
  arrive(events[0]);
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "gap vm. 2-3"}));
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{}) << "told once";
}

TEST_F(GapDetectorTest, a_tail_that_was_only_slower_than_the_heartbeat_is_none) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(2);
  arrive(events[0]);
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(100));
  arrive(events[1]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "2"}));
}

TEST_F(GapDetectorTest, an_origin_never_heard_of_is_missed_by_its_tail) {
  detector_.in_effect("a", "vm.", {});
  vms(2);
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"gap vm. 1-2"}));
}

TEST_F(GapDetectorTest, tails_of_another_nodes_origins_are_not_believed) {
  detector_.in_effect("b", "vm.", {});
  vms(2);
  detector_.tails("b", streams_.heartbeat(pool_).payload().getNodeHeartbeat(), now_);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{});
}

TEST_F(GapDetectorTest, nothing_before_the_subscription_is_owed) {
  const auto events = vms(5);
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 3}});
  arrive(events[4]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"gap vm. 4-4", "5"})) << "4 was published after it was in effect";
}

TEST_F(GapDetectorTest, what_arrives_before_the_answer_counts_from_there) {
  const auto events = vms(5);
  arrive(events[2]);
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 3}});
  arrive(events[3]);
  EXPECT_EQ(told(), (Told{"3", "4"}));
}

TEST_F(GapDetectorTest, an_origin_with_a_past_that_begins_to_publish_owes_only_what_is_new) {
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 3}});
  const auto events = vms(5);
  arrive(events[3]);
  EXPECT_EQ(told(), (Told{"4"}));
}

TEST_F(GapDetectorTest,
       an_origin_known_by_another_subscription_owes_what_follows_once_this_one_is_in_effect) {
  // As in the simulator's seed 264: the first event that it publishes in a new process is lost.
  for (const bool in_log : {true, false}) {
    detector_ = GapDetector({.repair = false});
    streams_ = TestStreams("a");
    detector_.subscribe("vm.");
    detector_.subscribe("migration.");
    detector_.in_effect("a", "migration.", {{"a/executor", 1, 3}});
    if (in_log) detector_.restarted("a");
    const auto events = vms(5);
    if (in_log) detector_.in_effect("a", "vm.", {{"a/executor", 1, 3}});
    if (!in_log) detector_.in_effect("a", "vm.", {});
    arrive(events[4]);
    wait(absl::Milliseconds(200));
    EXPECT_EQ(told(), (Told{in_log ? "gap vm. 4-4" : "gap vm. 1-4", "5"}));
  }
}

TEST_F(GapDetectorTest, a_process_tells_what_the_one_before_had_sent_in_vain) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(3);
  arrive(events[0]);
  detector_.restarted("a");
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 3}});
  EXPECT_EQ(told(), (Told{"1"})) << "nothing is owed anew, and nothing is let go";
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"gap vm. 2-3"}));
}

TEST_F(GapDetectorTest, an_origin_never_heard_of_owes_what_it_said_through_a_process_that_ended) {
  detector_.in_effect("a", "vm.", {});
  vms(2);
  detector_.restarted("a");
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 2}});
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"gap vm. 1-2"}));
}

TEST_F(GapDetectorTest, a_process_that_does_not_know_an_origin_has_lost_its_log) {
  detector_.subscribe("migration.");
  detector_.in_effect("a", "vm.", {});
  detector_.in_effect("a", "migration.", {});
  const auto events = vms(4);
  arrive(events[0]);
  arrive(events[3]);
  detector_.restarted("a");
  EXPECT_EQ(told(), (Told{"1"}));
  detector_.in_effect("a", "vm.", {});
  EXPECT_EQ(told(), (Told{"gap vm. 2-3", "4", "gap  1-?"})) << "1: nothing of migration. arrived";
  detector_.in_effect("a", "migration.", {});
  TestStreams next("a");
  next.incarnation = 2;
  arrive(next.event(pool_, "executor", "web1"));
  EXPECT_EQ(told(), (Told{"1"})) << "told once";
}

TEST_F(GapDetectorTest, an_origin_that_began_after_the_answer_was_sent_has_not_lost_its_log) {
  detector_.in_effect("a", "vm.", {});
  detector_.restarted("a");
  const Event first = vm();
  arrive(first);  // has overtaken the answer
  detector_.in_effect("a", "vm.", {});
  arrive(first);
  EXPECT_EQ(told(), (Told{"1"}));
  EXPECT_EQ(detector_.counts().duplicates, 1);
}

TEST_F(GapDetectorTest, a_shorter_subscription_does_not_cover_what_was_lost_before_it) {
  for (const bool by_heartbeat : {true, false}) {
    detector_ = GapDetector({.repair = false});
    streams_ = TestStreams("a");
    detector_.subscribe("vm.");
    detector_.subscribe("");
    detector_.in_effect("a", "vm.", {});
    const auto events = vms(4);
    arrive(events[0]);
    detector_.in_effect("a", "", {{"a/executor", 1, 2}});
    if (by_heartbeat) {
      beat(streams_.heartbeat(pool_));
      wait(absl::Milliseconds(200));
      EXPECT_EQ(told(), (Told{"1", "gap  3-4", "gap vm. 2-4"}));
    } else {
      arrive(events[3]);
      wait(absl::Milliseconds(200));
      EXPECT_EQ(told(), (Told{"1", "gap  3-3", "gap vm. 2-3", "4"}));
    }
  }
}

TEST_F(GapDetectorTest, a_new_incarnation_starts_anew) {
  detector_.in_effect("a", "vm.", {});
  const auto old = vms(3);
  for (const Event& event : old) arrive(event);
  TestStreams next("a");
  next.incarnation = 2;
  arrive(next.event(pool_, "executor", "web1"));
  arrive(old[2]);
  EXPECT_EQ(told(), (Told{"1", "2", "3", "gap  4-?", "1"}))
      << "whether 3 was the last, no log tells";
  EXPECT_EQ(detector_.counts().stale, 1);
}

TEST_F(GapDetectorTest, the_first_events_of_a_new_incarnation_are_owed) {
  detector_.in_effect("a", "vm.", {});
  arrive(vm());
  TestStreams next("a");
  next.incarnation = 2;
  next.event(pool_, "executor", "web1");
  arrive(next.event(pool_, "executor", "web1"));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "gap  2-?", "gap vm. 1-1", "2"}));
}

TEST_F(GapDetectorTest, overlapping_subscriptions_tell_once) {
  detector_.subscribe("");
  detector_.subscribe("vm.dirty_rate.main.");
  for (const char* prefix : {"", "vm.", "vm.dirty_rate.main."})
    detector_.in_effect("a", prefix, {});
  const auto events = vms(3);
  arrive(events[0]);
  arrive(events[2]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "gap  2-2", "3"}));
  vm();
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"gap  4-4"}));
}

TEST_F(GapDetectorTest, an_event_overtaken_by_another_subscriptions_is_a_gap_and_not_out_of_order) {
  detector_.subscribe("migration.");
  detector_.in_effect("a", "vm.", {});
  detector_.in_effect("a", "migration.", {});
  const Event first = vm();
  const Event second = migration();
  arrive(second);
  arrive(first);
  EXPECT_EQ(told(), (Told{"2", "gap vm. 1-1"}));
}

TEST_F(GapDetectorTest, unsubscribing_lets_go_what_waits_for_it_alone) {
  detector_.in_effect("a", "vm.", {});
  arrive(vms(3)[2]);
  EXPECT_EQ(detector_.held(), 1);
  detector_.unsubscribe("vm.");
  EXPECT_EQ(detector_.held(), 0);
  EXPECT_EQ(told(), Told{});
  EXPECT_EQ(detector_.wake_at(), far_future);
}

TEST_F(GapDetectorTest, memory_is_bounded_and_a_forgotten_origin_is_not_accused) {
  GapDetector::Options options{.repair = false};
  options.origins_max = 4;
  detector_ = GapDetector(options);
  detector_.subscribe("vm.");
  detector_.in_effect("a", "vm.", {});
  for (int round = 0; round < 3; ++round) {
    for (const char* actor : {"p", "q", "r", "s", "t", "u"})
      arrive(streams_.event(pool_, actor, "web1"));
  }
  wait(absl::Seconds(1));
  const auto all = told();
  EXPECT_EQ(all.size(), 18);
  EXPECT_GT(detector_.counts().forgotten, 0);
}

TEST_F(GapDetectorTest, an_event_with_impossible_predecessors_is_refused) {
  Draft draft = pool_.draft("web1");
  draft.payload().initVmDirtyRate();
  ASSERT_TRUE(draft.set_topic().ok());
  Envelope envelope;
  envelope.origin = "a/executor";
  envelope.incarnation = 1;
  envelope.sequence = 4;
  envelope.previous[0] = 2;
  envelope.previous[1] = 3;
  EXPECT_TRUE(absl::IsInvalidArgument(detector_.arrived(*std::move(draft).seal(envelope), now_)));
}

TEST_F(GapDetectorTest, a_new_incarnation_owes_the_tail_of_the_one_before) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(3);
  arrive(events[0]);
  beat(streams_.heartbeat(pool_));
  TestStreams next("a");
  next.incarnation = 2;
  arrive(next.event(pool_, "executor", "web1"));
  EXPECT_EQ(told(), (Told{"1", "gap  2-?", "1"}));
  wait(absl::Seconds(1));
  EXPECT_EQ(told(), Told{}) << "told once";
}

TEST_F(GapDetectorTest, an_origin_that_is_forgotten_owes_its_tail) {
  GapDetector::Options options{.repair = false};
  options.origins_max = 1;
  detector_ = GapDetector(options);
  detector_.subscribe("vm.");
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(3);
  arrive(events[0]);
  beat(streams_.heartbeat(pool_));
  TestStreams other("b");
  arrive(other.event(pool_, "executor", "web1"));
  EXPECT_EQ(detector_.counts().forgotten, 1);
  EXPECT_EQ(told(), (Told{"1", "gap vm. 2-3", "1"}));
}

TEST_F(GapDetectorTest, of_a_publisher_that_is_forgotten_known_origins_stay_owed) {
  const auto events = vms(3);
  detector_.in_effect("a", "vm.", {});
  arrive(events[0]);
  detector_.forget("a");
  detector_.forget("b");
  arrive(events[2]);
  streams_.event(pool_, "another", "web1");  // is lost
  arrive(streams_.event(pool_, "another", "web1"));
  wait(absl::Seconds(1));
  EXPECT_EQ(told(), (Told{"1", "2", "gap vm. 2-2", "3"}))
      << "the other origin is new, until the handshake";
}

}  // namespace
}  // namespace supercloud
