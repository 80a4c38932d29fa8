// The gap detector where there is a log to be asked: what it asks for, and what becomes of the answers.
#include <algorithm>

#include "tests/bus/gap_detector_fixture.h"

namespace supercloud {
namespace {

class RepairTest : public GapDetectorTest {
 protected:
  RepairTest() : GapDetectorTest(true) {}

  // The publisher's log has `logged` of what is asked for; an answer goes up to `through`.
  void answer(const std::vector<Event>& logged, std::uint64_t through = BusGap::unknown) {
    through = std::min(through, asked_.range.up_to);
    std::vector<Event> part;
    for (const Event& event : logged) {
      const std::uint64_t sequence = event.sequence();
      if (sequence > asked_.range.after && sequence <= through && asked_.range.has(event.topic()))
        part.push_back(event);
    }
    ASSERT_TRUE(detector_.repaired(asked_.id, part, through, now_).ok());
  }
  // The first has arrived, what follows up to `tail` is asked for, and in doubt again the last arrives.
  void ask_in_doubt(const std::vector<Event>& events, std::uint64_t tail) {
    detector_.in_effect("a", "vm.", {});
    arrive(events.front());
    detector_.doubt("a");
    detector_.cleared("a", {{"a/executor", 1, tail}}, now_);
    EXPECT_EQ(told(), (Told{"1", "ask vm. 2-" + std::to_string(tail)}));
    detector_.doubt("a");
    arrive(events.back());
    EXPECT_EQ(told(), Told{});
  }
};

TEST_F(RepairTest, what_does_not_come_within_the_hold_is_asked_for_and_delivered_in_order) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(6);
  arrive(events[0]);
  arrive(events[3]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "ask vm. 2-3"}));
  arrive(events[4]);
  EXPECT_EQ(told(), Told{}) << "behind what is missing";
  EXPECT_EQ(detector_.wake_at(), far_future) << "the answer comes";
  answer(events);
  EXPECT_EQ(told(), (Told{"2", "3", "4", "5"}));
  arrive(events[5]);
  arrive(events[2]);
  EXPECT_EQ(told(), (Told{"6"}));
  EXPECT_EQ(detector_.counts().duplicates, 1);
}

TEST_F(RepairTest, what_the_log_does_not_have_is_a_gap) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(7);
  arrive(events[0]);
  arrive(events[5]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "ask vm. 2-5"}));
  answer({events[2], events[3]});
  EXPECT_EQ(told(), (Told{"gap vm. 2-2", "3", "4", "gap vm. 5-5", "6"}));
  arrive(events[6]);
  EXPECT_EQ(told(), (Told{"7"}));
}

TEST_F(RepairTest, without_an_answer_all_of_it_is_a_gap) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(5);
  arrive(events[2]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask vm. 1-2"}));
  detector_.unrepaired(asked_.id, "nobody knows");
  auto gap = detector_.next();
  ASSERT_TRUE(gap.has_value());
  EXPECT_EQ(std::get<BusGap>(*gap).why, "nobody knows");
  EXPECT_EQ(told(), (Told{"3"}));
}

TEST_F(RepairTest, what_nobody_answered_for_is_not_said_to_be_missing_from_the_log) {
  detector_.in_effect("a", "vm.", {});
  auto events = vms(2);
  arrive(events[0]);
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "ask vm. 2-2"}));
  for (const Event& event : vms(3)) events.push_back(event);
  arrive(events[3]);
  beat(streams_.heartbeat(pool_));
  detector_.unrepaired(asked_.id, "nobody knows");
  EXPECT_EQ(told(), (Told{"ask vm. 3-5"})) << "by now more is missing";
  const std::vector<Event> rest(events.begin() + 2, events.end());
  ASSERT_TRUE(detector_.repaired(asked_.id, rest, 5, now_).ok());
  auto gap = detector_.next();
  ASSERT_TRUE(gap.has_value());
  EXPECT_EQ(std::get<BusGap>(*gap).after, 1U);
  EXPECT_EQ(std::get<BusGap>(*gap).up_to, 2U);
  EXPECT_EQ(std::get<BusGap>(*gap).why, "nobody knows");
  EXPECT_EQ(told(), (Told{"3", "4", "5"}));
}

TEST_F(RepairTest, the_end_of_a_stream_is_asked_for) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(3);
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask vm. 1-3"}));
  answer({events[0], events[1]});
  EXPECT_EQ(told(), (Told{"1", "2", "gap vm. 3-3"})) << "the last was volatile";
  beat(streams_.heartbeat(pool_));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{});
}

TEST_F(RepairTest, a_long_range_comes_in_parts) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(100);
  arrive(events[99]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask vm. 1-99"}));
  answer(events, 60);
  auto all = told();
  ASSERT_EQ(all.size(), 61);
  EXPECT_EQ(all.back(), "ask vm. 61-99");
  answer(events);
  all = told();
  ASSERT_EQ(all.size(), 40);
  EXPECT_EQ(all.back(), "100");
}

TEST_F(RepairTest, all_subscriptions_are_asked_for_at_once_so_that_the_origins_order_is_kept) {
  detector_.subscribe("migration.");
  detector_.subscribe("vm.dirty_rate.");
  for (const char* prefix : {"migration.", "vm.", "vm.dirty_rate."})
    detector_.in_effect("a", prefix, {});
  const std::vector<Event> events{vm(), migration(), vm(), migration(), vm()};
  arrive(events[4]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask migration. vm. 1-3"})) << "of 4 nothing is known yet";
  answer(events);
  EXPECT_EQ(told(), (Told{"1", "2", "3", "5"}));
}

TEST_F(RepairTest, of_more_than_held_max_the_newest_are_let_go_and_asked_for_later) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(1000);
  for (std::size_t i = 1; i < 900; ++i) arrive(events[i]);
  EXPECT_EQ(told(), (Told{"ask vm. 1-1"})) << "at once, when no more can be held";
  EXPECT_LE(detector_.held(), 128);
  EXPECT_GT(detector_.counts().shed, 0);
  Told all;
  for (int round = 0; round < 10; ++round) {
    answer(events);
    const Told more = told();
    all.insert(all.end(), more.begin(), more.end());
    if (more.empty() || !more.back().starts_with("ask")) break;
  }
  std::erase_if(all, [](const std::string& what) { return what.starts_with("ask"); });
  ASSERT_EQ(all.size(), 900) << "and each of them once";
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], std::to_string(i + 1));
  EXPECT_EQ(detector_.held(), 0);
}

TEST_F(RepairTest, an_answer_after_a_new_incarnation_changes_nothing) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(3);
  arrive(events[2]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask vm. 1-2"}));
  TestStreams next("a");
  next.incarnation = 2;
  arrive(next.event(pool_, "executor", "web1"));
  EXPECT_EQ(told(), (Told{"gap vm. 1-2", "3", "gap  4-?", "1"}));
  answer(events);
  EXPECT_EQ(told(), Told{});
}

TEST_F(RepairTest, a_publisher_that_restarts_is_asked_on) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(4);
  arrive(events[0]);
  arrive(events[3]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "ask vm. 2-3"}));
  detector_.restarted("a");
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 4}});
  answer(events);
  EXPECT_EQ(told(), (Told{"2", "3", "4"}));
}

TEST_F(RepairTest, what_is_unsubscribed_while_it_is_asked_for_is_not_missed) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(3);
  arrive(events[2]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask vm. 1-2"}));
  detector_.unsubscribe("vm.");
  answer(events);
  EXPECT_EQ(told(), Told{});
  EXPECT_EQ(detector_.held(), 0);
}

TEST_F(RepairTest, more_than_can_be_held_comes_from_the_log_behind_what_it_does_not_have) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(1000);
  arrive(events[999]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask vm. 1-999"}));
  answer({events.begin() + 1, events.end()});
  const auto all = told();
  ASSERT_EQ(all.size(), 1000);
  EXPECT_EQ(all.front(), "gap vm. 1-1");
  EXPECT_EQ(all.back(), "1000");
  EXPECT_EQ(detector_.counts().shed, 0);
}

TEST_F(RepairTest, in_doubt_nothing_is_delivered_before_what_may_be_lost_of_another_subscription) {
  detector_.subscribe("migration.");
  for (const char* prefix : {"migration.", "vm."}) detector_.in_effect("a", prefix, {});
  const std::vector<Event> events{vm(), migration(), vm(), vm()};
  arrive(events[0]);
  detector_.doubt("a");
  arrive(events[2]);
  wait(absl::Seconds(1));
  EXPECT_EQ(told(), (Told{"1"}))
      << "3 follows 1, but whether a migration's was between them is not known";
  detector_.cleared("a", {{"a/executor", 1, 3}}, now_);
  EXPECT_EQ(told(), (Told{"ask migration. vm. 2-3"}));
  answer(events);
  EXPECT_EQ(told(), (Told{"2", "3"}));
  arrive(events[3]);
  EXPECT_EQ(told(), (Told{"4"}));
}

TEST_F(RepairTest, a_doubt_that_was_none_lets_go_what_was_held) {
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 1}});
  const std::vector<Event> events{vm(), migration(), vm(), vm()};
  detector_.doubt("a");
  arrive(events[2]);
  arrive(events[3]);
  EXPECT_EQ(told(), Told{});
  detector_.cleared("a", {{"a/executor", 1, 4}}, now_);
  EXPECT_EQ(told(), (Told{"ask vm. 2-4"}));
  answer(events);
  EXPECT_EQ(told(), (Told{"3", "4"}));
}

TEST_F(RepairTest, in_doubt_goes_on_what_follows_without_a_hole_in_the_numbers) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(4);
  detector_.doubt("a");
  arrive(events[0]);
  arrive(events[1]);
  arrive(events[3]);
  EXPECT_EQ(told(), (Told{"1", "2"}));
  detector_.cleared("a", {{"a/executor", 1, 4}}, now_);
  EXPECT_EQ(told(), (Told{"ask vm. 3-4"}));
  detector_.doubt("a");
  answer(events);
  EXPECT_EQ(told(), (Told{"3", "4"}));
}

TEST_F(RepairTest, in_doubt_an_answer_tells_what_a_hole_in_the_numbers_was) {
  const std::vector<Event> events{vm(), migration(), vm()};
  ask_in_doubt(events, 2);
  answer(events);
  EXPECT_EQ(told(), (Told{"3"}));
}

TEST_F(RepairTest, what_was_not_answered_in_doubt_is_asked_for_again) {
  const std::vector<Event> events{vm(), vm(), vm(), migration(), vm()};
  ask_in_doubt(events, 3);
  detector_.unrepaired(asked_.id, "it was busy");
  EXPECT_EQ(told(), Told{});
  detector_.cleared("a", {{"a/executor", 1, 5}}, now_);
  EXPECT_EQ(told(), (Told{"ask vm. 2-5"}));
  answer(events);
  EXPECT_EQ(told(), (Told{"2", "3", "5"}));
}

TEST_F(RepairTest, what_was_let_go_is_not_overtaken_by_another_subscription) {
  detector_.subscribe("migration.");
  for (const char* prefix : {"migration.", "vm."}) detector_.in_effect("a", prefix, {});
  std::vector<Event> events = vms(200);
  for (int i = 0; i < 100; ++i) events.push_back(migration());
  events.push_back(vm());
  for (std::size_t i = 1; i < 300; ++i) arrive(events[i]);
  EXPECT_GT(detector_.counts().shed, 100);
  EXPECT_EQ(told(), (Told{"ask migration. vm. 1-1"}));
  answer(events);
  EXPECT_EQ(told().size(), 130) << "1, what was held, and a question";
  arrive(events[300]);
  EXPECT_EQ(told(), Told{});
  answer(events);
  Told rest;
  for (std::uint64_t sequence = 130; sequence <= 301; ++sequence)
    rest.push_back(std::to_string(sequence));
  EXPECT_EQ(told(), rest);
}

TEST_F(RepairTest, after_a_doubt_nothing_is_asked_for_that_is_older_than_its_subscription) {
  const auto events = vms(8);
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 5}});
  detector_.doubt("a");
  detector_.cleared("a", {{"a/executor", 1, 5}}, now_);
  EXPECT_EQ(told(), Told{}) << "nothing of it has arrived, and nothing is missing";
  arrive(events[5]);
  EXPECT_EQ(told(), (Told{"6"}));
  detector_.in_effect("b", "vm.", {{"b/executor", 1, 5}});
  detector_.doubt("b");
  detector_.cleared("b", {{"b/executor", 1, 7}}, now_);
  EXPECT_EQ(told(), (Told{"ask vm. 6-7"}));
}

TEST_F(RepairTest, in_doubt_nobody_is_asked_twice_for_what_no_log_has) {
  const std::vector<Event> events{vm(), vm(), migration(), migration(), vm()};
  ask_in_doubt(events, 3);
  answer({});
  EXPECT_EQ(told(), Told{}) << "2 was volatile";
  detector_.cleared("a", {{"a/executor", 1, 5}}, now_);
  EXPECT_EQ(told(), (Told{"ask vm. 4-5"}));
  answer(events);
  EXPECT_EQ(told(), (Told{"gap vm. 2-2", "5"}));
}

TEST_F(RepairTest, an_answer_in_doubt_says_nothing_of_what_lies_behind_it) {
  detector_.in_effect("a", "vm.", {});
  const std::vector<Event> events{vm(), vm(), vm(), migration(), vm(), vm()};
  arrive(events[2]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"ask vm. 1-2"}));
  detector_.doubt("a");
  answer(events);
  EXPECT_EQ(told(), (Told{"1", "2", "3"}));
  arrive(events[4]);
  EXPECT_EQ(told(), Told{});
  detector_.cleared("a", {{"a/executor", 1, 6}}, now_);
  EXPECT_EQ(told(), (Told{"ask vm. 4-6"}));
  answer(events);
  EXPECT_EQ(told(), (Told{"5", "6"}));
}

TEST_F(RepairTest, memory_in_doubt_is_bounded) {
  detector_.in_effect("a", "vm.", {});
  const auto events = vms(1000);
  detector_.doubt("a");
  for (std::size_t i = 1; i < events.size(); ++i) arrive(events[i]);
  EXPECT_EQ(told(), Told{});
  EXPECT_LE(detector_.held(), 128);
  detector_.cleared("a", {{"a/executor", 1, 900}}, now_);
  EXPECT_EQ(told(), (Told{"ask vm. 1-1000"})) << "what was let go is known to be there";
  answer(events);
  EXPECT_EQ(told().size(), 1000);
}

TEST_F(RepairTest, a_subscription_that_takes_effect_meanwhile_is_asked_for_too) {
  // As in the simulator's seed 4: the answer knows nothing of it.
  detector_.subscribe("migration.");
  detector_.in_effect("a", "vm.", {});
  const std::vector<Event> events{vm(), vm(), migration(), migration(), vm()};
  arrive(events[0]);
  arrive(events[4]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "ask vm. 2-2"}));
  const BusRepair first = asked_;
  detector_.in_effect("a", "migration.", {{"a/executor", 1, 2}});
  ASSERT_TRUE(detector_.repaired(first.id, {events[1]}, 2, now_).ok());
  wait(absl::ZeroDuration());
  EXPECT_EQ(told(), (Told{"ask migration. vm. 2-2"}));
  answer(events);
  EXPECT_EQ(told(), (Told{"2", "5"})) << "of 3 and 4 nothing is known yet";
}

TEST_F(RepairTest, what_lacks_nothing_any_more_goes_on) {
  const auto events = vms(6);
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 1}});
  arrive(events[5]);
  detector_.unsubscribe("vm.");
  detector_.subscribe("vm.");
  detector_.in_effect("a", "vm.", {{"a/executor", 1, 5}});
  wait(absl::Seconds(1));
  EXPECT_EQ(detector_.wake_at(), far_future) << "nothing is looked at for ever";
  EXPECT_EQ(detector_.held(), 0);
}

TEST_F(RepairTest, in_doubt_nothing_expires) {
  detector_.in_effect("a", "vm.", {});
  detector_.doubt("a");
  arrive(vms(2)[1]);
  EXPECT_EQ(detector_.wake_at(), far_future);
  wait(absl::Seconds(1));
  EXPECT_EQ(told(), Told{});
}

TEST_F(RepairTest, of_what_was_too_old_to_be_asked_for_no_log_is_accused) {
  // As in the simulator's seed 63.
  detector_.subscribe("migration.");
  for (const char* prefix : {"migration.", "vm."}) detector_.in_effect("a", prefix, {});
  const std::vector<Event> events{vm(), vm(), migration(), vm(), vm()};
  arrive(events[0]);
  arrive(events[2]);
  arrive(events[4]);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "3", "ask migration. vm. 4-4"}));
  ASSERT_TRUE(detector_.repaired(asked_.id, {events[3]}, 4, now_).ok());
  const auto gap = detector_.next();
  ASSERT_TRUE(gap.has_value());
  EXPECT_EQ(std::get<BusGap>(*gap).up_to, 2);
  EXPECT_NE(std::get<BusGap>(*gap).why, gap_not_in_log) << "2 is older than 3";
  EXPECT_EQ(told(), (Told{"4", "5"}));
}

}  // namespace
}  // namespace supercloud
