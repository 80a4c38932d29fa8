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
    tail.setSince(BusGap::unknown);
    auto prefixes = tail.initPrefixes(static_cast<unsigned>(under.size()));
    for (unsigned i = 0; i < under.size(); ++i) {
      tail.setSince(std::min(tail.getSince(), under[i].since));
      tail.setUnfollowed(std::max(tail.getUnfollowed(), under[i].since));
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
  detector_.cleared("hub", {}, now_);
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
  detector_.cleared("hub", std::vector{stood(6, {{"vm.", 1, 6, 0}})}, now_);
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
  detector_.cleared("hub", std::vector{tail(4, 4, 4)}, now_);
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

TEST_F(GapRelaysTest, who_was_granted_a_part_is_told_of_that_part) {
  detector_.tails("hub", told_of({{"vm.dirty_rate.", 2, 0, 0}}), now_);
  vms(2);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask vm. 1-2"});
}

TEST_F(GapRelaysTest, and_owes_nothing_that_was_said_in_that_part_before_it_subscribed) {
  detector_.subscribe("migration.");
  const std::vector<OriginTail> stands{stood(2, {{"migration.progress.", 1, 0, 0}})};
  detector_.in_effect("hub", "migration.", stands);
  EXPECT_EQ(detector_.origins(), 1);
  for (int i = 0; i < 3; ++i) migration();
  relayed(migration());
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask migration. 3-3"});
}

TEST_F(GapRelaysTest, of_a_part_alone_nobody_knows_since_when_the_rest_is_followed) {
  detector_.unsubscribe("vm.");
  detector_.subscribe("");
  detector_.in_effect("hub", "", {});
  vms(2);
  detector_.tails("hub", told_of({{"migration.", 0, 2, 0}}), now_);
  EXPECT_EQ(told(), Told{"ask  1-2"});
}

TEST_F(GapRelaysTest, of_several_parts_the_one_that_is_followed_for_longest_counts) {
  vms(1);
  detector_.tails(
      "hub",
      told_of({{"vm.created.", 9, 7, 7}, {"vm.dirty_rate.", 1, 0, 0}, {"vm.failed.", 0, 8, 8}}),
      now_);
  EXPECT_EQ(told(), Told{"ask vm. 1-9"}) << "at once: something came by before it was followed";
}

TEST_F(GapRelaysTest, of_a_narrower_subscription_what_is_told_of_a_wider_one_says_nothing) {
  detector_.unsubscribe("vm.");
  detector_.subscribe("vm.dirty_rate.");
  detector_.in_effect("hub", "vm.dirty_rate.", std::vector{stood(3, {{"vm.", 3, 0, 0}})});
  detector_.tails("hub", told_of({{"vm.", 3, 0, 0}}), now_);
  EXPECT_EQ(detector_.origins(), 0);
}

TEST_F(GapRelaysTest, what_a_part_began_with_begins_earlier_when_all_of_it_did) {
  detector_.unsubscribe("vm.");
  detector_.subscribe("");
  detector_.in_effect("hub", "", {});
  vms(2);
  detector_.tails("hub", told_of({{"migration.", 0, 2, 2}}), now_);
  EXPECT_EQ(told(), Told{});
  detector_.tails("hub", told_of({{"", 2, 0, 0}, {"migration.", 0, 2, 2}}), now_);
  EXPECT_EQ(told(), Told{"ask  1-2"});
}

TEST_F(GapRelaysTest, and_is_a_gap_where_later_events_were_delivered_meanwhile) {
  detector_.unsubscribe("vm.");
  detector_.subscribe("");
  detector_.in_effect("hub", "", {});
  vms(2);
  detector_.tails("hub", told_of({{"migration.", 0, 2, 2}}), now_);
  relayed(migration());
  detector_.tails("hub", told_of({{"", 3, 0, 0}}), now_);
  EXPECT_EQ(told(), (Told{"3", "gap  1-2"}));
}

TEST_F(GapRelaysTest, what_came_by_is_asked_for_again_when_more_of_it_is_followed) {
  detector_.subscribe("migration.");
  detector_.in_effect("hub", "migration.", {});
  detector_.doubt("hub");
  detector_.cleared("hub", {}, now_);
  const std::vector<Event> missed = vms(2);
  detector_.tails("hub", told_of({{"migration.", 0, 2, 0}}), now_);
  EXPECT_EQ(told(), Told{"ask migration. 1-2"});
  ASSERT_TRUE(detector_.repaired(asked_.id, {}, 2, now_).ok());
  detector_.tails("hub", told_of({{"vm.", 0, 2, 0}}), now_);
  EXPECT_EQ(told(), Told{"ask migration. vm. 1-2"});
  ASSERT_TRUE(detector_.repaired(asked_.id, missed, 2, now_).ok());
  EXPECT_EQ(told(), (Told{"1", "2"}));
}

// What an older build's hub says: nothing of "", and nothing of where each prefix begins.
TEST_F(GapRelaysTest, of_an_older_hub_who_subscribes_everything_is_told_too) {
  detector_.unsubscribe("vm.");
  detector_.subscribe("");
  detector_.in_effect("hub", "", {});
  vms(2);
  digest(2, 0, 0);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask  1-2"});
}

TEST_F(GapRelaysTest, of_an_older_hub_what_came_by_may_have_been_under_any_prefix) {
  detector_.subscribe("migration.");
  detector_.in_effect("hub", "migration.", {});
  vms(3);
  digest(3, 1, 2);
  EXPECT_EQ(told(), Told{"ask migration. vm. 2-3"});
}

TEST_F(GapRelaysTest, of_an_older_hub_that_comes_back_all_is_owed_that_it_stands_at) {
  detector_.doubt("hub");
  detector_.cleared("hub", std::vector{tail(4, 2, 4)}, now_);
  EXPECT_EQ(told(), Told{"ask vm. 1-4"});
}

TEST_F(GapRelaysTest, of_an_older_hub_all_begins_at_once) {
  detector_.subscribe("migration.");
  detector_.in_effect("hub", "migration.", std::vector{tail(3, 1, 2)});
  vms(3);
  relayed(vm());
  EXPECT_EQ(told(), Told{});
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask migration. vm. 2-3"});
}

TEST_F(GapRelaysTest, an_answer_forces_nothing_of_which_its_relay_said_no_word) {
  detector_.subscribe("migration.");
  detector_.in_effect("hub", "migration.", {});
  detector_.tails("hub", told_of({{"vm.", 4, 0, 0}}), now_);
  relayed(vm());
  const Event lost = migration();
  relayed(migration());
  const Event missed = vm();
  relayed(vm());
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"1", "ask vm. 2-4"}));
  wait(absl::Seconds(6));  // until it is answered
  ASSERT_TRUE(detector_.repaired(asked_.id, {missed}, 4, now_).ok());
  EXPECT_EQ(told(), Told{});
  EXPECT_LE(detector_.wake_at(), now_);
  wait(absl::ZeroDuration());
  EXPECT_EQ(told(), Told{"ask migration. vm. 2-2"});
  ASSERT_TRUE(detector_.repaired(asked_.id, {lost}, 2, now_).ok());
  EXPECT_EQ(told(), (Told{"2", "3", "4", "5"}));
}

TEST_F(GapRelaysTest, of_a_log_that_is_lost_what_no_word_was_said_of_is_a_gap) {
  vms(2);
  relayed(vm());
  streams_ = TestStreams("a");
  streams_.incarnation = 2;
  relayed(vm());
  EXPECT_EQ(told(), (Told{"gap vm. 1-2", "3", "gap  4-?", "1"}));
}

TEST_F(GapRelaysTest, without_repair_it_is_a_gap_when_no_word_came) {
  detector_ = GapDetector({.repair = false});
  detector_.subscribe("vm.");
  detector_.relays("hub");
  detector_.in_effect("hub", "vm.", {});
  vms(2);
  relayed(vm());
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{}) << "the word may come";
  wait(absl::Seconds(5));
  EXPECT_EQ(told(), (Told{"gap vm. 1-2", "3"}));
}

TEST_F(GapRelaysTest, a_relay_that_was_forgotten_owes_what_was_said_while_it_was_gone) {
  detector_.forget("hub");
  vms(3);
  EXPECT_TRUE(detector_.is_relay("hub"));
  detector_.doubt("hub");
  const std::vector<OriginTail> stands{stood(3, {{"vm.", 3, 3, 0}})};
  detector_.in_effect("hub", "vm.", stands);
  detector_.cleared("hub", stands, now_);
  EXPECT_EQ(told(), Told{"ask vm. 1-3"});
}

TEST_F(GapRelaysTest, while_it_is_forgotten_another_may_speak_of_its_node) {
  detector_.forget("hub");
  detector_.relays("other");
  detector_.in_effect("other", "vm.", {});
  TestStreams hub("hub");
  EXPECT_TRUE(detector_.arrived(hub.event(pool_, "executor", "web1"), now_, "other").ok());
  EXPECT_EQ(told(), Told{"1"});
}

TEST_F(GapRelaysTest,
       of_more_relays_than_there_is_room_for_a_new_one_may_be_one_that_was_forgotten) {
  detector_.relays("new");
  detector_.in_effect("new", "vm.", {});
  const auto relay = [](int number) { return absl::StrCat("relay-", number); };
  for (int i = 0; i < 300; ++i) {
    EXPECT_FALSE(detector_.relays(relay(i)) && i == 0);
    detector_.in_effect(relay(i), "vm.", {});
    detector_.forget(relay(i));
  }
  EXPECT_FALSE(detector_.is_relay(relay(0)));
  EXPECT_TRUE(detector_.relays(relay(0))) << "it has to be doubted";
  detector_.doubt(relay(0));
  vms(3);
  const std::vector<OriginTail> stands{stood(3, {{"vm.", 3, 3, 0}})};
  detector_.in_effect(relay(0), "vm.", stands);
  detector_.cleared(relay(0), stands, now_);
  EXPECT_EQ(told(), Told{"ask vm. 1-3"});
}

TEST_F(GapRelaysTest, who_was_met_again_for_long_owes_as_others_do) {
  detector_.doubt("hub");
  detector_.cleared("hub", {}, now_);
  wait(absl::Minutes(5));
  vms(3);
  detector_.tails("hub", told_of({{"vm.", 3, 3, 0}}), now_);
  EXPECT_EQ(told(), Told{});
}

TEST_F(GapRelaysTest, what_was_forgotten_for_lack_of_room_goes_on_where_it_stood) {
  detector_ = GapDetector({.origins_max = 1});
  detector_.subscribe("vm.");
  detector_.relays("hub");
  detector_.in_effect("hub", "vm.", {});
  detector_.tails("hub", told_of({{"vm.", 1, 0, 0}}), now_);
  relayed(vm());
  relayed(streams_.event(pool_, "other", "web1"));
  EXPECT_EQ(told(), (Told{"1", "1"}));
  vms(2);
  detector_.tails("hub", told_of({{"vm.", 3, 0, 0}}), now_);
  EXPECT_EQ(detector_.counts().forgotten, 2);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask vm. 2-3"});
}

TEST_F(GapRelaysTest, and_of_others_that_begin_then_nothing_is_let_go) {
  detector_ = GapDetector({.origins_max = 1});
  detector_.subscribe("vm.");
  detector_.relays("hub");
  detector_.in_effect("hub", "vm.", {});
  relayed(streams_.event(pool_, "first", "web1"));
  relayed(streams_.event(pool_, "second", "web1"));
  EXPECT_EQ(told(), (Told{"1", "1"}));
  vms(2);
  detector_.tails("hub", told_of({{"vm.", 2, 0, 0}}), now_);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask vm. 1-2"});
}

TEST_F(GapRelaysTest, where_nobody_knows_any_more_where_it_stood_that_is_a_gap) {
  detector_ = GapDetector({.origins_max = 1});
  detector_.subscribe("vm.");
  detector_.relays("hub");
  detector_.in_effect("hub", "vm.", {});
  for (int i = 0; i < 65'540; ++i) {
    relayed(streams_.event(pool_, absl::StrCat("actor-", i), "web1"));
    ASSERT_EQ(told(), Told{"1"});
  }
  vms(2);
  relayed(vm());
  detector_.tails("hub", told_of({{"vm.", 3, 0, 0}}), now_);
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), (Told{"gap vm. 1-2", "3"}));
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

TEST_F(GapOnwardTest, that_something_may_have_been_said_before_is_news) {
  join("a", 5);
  EXPECT_EQ(standing(), Told{"a/executor vm. 0 since 5 begun 0"});
  EXPECT_EQ(detector_.news(), Told{"a/executor"});
}

TEST_F(GapOnwardTest, and_it_is_no_lost_log_to_whom_it_is_told) {
  detector_.relays("hub");
  detector_.in_effect("hub", "vm.", {});
  detector_.tails("hub", told_of({{"vm.", 0, 5, 0}}), now_);
  EXPECT_EQ(standing(), Told{"a/executor vm. 0 since 5 begun 0"});
  EXPECT_EQ(detector_.news(), Told{"a/executor"});
}

TEST_F(GapOnwardTest, of_a_relay_that_is_doubted_nothing_is_told_before_all_is_known) {
  detector_.subscribe("migration.");
  detector_.relays("hub");
  detector_.in_effect("hub", "vm.", {});
  detector_.doubt("hub");
  const std::vector<OriginTail> stands{stood(2, {{"migration.", 0, 2, 0}, {"vm.", 2, 2, 0}})};
  detector_.in_effect("hub", "migration.", stands);
  EXPECT_EQ(detector_.news(), Told{});
  detector_.cleared("hub", stands, now_);
  EXPECT_EQ(detector_.news(), Told{"a/executor"});
  EXPECT_EQ(standing(), (Told{"a/executor migration. 0 since 2 begun 0"})) << "vm. is asked for";
}

TEST_F(GapOnwardTest, what_a_heartbeat_named_that_another_does_not_is_not_kept) {
  const auto beat_under = [&](std::size_t from, std::size_t count) {
    beat_ = pool_.draft("a");
    auto beat = beat_->payload().initNodeHeartbeat();
    auto tail = beat.initTails(1)[0];
    tail.setOrigin("a/executor");
    tail.setIncarnation(1);
    tail.setSequence(9);
    auto prefixes = tail.initPrefixes(static_cast<unsigned>(count));
    for (unsigned i = 0; i < count; ++i) {
      prefixes[i].setPrefix(absl::StrCat("vm.kind-", from + i, "."));
      prefixes[i].setSequence(9);
    }
    detector_.tails("a", beat.asReader(), now_);
  };
  const auto subscribe = [&](const std::string& prefix) {
    detector_.subscribe(prefix);
    detector_.in_effect("a", prefix, std::vector{OriginTail{"a/executor", 1, 9}});
  };
  join("a", 9);
  beat_under(0, 5000);
  subscribe("vm.kind-17.");
  EXPECT_THAT(standing(), testing::Contains("a/executor vm.kind-17. 9 since 9 begun 0"));
  subscribe("vm.kind-4900.");
  EXPECT_THAT(standing(), testing::Contains("a/executor vm.kind-4900. 0 since 9 begun 0"))
      << "there was no room for it: nobody knows";
  beat_under(4000, 10);
  subscribe("vm.kind-18.");
  EXPECT_THAT(standing(), testing::Not(testing::Contains(testing::HasSubstr("kind-18."))));
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
