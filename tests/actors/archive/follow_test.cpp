#include "actors/reading/follow.h"

#include <algorithm>

#include "tests/actors/archive/follow_world.h"

namespace supercloud {
namespace {

using FollowTest = FollowWorld;

TEST_F(FollowTest,
       from_the_beginning_has_the_past_of_all_nodes_in_its_order_and_then_what_happens) {
  TestNode& a = start("a");
  TestNode& b = start("b");
  say(a, "1");
  run(absl::Milliseconds(10));
  say(b, "2");
  run(absl::Milliseconds(10));
  say(a, "3");
  start("late");
  follow_on("late", from(From::beginning()));
  say(b, "4");
  run(absl::Seconds(1));
  EXPECT_EQ(given.subjects(), (Names{"1", "2", "3", "4"}));
  EXPECT_TRUE(given.missed.empty());
}

TEST_F(FollowTest, from_now_has_nothing_of_the_past) {
  TestNode& a = start("a");
  start("late");
  say(a, "before");
  run(absl::Seconds(3));
  follow_on("late", from(From::now()));
  say(a, "after");
  run(absl::Seconds(8));
  EXPECT_EQ(given.subjects(), Names{"after"});
  EXPECT_TRUE(given.missed.empty());
}

TEST_F(FollowTest, from_a_time_has_what_was_said_since) {
  TestNode& a = start("a");
  say(a, "before");
  run(absl::Seconds(1));
  const absl::Time since = scheduler.wall();
  say(a, "since");
  start("late");
  follow_on("late", from(From::time(since)));
  EXPECT_EQ(given.subjects(), Names{"since"});
}

TEST_F(FollowTest, behind_an_event_has_what_its_origin_said_after_it) {
  TestNode& a = start("a");
  say(a, "1");
  const Event second = say(a, "2");
  say(a, "3");
  start("late");
  follow_on("late", from(From::behind(second.id())));
  say(a, "4");
  run(absl::Seconds(1));
  EXPECT_EQ(given.subjects(), (Names{"3", "4"}));
  EXPECT_TRUE(given.missed.empty());
}

TEST_F(FollowTest, newest_of_each_topic_comes_once_in_the_order_of_time_and_then_all) {
  TestNode& a = start("a");
  TestNode& b = start("b");
  const Event old = say(a, "x");
  say(a, "y");
  run(absl::Milliseconds(10));
  const Event newest = say(b, "x");
  start("late");
  follow_on("late", from(From::newest_of_topic()));
  EXPECT_EQ(given.subjects(), (Names{"y", "x"}));
  ASSERT_EQ(given.events.size(), 2U);
  EXPECT_EQ(given.events[1].id(), newest.id());
  say(a, "x");
  say(a, "x");
  run(absl::Seconds(1));
  EXPECT_EQ(given.subjects(), (Names{"y", "x", "x", "x"}));
}

TEST_F(FollowTest, newest_of_more_topics_than_it_keeps_are_handed_out_without_breaking_the_order) {
  TestNode& a = start("a");
  for (const char* subject : {"x", "y", "x", "z", "y", "x"}) {
    say(a, subject);
    run(absl::Milliseconds(10));
  }
  start("late");
  FollowOptions options = from(From::newest_of_topic());
  options.topics_max = 2;
  follow_on("late", options);
  EXPECT_EQ(given.subjects(), (Names{"y", "x", "z", "y", "x"}))
      << "the newest of two, and then all from the third on";
  EXPECT_TRUE(std::ranges::is_sorted(given.events, {}, &Event::sequence));
}

TEST_F(FollowTest, has_from_an_archive_what_a_node_said_that_is_gone) {
  start_home_and_lose_one();
  start("late");
  follow_on("late", from(From::beginning()));
  EXPECT_EQ(given.subjects(), Names{"said by who is gone"});
}

TEST_F(FollowTest, has_what_a_node_said_before_it_was_heard_of) {
  start("late");
  follow_on("late", from(From::beginning()));
  network.partition({"a"});
  TestNode& a = start("a");
  say(a, "alone");
  run(absl::Seconds(20));
  EXPECT_EQ(given.subjects(), Names{});
  network.heal();
  run(absl::Seconds(20));
  EXPECT_EQ(given.subjects(), Names{"alone"});
  EXPECT_TRUE(given.missed.empty());
}

TEST_F(FollowTest, a_durable_one_goes_on_where_it_was_after_a_restart) {
  TestNode& a = start("a");
  start("reader");
  say(a, "1");
  follow_on("reader", from(From::beginning(), "copy"));
  say(a, "2");
  run(absl::Seconds(6));
  EXPECT_EQ(given.subjects(), (Names{"1", "2"}));
  crash("reader");
  say(a, "3");
  run(absl::Seconds(5));
  start("reader");
  given = {};
  follow_on("reader", from(From::beginning(), "copy"));
  say(a, "4");
  run(absl::Seconds(1));
  EXPECT_EQ(given.subjects(), (Names{"3", "4"}));
  EXPECT_TRUE(given.missed.empty());
}

TEST_F(FollowTest, a_durable_one_gives_again_what_came_after_its_position) {
  TestNode& a = start("a");
  start("reader");
  say(a, "1");
  FollowOptions options = from(From::beginning(), "copy");
  options.save_interval = absl::Hours(1);
  follow_on("reader", options);
  follow->save();
  say(a, "2");
  run(absl::Seconds(1));
  crash("reader");
  start("reader");
  given = {};
  follow_on("reader", options);
  EXPECT_EQ(given.subjects(), Names{"2"});
}

TEST_F(FollowTest, a_durable_one_that_began_now_has_what_happened_while_it_was_away) {
  TestNode& a = start("a");
  start("reader");
  say(a, "before");
  run(absl::Seconds(3));
  follow_on("reader", from(From::now(), "copy"));
  run(absl::Seconds(6));
  crash("reader");
  say(a, "away");
  run(absl::Seconds(3));
  start("reader");
  given = {};
  follow_on("reader", from(From::now(), "copy"));
  EXPECT_EQ(given.subjects(), Names{"away"});
}

TEST_F(FollowTest, a_position_is_found_in_an_archive_when_the_disk_is_gone) {
  start_home();
  TestNode& a = start("a");
  start("reader");
  say(a, "1");
  follow_on("reader", from(From::beginning(), "copy"));
  run(absl::Seconds(15));
  lose("reader");
  say(a, "2");
  run(absl::Seconds(5));
  start("reader");
  given = {};
  follow_on("reader", from(From::beginning(), "copy"));
  EXPECT_EQ(given.subjects(), Names{"2"});
}

TEST_F(FollowTest, positions_are_few_and_followers_of_everything_come_to_rest) {
  TestNode& a = start("a");
  start("reader");
  FollowOptions options = from(From::beginning(), "copy");
  options.pattern = Pattern::of("subscription.>");
  follow_on("reader", options);
  run(absl::Minutes(1));
  EXPECT_EQ(of(a, schema::Payload::SUBSCRIPTION_POSITION).size(), 1U) << "where it began";
}

TEST_F(FollowTest, another_pattern_is_another_subscription) {
  TestNode& a = start("a");
  start("reader");
  say(a, "1");
  follow_on("reader", from(From::beginning(), "copy"));
  run(absl::Seconds(6));
  crash("reader");
  start("reader");
  given = {};
  FollowOptions options = from(From::beginning(), "copy");
  options.pattern = Pattern::of("instance.launched.>");
  follow_on("reader", options);
  EXPECT_EQ(given.subjects(), Names{"1"});
}

// Passing events are in no log: a hole among them is told, and told once.
TEST_F(FollowTest, tells_what_no_log_has) {
  TestNode& a = start("a");
  start("reader");
  FollowOptions options = from(From::now());
  options.pattern = Pattern::of("vm.dirty_rate.>");
  follow_on("reader", options);
  const auto rate = [&](const std::string& vm) {
    say_rate(a, vm);
    run(absl::Milliseconds(50));
  };
  rate("1");
  network.block("a", "reader");
  rate("2");
  network.unblock("a", "reader");
  rate("3");
  run(absl::Seconds(30));
  EXPECT_EQ(given.subjects(), (Names{"1", "3"}));
  ASSERT_EQ(given.missed.size(), 1U);
  EXPECT_EQ(given.missed[0].origin, "a/hand");
}

TEST_F(FollowTest, has_from_the_log_what_the_bus_does_not_repair) {
  TestNode& a = start("a");
  bus_options.gaps.repair = false;
  start("reader");
  follow_on("reader", from(From::now()));
  say(a, "1");
  run(absl::Seconds(1));
  network.block("a", "reader");
  say(a, "2");
  run(absl::Milliseconds(50));
  network.unblock("a", "reader");
  say(a, "3");
  run(absl::Seconds(5));
  EXPECT_EQ(given.subjects(), (Names{"1", "2", "3"})) << "found by the one that followed";
  network.block("a", "reader");
  say(a, "4");
  run(absl::Milliseconds(50));
  network.unblock("a", "reader");
  run(absl::Seconds(10));
  EXPECT_EQ(given.subjects(), (Names{"1", "2", "3", "4"})) << "found by the heartbeat";
  EXPECT_TRUE(given.missed.empty());
}

}  // namespace
}  // namespace supercloud
