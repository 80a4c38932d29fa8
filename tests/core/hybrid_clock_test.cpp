#include "core/hybrid_clock.h"

#include <gtest/gtest.h>

#include <set>

#include "core/random.h"

namespace supercloud {
namespace {

class FixedClock final : public Clock {
 public:
  Instant now() const override { return {}; }
  absl::Time wall() const override { return at; }
  absl::Time at = absl::FromUnixSeconds(1'700'000'000);
};

TEST(HybridClock, follows_the_wall_clock_where_it_moves) {
  FixedClock wall;
  HybridClock clock(wall);
  EXPECT_EQ(clock.tick().wall(), wall.at);
  wall.at += absl::Seconds(1);
  EXPECT_EQ(clock.tick().wall(), wall.at);
}

TEST(HybridClock, grows_where_the_wall_clock_stands_or_goes_back) {
  FixedClock wall;
  HybridClock clock(wall);
  HybridTime before = clock.tick();
  for (int i = 0; i < 10'000; ++i) {  // more ticks than the counter's twelve bits
    if (i == 5'000) wall.at -= absl::Seconds(10);
    const HybridTime now = clock.tick();
    ASSERT_GT(now, before);
    before = now;
  }
  EXPECT_LT(before.wall(), absl::FromUnixSeconds(1'700'000'000) + absl::Milliseconds(1));
}

TEST(HybridClock, is_later_than_everything_it_observed) {
  FixedClock wall;
  HybridClock clock(wall);
  const HybridTime remote = HybridTime::at(wall.at + absl::Seconds(4));
  ASSERT_TRUE(clock.observe(remote).ok());
  EXPECT_GT(clock.tick(), remote);
}

TEST(HybridClock, rejects_what_is_too_far_ahead_and_stays_where_it_was) {
  FixedClock wall;
  HybridClock clock(wall);
  const HybridTime far = HybridTime::at(wall.at + HybridClock::max_ahead + absl::Milliseconds(1));
  EXPECT_EQ(clock.observe(far).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(clock.observe({UINT64_MAX}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(clock.tick().wall(), wall.at);
  EXPECT_TRUE(clock.observe(HybridTime::at(wall.at + HybridClock::max_ahead)).ok());
}

TEST(HybridClock, before_1970_starts_at_zero) {
  FixedClock wall;
  wall.at = absl::FromUnixSeconds(-5);
  HybridClock clock(wall);
  EXPECT_EQ(clock.tick().value, 1);
}

TEST(Random, has_the_same_sequence_everywhere) {
  Random random(1234567);  // the reference values of SplitMix64's authors
  EXPECT_EQ(random.next(), 6457827717110365317U);
  EXPECT_EQ(random.next(), 3203168211198807973U);
  EXPECT_EQ(random.next(), 9817491932198370423U);
}

TEST(Random, stays_within_its_bounds) {
  Random random(1);
  std::set<std::int64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t value = random.between(-2, 2);
    ASSERT_GE(value, -2);
    ASSERT_LE(value, 2);
    seen.insert(value);
  }
  EXPECT_EQ(seen.size(), 5);
  EXPECT_EQ(random.below(0), 0);
  EXPECT_FALSE(random.chance(0));
  EXPECT_TRUE(random.chance(1'000'000));
}

TEST(Random, forks_streams_that_do_not_repeat_their_parent) {
  Random parent(1);
  Random child = parent.fork();
  std::set<std::uint64_t> values;
  for (int i = 0; i < 100; ++i) {
    values.insert(parent.next());
    values.insert(child.next());
  }
  EXPECT_EQ(values.size(), 200);
}

}  // namespace
}  // namespace supercloud
