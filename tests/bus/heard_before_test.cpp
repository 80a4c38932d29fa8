// What is a replay to a process that others were before.
#include "bus/heard_before.h"

#include <gtest/gtest.h>

#include "tests/bus/bus_process.h"

namespace supercloud {
namespace {

class HeardBeforeTest : public testing::Test {
 protected:
  Event next() { return streams_.started(pool_, "executor", "web1"); }

  EventPool pool_;
  TestStreams streams_ = TestStreams("far");
};

TEST_F(HeardBeforeTest, what_a_process_before_has_heard_and_all_that_is_older_is_a_replay) {
  HeardBefore first({});
  const Event one = next(), two = next(), three = next();
  first.heard(two);
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
  heard.heard(two);
  EXPECT_TRUE(heard.take_changed());
  heard.heard(one);
  EXPECT_FALSE(heard.take_changed());
  EXPECT_EQ(heard.newest().at("far/executor"), (HeardBefore::Position{1, 2}));
}

TEST_F(HeardBeforeTest, it_is_read_as_it_was_written_and_nonsense_is_named) {
  const HeardBefore::Positions positions = {{"far/executor", {7, 12}}, {"b/node", {1, 3}}};
  EXPECT_EQ(encode(positions), "b/node 1 3\nfar/executor 7 12\n");
  const auto read = decode_heard(encode(positions));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, positions);
  ASSERT_TRUE(decode_heard("").ok());
  for (const char* nonsense : {"b/node 1 3", "b/node 1\n", "b/node 1 x\n", "node 1 3\n", "\n",
                               "b/node 1 3 4\n", "b/node 1 -3\n"}) {
    const auto refused = decode_heard(std::string("a/node 1 1\n") + nonsense);
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << nonsense;
    EXPECT_NE(refused.status().message().find("line 2"), std::string::npos);
  }
}

TEST_F(HeardBeforeTest, it_is_bounded) {
  HeardBefore heard({});
  for (std::size_t i = 0; i <= HeardBefore::origins_max; ++i)
    heard.heard(streams_.started(pool_, "actor" + std::to_string(i), "web1"));
  EXPECT_EQ(heard.newest().size(), HeardBefore::origins_max);
}

}  // namespace
}  // namespace supercloud
