#include "actors/reading/follow.h"

#include <set>

#include "tests/actors/archive/archive_world.h"

namespace supercloud {
namespace {

using Names = std::vector<std::string>;

// What a follower was given. It outlives the follower's node.
struct Given {
  std::vector<Event> events;
  std::vector<MissedEvents> missed;
  int live = 0;

  Names subjects() const {
    Names names;
    for (const Event& event : events) names.push_back(event.subject());
    return names;
  }
};

class FollowTest : public ArchiveWorld {
 protected:
  class Follower final : public Actor {
   public:
    Follower(FollowTest& test, Context& context, FollowOptions options, Given& given)
        : follow_(
              context, std::move(options),
              {.on_event = [&given](const Event& event) { given.events.push_back(event); },
               .on_gap = [&given](const MissedEvents& missed) { given.missed.push_back(missed); },
               .on_live = [&given] { ++given.live; }}) {
      test.follow = &follow_;
    }
    void receive(const Event& event) override { follow_.hear(event); }

   private:
    Follow follow_;
  };

  void follow_on(const std::string& name, FollowOptions options, Given& given) {
    nodes.at(name)->node->spawn("follower", [this, options, &given](Context& context) {
      return std::make_unique<Follower>(*this, context, options, given);
    });
  }
  // And lets it come live.
  Given& follow_on(const std::string& name, FollowOptions options) {
    follow_on(name, std::move(options), given);
    run(absl::Seconds(8));
    EXPECT_EQ(given.live, 1);
    return given;
  }
  static FollowOptions from(From from, std::string durable = {}) {
    return {.pattern = Pattern::of("instance.>"), .from = from, .durable = std::move(durable)};
  }

  Given given;
  Follow* follow = nullptr;
};

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
    publish(a, vm, [](schema::Payload::Builder payload) {
      payload.initVmDirtyRate().setPagesPerSecond(1);
    });
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

// Many interleavings: what is said before, during and after the join, over a network that loses, doubles and turns around.
TEST_F(FollowTest, joins_without_hole_or_double_whatever_the_network_does) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    network.set_faults({.delay_max = absl::Milliseconds(30),
                        .loss_per_million = 40'000,
                        .duplicate_per_million = 100'000,
                        .reorder_per_million = 100'000,
                        .reorder_delay_max = absl::Milliseconds(100)});
    const std::string a = absl::StrCat("a", seed), b = absl::StrCat("b", seed),
                      late = absl::StrCat("late", seed);
    for (const std::string& name : {a, b, late}) {
      bus_options.gaps.repair = name != late;  // all that is lost has to come from logs
      start(name);
    }
    Given told;
    std::set<std::string> said;
    const auto say_some = [&](Duration span) {
      const Instant end = scheduler.now() + span;
      while (scheduler.now() < end) {
        const std::string name = random.chance(500'000) ? a : b;
        const std::string subject = absl::StrCat(said.size());
        said.insert(subject);
        say(*nodes.at(name), subject);
        run(absl::Milliseconds(random.between(1, 60)));
      }
    };
    say_some(absl::Seconds(1));
    FollowOptions options = from(From::beginning());
    options.patience = absl::Milliseconds(random.between(0, 3000));
    options.page_events = static_cast<std::uint32_t>(random.between(1, 20));
    options.turn_events = static_cast<std::size_t>(random.between(1, 20));
    options.recent_max = static_cast<std::size_t>(random.between(1, 50));
    follow_on(late, options, told);
    say_some(absl::Seconds(5));
    network.calm();
    run(absl::Seconds(15));
    std::multiset<std::string> given_subjects;
    std::map<std::string, std::uint64_t> last;
    for (const Event& event : told.events) {
      given_subjects.insert(event.subject());
      EXPECT_LT(std::exchange(last[std::string(event.origin())], event.sequence()),
                event.sequence())
          << "seed " << seed << ": " << event.id().to_string();
    }
    EXPECT_EQ(told.live, 1) << "seed " << seed;
    EXPECT_EQ(given_subjects, std::multiset<std::string>(said.begin(), said.end()))
        << "seed " << seed;
    // A node that does not answer for long is told of, and read later all the same.
    for (const MissedEvents& missed : told.missed)
      if (is_origin(missed.origin))
        ADD_FAILURE() << "seed " << seed << ": " << missed.origin << " " << missed.after << " to "
                      << missed.up_to.value_or(0) << " heard " << missed.heard << " " << missed.why;
    for (const std::string& name : {a, b, late}) crash(name);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace supercloud
