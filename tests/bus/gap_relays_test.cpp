#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST_F(GapRelaysTest, without_a_word_of_its_relay_the_first_waits_and_is_then_taken_for_the_first) {
  vms(5);
  relayed(vm());
  wait(absl::Seconds(1));
  EXPECT_EQ(told(), Told{}) << "the word may come";
  wait(absl::Seconds(2));
  EXPECT_EQ(told(), Told{"6"});
  digest(6, 4, 4);
  EXPECT_EQ(told(), Told{"gap vm. 5-5"}) << "it was owed, as is known now";
}

TEST_F(GapRelaysTest, what_is_new_of_a_node_that_is_known_is_owed_from_its_beginning) {
  detector_.subscribe("migration.");
  detector_.in_effect("hub", "migration.", {});
  digest(3, 3, 3);
  vms(3);
  TestStreams known = streams_;
  const Event first = streams_.event(pool_, "network", "web1");
  relayed(streams_.event(pool_, "network", "web1"));
  wait(absl::Milliseconds(200));
  EXPECT_EQ(told(), Told{"ask migration. vm. 1-1"});
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

TEST_F(GapRelaysTest, it_tells_where_all_stand_that_it_follows_but_not_the_relay_itself) {
  digest(7, 3, 4);
  detector_.in_effect("b", "vm.", std::vector{OriginTail{"b/log", 2, 9}});
  const std::vector<OriginTail> standing = detector_.standing();
  ASSERT_EQ(standing.size(), 2);
  EXPECT_EQ(standing[0].origin, "a/executor");
  EXPECT_EQ(standing[0].sequence, 7);
  EXPECT_EQ(standing[0].since, 3);
  EXPECT_EQ(standing[1].origin, "b/log");
  EXPECT_EQ(standing[1].since, 9);
}

}  // namespace
}  // namespace supercloud
