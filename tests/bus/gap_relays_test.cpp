#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bus/gap_detector_fixture.h"

namespace supercloud {
namespace {

// "hub" relays what node "a" says.
class GapRelaysTest : public GapDetectorTest {
 protected:
  GapRelaysTest() : GapDetectorTest(/*repair=*/true) {
    detector_.relays("hub");
    detector_.in_effect("hub", "vm.", {});
  }
  void relayed(const Event& event) { ASSERT_TRUE(detector_.arrived(event, now_, "hub").ok()); }
  OriginTail tail(std::uint64_t sequence, std::uint64_t since, std::uint64_t passed) const {
    return {"a/executor", 1, sequence, since, passed};
  }
  // What the hub says each second.
  void digest(std::uint64_t sequence, std::uint64_t since, std::uint64_t unfollowed) {
    Draft draft = pool_.draft("hub");
    auto beat = draft.payload().initNodeHeartbeat();
    auto tails = beat.initTails(1);
    tails[0].setOrigin("a/executor");
    tails[0].setIncarnation(1);
    tails[0].setSequence(sequence);
    tails[0].setSince(since);
    tails[0].setUnfollowed(unfollowed);
    auto prefixes = tails[0].initPrefixes(1);
    prefixes[0].setPrefix("vm.");
    prefixes[0].setSequence(sequence);
    detector_.tails("hub", beat.asReader(), now_);
  }
  // As it answers, with prefixes.
  OriginTail stood(std::uint64_t sequence, std::vector<OriginTail::Under> under) const {
    return {
        .origin = "a/executor", .incarnation = 1, .sequence = sequence, .under = std::move(under)};
  }
  // As it says each second.
  schema::Heartbeat::Reader told_of(const std::vector<OriginTail::Under>& under) {
    beat_ = pool_.draft("hub");
    auto beat = beat_->payload().initNodeHeartbeat();
    auto tail = beat.initTails(1)[0];
    tail.setOrigin("a/executor");
    tail.setIncarnation(1);
    auto prefixes = tail.initPrefixes(static_cast<unsigned>(under.size()));
    for (unsigned i = 0; i < under.size(); ++i) {
      prefixes[i].setPrefix(under[i].prefix);
      prefixes[i].setSequence(under[i].sequence);
      prefixes[i].setSince(under[i].since);
      prefixes[i].setBegun(under[i].begun);
      tail.setSequence(std::max(tail.getSequence(), under[i].sequence));
    }
    return beat.asReader();
  }
  std::optional<Draft> beat_;
};

TEST_F(GapRelaysTest, the_first_of_a_node_is_owed_from_where_its_relay_followed_it) {
  vms(5);  // said before the relay followed it
  digest(5, 5, 5);
  const Event missed = vm();
  relayed(vm());
  EXPECT_EQ(told(), Told{}) << "it waits for what is missing";
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask vm. 6-6"});
  ASSERT_TRUE(detector_.repaired(asked_.id, {missed}, 6, now_).ok());
  EXPECT_EQ(told(), (Told{"6", "7"}));
}

TEST_F(GapRelaysTest, without_a_word_of_its_relay_the_first_waits_and_all_before_it_is_owed) {
  const std::vector<Event> missed = vms(5);
  relayed(vm());
  wait(absl::Seconds(1));
  EXPECT_EQ(told(), Told{}) << "the word may come";
  wait(absl::Seconds(4));
  EXPECT_EQ(told(), Told{"ask vm. 1-5"});
  ASSERT_TRUE(detector_.repaired(asked_.id, {missed.back()}, 5, now_).ok());
  EXPECT_EQ(told(), (Told{"gap vm. 1-4", "5", "6"}));
}

TEST_F(GapRelaysTest, what_is_said_under_nothing_that_is_subscribed_is_not_remembered) {
  detector_.tails("hub", told_of({{"migration.", 3, 0, 0}}), now_);
  wait(absl::Seconds(5));
  EXPECT_EQ(told(), Told{});
  EXPECT_EQ(detector_.origins(), 0);
  detector_.in_effect("hub", "vm.", std::vector{stood(3, {{"migration.", 3, 0, 0}})});
  EXPECT_EQ(detector_.origins(), 0);
}

TEST_F(GapRelaysTest,
       what_is_said_first_under_another_prefix_is_owed_from_where_that_was_followed) {
  detector_.subscribe("migration.");
  detector_.in_effect("hub", "migration.", std::vector{stood(3, {{"vm.", 3, 0, 0}})});
  vms(3);
  const Event first = migration();
  detector_.tails("hub", told_of({{"vm.", 3, 0, 0}, {"migration.", 4, 3, 0}}), now_);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask migration. vm. 1-4"});
}

TEST_F(GapRelaysTest, who_has_heard_nothing_of_it_owes_it_from_its_beginning_to_another_process) {
  detector_.doubt("hub");
  detector_.cleared("hub", {});
  vms(3);
  detector_.tails("hub", told_of({{"vm.", 3, 3, 0}}), now_);
  EXPECT_EQ(told(), Told{"ask vm. 1-3"});
}

TEST_F(GapRelaysTest, nobody_is_asked_where_another_process_says_that_nothing_was_missed) {
  detector_.tails("hub", told_of({{"vm.", 1, 0, 0}}), now_);
  relayed(vm());
  EXPECT_EQ(told(), Told{"1"});
  for (int i = 0; i < 5; ++i) migration();  // which is not subscribed
  detector_.doubt("hub");
  detector_.cleared("hub", std::vector{stood(6, {{"vm.", 1, 6, 0}})});
  EXPECT_EQ(told(), Told{});
  relayed(vm());
  EXPECT_EQ(told(), Told{"7"});
}

TEST_F(GapRelaysTest, another_process_of_the_relay_may_have_missed_what_came_before_it_followed) {
  digest(0, 0, 0);
  relayed(vm());
  EXPECT_EQ(told(), Told{"1"});
  const std::vector<Event> missed = vms(3);
  detector_.doubt("hub");
  detector_.in_effect("hub", "vm.", std::vector{tail(4, 4, 4)});
  EXPECT_EQ(told(), Told{});
  detector_.cleared("hub", std::vector{tail(4, 4, 4)});
  EXPECT_EQ(told(), Told{"ask vm. 2-4"});
  ASSERT_TRUE(detector_.repaired(asked_.id, missed, 4, now_).ok());
  EXPECT_EQ(told(), (Told{"2", "3", "4"}));
}

TEST_F(GapRelaysTest, so_may_a_relay_that_was_cut_off_from_the_clouds_beyond) {
  digest(0, 0, 0);
  relayed(vm());
  vms(3);
  digest(4, 4, 4);
  EXPECT_EQ(told(), (Told{"1", "ask vm. 2-4"}));
}

TEST_F(GapRelaysTest, another_life_of_the_relay_itself_is_no_lost_log) {
  TestStreams hub("hub");
  ASSERT_TRUE(detector_.arrived(hub.event(pool_, "hub", "web1"), now_).ok());
  hub.incarnation = 2;
  detector_.restarted("hub");
  detector_.in_effect("hub", "vm.", {});
  ASSERT_TRUE(detector_.arrived(hub.event(pool_, "hub", "web1"), now_).ok());
  EXPECT_EQ(told(), (Told{"1", "2"}));
}

TEST_F(GapRelaysTest, of_a_neighbour_nobody_else_is_believed) {
  detector_.in_effect("a", "vm.", {});
  EXPECT_FALSE(detector_.arrived(vm(), now_, "hub").ok());
  digest(9, 0, 9);
  wait(absl::Seconds(5));
  EXPECT_EQ(told(), Told{});
}

class GapOnwardTest : public GapRelaysTest {
 protected:
  GapOnwardTest() {
    detector_ = GapDetector({.onward = true});
    detector_.subscribe("node.heartbeat.");
    detector_.subscribe("vm.");
  }
  std::vector<std::string> standing() const {
    std::vector<std::string> standing;
    for (const OriginTail& tail : detector_.standing())
      for (const OriginTail::Under& under : tail.under)
        standing.push_back(absl::StrCat(tail.origin, " ", under.prefix, " ", under.sequence,
                                        " since ", under.since, " begun ", under.begun));
    return standing;
  }
  void join(const std::string& node, std::uint64_t stands) {
    const std::vector<OriginTail> tails{{node + "/executor", 1, stands}};
    for (const char* prefix : {"node.heartbeat.", "vm."}) detector_.in_effect(node, prefix, tails);
  }
};

TEST_F(GapOnwardTest, it_tells_of_who_has_said_something_under_what_is_subscribed) {
  join("a", 0);
  migration();
  beat(streams_.heartbeat(pool_));
  EXPECT_EQ(standing(), Told{});
  EXPECT_FALSE(detector_.has_news());
  arrive(vm());
  EXPECT_EQ(detector_.news(), Told{"a/executor"});
  EXPECT_EQ(standing(), Told{"a/executor vm. 2 since 0 begun 0"});
  arrive(vm());
  EXPECT_FALSE(detector_.has_news()) << "it is known by now";
}

TEST_F(GapOnwardTest, of_who_was_there_before_it_heartbeats_tell_what_was_said) {
  vms(2);
  for (int i = 0; i < 3; ++i) migration();
  detector_.in_effect("a", "node.heartbeat.", {});
  beat(streams_.heartbeat(pool_));
  detector_.in_effect("a", "vm.", std::vector{OriginTail{"a/executor", 1, 5}});
  EXPECT_EQ(standing(), Told{"a/executor vm. 2 since 5 begun 0"});
}

TEST_F(GapOnwardTest, who_comes_later_owes_nothing_of_before) {
  detector_.grow_up();
  vms(2);
  join("a", 2);
  EXPECT_EQ(standing(), Told{}) << "nothing is known of it";
  beat(streams_.heartbeat(pool_));
  EXPECT_EQ(standing(), Told{"a/executor vm. 2 since 2 begun 2"});
}

TEST_F(GapOnwardTest, of_a_relay_it_tells_what_that_follows_and_not_what_it_says_itself) {
  detector_.relays("hub");
  detector_.in_effect("hub", "vm.", std::vector{OriginTail{"hub/hub", 1, 9}});
  detector_.tails("hub", told_of({{"vm.", 4, 4, 1}}), now_);
  EXPECT_EQ(standing(), Told{"a/executor vm. 4 since 4 begun 1"});
}

}  // namespace
}  // namespace supercloud
