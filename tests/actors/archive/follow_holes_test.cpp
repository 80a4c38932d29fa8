// What a follower is given, or told, of what the bus loses and does not repair.
#include <algorithm>
#include <map>
#include <set>

#include "tests/actors/archive/follow_world.h"

namespace supercloud {
namespace {

class FollowHolesTest : public FollowWorld {
 protected:
  FollowHolesTest() { bus_options.gaps.repair = false; }

  bool is_told(const Event& event) const {
    return std::ranges::any_of(given.missed, [&](const MissedEvents& missed) {
      return missed.origin == event.origin() && missed.incarnation == event.incarnation() &&
             missed.after < event.sequence() && missed.up_to && event.sequence() <= *missed.up_to;
    });
  }
};

// Regression: the reading knew how far each type had come, and not that another one had been said between.
TEST_F(FollowHolesTest,
       what_was_lost_behind_the_reading_is_had_though_another_type_is_heard_first) {
  TestNode& a = start("a");
  say(a, "1");
  start("reader");
  follow_on("reader", from(From::beginning()));
  unheard("a", "reader", [&] { say(a, "2"); });
  say_returned(a, "3");
  run(absl::Seconds(5));
  EXPECT_EQ(given.subjects(), (Names{"1", "2", "3"}));
  EXPECT_TRUE(given.missed.empty());
}

TEST_F(FollowHolesTest, so_it_is_of_an_origin_of_which_nothing_was_read) {
  TestNode& a = start("a");
  start("reader");
  follow_on("reader", from(From::beginning()));
  unheard("a", "reader", [&] { say(a, "1"); });
  say_returned(a, "2");
  run(absl::Seconds(5));
  EXPECT_EQ(given.subjects(), (Names{"1", "2"}));
  EXPECT_TRUE(given.missed.empty());
}

// Who follows from now on hands out at once what it hears first of an origin.
TEST_F(FollowHolesTest, from_now_what_was_lost_before_the_first_that_is_heard_is_told) {
  TestNode& a = start("a");
  start("reader");
  run(absl::Seconds(3));
  follow_on("reader", from(From::now()), given);
  run(absl::Milliseconds(50));
  ASSERT_EQ(given.live, 1) << "before any log is read";
  Event lost;
  unheard("a", "reader", [&] { lost = say(a, "lost"); });
  say(a, "heard");
  run(absl::Seconds(10));
  EXPECT_EQ(given.subjects(), Names{"heard"});
  EXPECT_TRUE(is_told(lost));
}

// Regression: once passing events were missing, up to nobody knew where, nothing was looked for any more.
TEST_F(FollowHolesTest, a_hole_of_passing_events_ends_no_later_look_into_the_log) {
  TestNode& a = start("a");
  say_started(a, "1");
  say_rate(a, "2");
  start("reader");
  FollowOptions options = from(From::beginning());
  options.pattern = Pattern::of("vm.>");
  options.patience = absl::Seconds(2);
  follow_on("reader", options, given);
  run(absl::Seconds(1));
  say_rate(a, "3");
  run(absl::Seconds(7));
  EXPECT_EQ(given.subjects(), (Names{"1", "3"}));
  EXPECT_FALSE(given.missed.empty()) << "2 is in no log";
  unheard("a", "reader", [&] { say_started(a, "4"); });
  say_started(a, "5");
  run(absl::Seconds(5));
  EXPECT_EQ(given.subjects(), (Names{"1", "3", "4", "5"}));
}

// Of a pattern that telemetry does not match but comes beside.
TEST_F(FollowHolesTest, what_was_lost_among_events_that_do_not_match_is_had) {
  TestNode& a = start("a");
  say_started(a, "1");
  say_rate(a, "2");
  start("reader");
  FollowOptions options = from(From::beginning());
  options.pattern = Pattern::of("*.started.>");
  follow_on("reader", options);
  unheard("a", "reader", [&] { say_started(a, "3"); });
  say_rate(a, "4");
  run(absl::Seconds(5));
  EXPECT_EQ(given.subjects(), (Names{"1", "3"}));
}

TEST_F(FollowHolesTest, asks_again_only_for_what_is_behind_where_it_stands) {
  TestNode& a = start("a");
  say(a, "1");
  const Event stood = say(a, "2");
  std::vector<std::string> asked;  // for what is behind which event, of each question
  class Spy final : public Actor {
   public:
    explicit Spy(std::vector<std::string>& asked) : asked_(asked) {}
    void receive(const Event&) override {}
    void serve(Message<schema::Request> request, Answer answer) override {
      std::string behind = "from the beginning";
      for (const auto id : request.reader().getReadLog().getBehind())
        if (EventId::from(id).origin == "a/hand") behind = EventId::from(id).to_string();
      asked_.push_back(behind);
      answer(absl::NotFoundError("no archive"));
    }

   private:
    std::vector<std::string>& asked_;
  };
  a.node->spawn(archive_actor, [&](Context&) { return std::make_unique<Spy>(asked); });
  start("reader");
  follow_on("reader", from(From::beginning()));
  EXPECT_EQ(asked, Names{"from the beginning"});
  unheard("a", "reader", [&] { say(a, "3"); });
  say(a, "4");
  run(absl::Seconds(5));
  ASSERT_GE(asked.size(), 2U);
  EXPECT_EQ(asked[1], stood.id().to_string());
  EXPECT_EQ(given.subjects(), (Names{"1", "2", "3", "4"}));
}

TEST_F(FollowHolesTest, more_heard_than_it_keeps_while_logs_are_read_is_read_from_them) {
  TestNode& a = start("a");
  start("reader");
  network.set_faults({.delay_max = absl::Milliseconds(20)});
  FollowOptions options = from(From::beginning());
  options.patience = absl::Milliseconds(500);
  options.page_events = 1;
  options.pending_max = 4;
  follow_on("reader", options, given);
  Names said;
  for (int i = 0; i < 300; ++i) {
    said.push_back(absl::StrCat(i));
    say(a, said.back());
    run(absl::Milliseconds(5));
  }
  EXPECT_EQ(given.live, 0) << "it falls behind for as long as more is said than it reads";
  run(absl::Seconds(30));
  EXPECT_EQ(given.live, 1);
  EXPECT_EQ(given.subjects(), said);
  EXPECT_TRUE(given.missed.empty());
}

// Many interleavings: what is said before, during and after the join, over a network that loses, doubles and turns around.
class FollowSeedsTest : public FollowWorld {
 protected:
  struct World {
    std::string pattern;
    bool passing = false;  // telemetry is among what is said
  };

  void follow_through(const World& world, std::uint64_t seed) {
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
    given = {};
    std::vector<Event> said;
    const auto say_one = [&](TestNode& node) {
      const std::string subject = absl::StrCat(said.size());
      if (!world.passing)
        return random.chance(500'000) ? say(node, subject) : say_returned(node, subject);
      return random.chance(500'000) ? say_rate(node, subject) : say_started(node, subject);
    };
    const auto say_some = [&](Duration span) {
      const Instant end = scheduler.now() + span;
      while (scheduler.now() < end) {
        said.push_back(say_one(*nodes.at(random.chance(500'000) ? a : b)));
        run(absl::Milliseconds(random.between(1, 60)));
      }
    };
    say_some(absl::Seconds(1));
    FollowOptions options = from(From::beginning());
    options.pattern = Pattern::of(world.pattern);
    options.patience = absl::Milliseconds(random.between(0, 3000));
    options.page_events = static_cast<std::uint32_t>(random.between(1, 20));
    options.turn_events = static_cast<std::size_t>(random.between(1, 20));
    options.recent_max = static_cast<std::size_t>(random.between(1, 50));
    follow_on(late, options, given);
    say_some(absl::Seconds(5));
    network.calm();
    run(absl::Seconds(15));
    judge(world, said);
    for (const std::string& name : {a, b, late}) crash(name);
  }

  void judge(const World& world, const std::vector<Event>& said) {
    EXPECT_EQ(given.live, 1);
    std::set<EventId> had;
    std::map<std::string, std::uint64_t> last;
    for (const Event& event : given.events) {
      had.insert(event.id());
      EXPECT_LT(std::exchange(last[std::string(event.origin())], event.sequence()),
                event.sequence())
          << event.id().to_string();
    }
    for (const Event& event : said) {
      if (had.contains(event.id())) continue;
      if (!Pattern::of(world.pattern).matches(event.topic())) continue;
      const bool passing = delivery_of(event.type()) == schema::Delivery::VOLATILE;
      EXPECT_TRUE(passing) << event.id().to_string() << " is in its node's log";
      // Of what was read they are told with an open end.
      const bool told = std::ranges::any_of(given.missed, [&](const MissedEvents& missed) {
        return missed.origin == event.origin() && missed.after < event.sequence() &&
               event.sequence() <= missed.up_to.value_or(event.sequence());
      });
      EXPECT_TRUE(told) << event.id().to_string() << " is lost in silence";
    }
    // A node that does not answer for long is told of, and read later all the same.
    for (const MissedEvents& missed : given.missed)
      if (is_origin(missed.origin) && !world.passing)
        ADD_FAILURE() << missed.origin << " " << missed.after << " to " << missed.up_to.value_or(0)
                      << " heard " << missed.heard << " " << missed.why;
  }
};

TEST_F(FollowSeedsTest, joins_without_hole_or_double_whatever_the_network_does) {
  for (std::uint64_t seed = 1; seed <= 200 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    follow_through({.pattern = "instance.>"}, seed);
  }
}

TEST_F(FollowSeedsTest, loses_nothing_that_is_logged_among_telemetry_that_it_follows) {
  for (std::uint64_t seed = 1; seed <= 100 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    follow_through({.pattern = "vm.>", .passing = true}, seed);
  }
}

TEST_F(FollowSeedsTest, loses_nothing_that_is_logged_among_telemetry_that_it_does_not_follow) {
  for (std::uint64_t seed = 1; seed <= 100 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    follow_through({.pattern = "*.started.>", .passing = true}, seed);
  }
}

}  // namespace
}  // namespace supercloud
