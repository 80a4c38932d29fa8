// What is a replay to a process that others were before.
#include "bus/heard_before.h"

#include <gtest/gtest.h>

#include "tests/bus/bus_process.h"

namespace supercloud {
namespace {

class HeardBeforeTest : public testing::Test {
 protected:
  Event next() { return streams_.started(pool_, "executor", "web1"); }

  const absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  EventPool pool_;
  TestStreams streams_ = TestStreams("far");
};

TEST_F(HeardBeforeTest, what_a_process_before_has_heard_and_all_that_is_older_is_a_replay) {
  HeardBefore first({});
  const Event one = next(), two = next(), three = next();
  first.heard(two, now_);
  EXPECT_FALSE(first.is_replay(one)) << "within one life the gap detector knows";
  EXPECT_FALSE(first.is_replay(two));
  const HeardBefore second(first.newest());
  EXPECT_TRUE(second.is_replay(one));
  EXPECT_TRUE(second.is_replay(two));
  EXPECT_FALSE(second.is_replay(three));
  streams_ = TestStreams("far");
  streams_.incarnation = 2;
  EXPECT_FALSE(second.is_replay(next())) << "a later incarnation begins anew";
  TestStreams other("other");
  EXPECT_FALSE(second.is_replay(other.started(pool_, "executor", "web1")));
}

TEST_F(HeardBeforeTest, the_newest_stays_whatever_comes_later) {
  HeardBefore heard({});
  const Event one = next(), two = next();
  EXPECT_FALSE(heard.take_changed());
  heard.heard(two, now_);
  EXPECT_TRUE(heard.take_changed());
  heard.heard(one, now_);
  EXPECT_FALSE(heard.take_changed());
  EXPECT_EQ(heard.newest().at("far/executor"), (HeardBefore::Newest{{1, 2}, HybridTime{2 << 12}}));
}

TEST_F(HeardBeforeTest, numbers_that_are_too_high_make_no_replay_of_what_is_said_later) {
  HeardBefore first({});
  TestStreams thief("far");  // it has far's key
  thief.incarnation = static_cast<std::uint64_t>(absl::ToUnixMillis(now_)) + 60'000;
  first.heard(thief.started(pool_, "executor", "web1"), now_);
  EXPECT_TRUE(first.newest().empty()) << "an incarnation from the future";
  thief = TestStreams("far");
  thief.ahead = static_cast<std::uint64_t>(absl::ToUnixMicros(now_)) + 60'000'000;
  first.heard(thief.started(pool_, "executor", "web1"), now_);
  EXPECT_TRUE(first.newest().empty()) << "an event from the future";
  thief = TestStreams("far");
  thief.incarnation = static_cast<std::uint64_t>(absl::ToUnixMillis(now_));
  const Event too_high = thief.started(pool_, "executor", "web1");
  first.heard(too_high, now_);
  EXPECT_EQ(first.newest().size(), 1);
  const HeardBefore second(first.newest());
  EXPECT_TRUE(second.is_replay(too_high));
  EXPECT_TRUE(second.is_replay(next())) << "it was said no later";
  EXPECT_FALSE(second.is_replay(next())) << "it was said later";
}

TEST_F(HeardBeforeTest, a_node_that_is_restored_from_a_copy_is_heard) {
  HeardBefore first({});
  TestStreams copy = streams_;
  for (int i = 0; i < 3; ++i) first.heard(next(), now_);
  const HeardBefore second(first.newest());
  copy.ahead = 10;
  EXPECT_FALSE(second.is_replay(copy.started(pool_, "executor", "web1")));
}

TEST_F(HeardBeforeTest, of_a_node_that_is_forgotten_nothing_is_a_replay) {
  TestStreams other("other");
  const Event one = next(), of_other = other.started(pool_, "executor", "web1");
  HeardBefore first({});
  first.heard(one, now_);
  first.heard(of_other, now_);
  HeardBefore second(first.newest());
  second.forget([](std::string_view node) { return node == "far"; });
  EXPECT_TRUE(second.take_changed());
  EXPECT_FALSE(second.is_replay(one));
  EXPECT_TRUE(second.is_replay(of_other));
  EXPECT_EQ(second.newest().size(), 1);
}

TEST_F(HeardBeforeTest, it_is_read_as_it_was_written_and_nonsense_is_named) {
  const HeardBefore::Positions positions = {{"far/executor", {{7, 12}, {5}}},
                                            {"b/node", {{1, 3}, {4}}}};
  EXPECT_EQ(encode(positions), "b/node 1 3 4\nfar/executor 7 12 5\n");
  const auto read = decode_heard(encode(positions));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, positions);
  ASSERT_TRUE(decode_heard("").ok());
  for (const char* nonsense : {"b/node 1 3 4", "b/node 1\n", "b/node 1 x 4\n", "node 1 3 4\n", "\n",
                               "b/node 1 3\n", "b/node 1 3 4 5\n", "b/node 1 -3 4\n"}) {
    const auto refused = decode_heard(std::string("a/node 1 1 1\n") + nonsense);
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << nonsense;
    EXPECT_NE(refused.status().message().find("line 2"), std::string::npos);
  }
}

TEST_F(HeardBeforeTest, of_each_node_so_many_origins_are_remembered_as_were_heard_last) {
  HeardBefore heard({});
  heard.heard(TestStreams("other").started(pool_, "executor", "web1"), now_);
  for (std::size_t i = 0; i <= HeardBefore::of_one_node_max; ++i) {
    streams_.ahead = i;
    heard.heard(streams_.started(pool_, "actor" + std::to_string(i), "web1"), now_);
  }
  EXPECT_EQ(heard.newest().size(), HeardBefore::of_one_node_max + 1);
  EXPECT_FALSE(heard.newest().contains("far/actor0"));
  EXPECT_TRUE(heard.newest().contains("far/actor1"));
  EXPECT_TRUE(heard.newest().contains("other/executor")) << "no other node's is forgotten for it";
  EXPECT_FALSE(heard.full());
}

TEST_F(HeardBeforeTest, of_all_that_goes_which_was_heard_longest_ago) {
  HeardBefore::Positions many;
  for (std::size_t i = 0; i < HeardBefore::origins_max; ++i)
    many["node" + std::to_string(i) + "/executor"] = {{1, 1}, HybridTime::at(now_)};
  many["node7/executor"].time = HybridTime{1};
  HeardBefore heard(std::move(many));
  EXPECT_FALSE(heard.full());
  heard.heard(next(), now_);
  EXPECT_EQ(heard.newest().size(), HeardBefore::origins_max);
  EXPECT_FALSE(heard.newest().contains("node7/executor"));
  EXPECT_TRUE(heard.newest().contains("far/executor"));
  EXPECT_TRUE(heard.full());
}

}  // namespace
}  // namespace supercloud
