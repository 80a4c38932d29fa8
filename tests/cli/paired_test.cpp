#include "cli/measure/paired.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace supercloud {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Ways that take a set time each, and say when it was their turn.
class PairedTest : public testing::Test {
 protected:
  std::function<double()> way(char name, double seconds) {
    return [=, this] {
      turns_ += name;
      return seconds;
    };
  }
  // As many turns, and then it fails.
  std::function<double()> failing(char name, int turns) {
    return [=, this, left = turns]() mutable {
      turns_ += name;
      return left-- > 0 ? 1.0 : 0.0;
    };
  }

  std::string turns_;
};

TEST_F(PairedTest, WhoComesFirstGoesRound) {
  const auto values = measure_rounds(3, {way('a', 1), way('b', 2), way('c', 3)});
  EXPECT_EQ(turns_, "abcbcacab");
  EXPECT_THAT(values,
              ElementsAre(ElementsAre(1, 1, 1), ElementsAre(2, 2, 2), ElementsAre(3, 3, 3)));
}

TEST_F(PairedTest, WhoFailsIsMeasuredNoMoreAndHasNoValues) {
  const auto values = measure_rounds(3, {way('a', 1), failing('b', 1), way('c', 3)});
  EXPECT_EQ(turns_, "abcbcaca");
  EXPECT_THAT(values, ElementsAre(ElementsAre(1, 1, 1), IsEmpty(), ElementsAre(3, 3, 3)));
}

TEST_F(PairedTest, OneThatIsLeftAloneIsComparedWithNothing) {
  const auto values = measure_rounds(100, {way('a', 1), failing('b', 1)});
  EXPECT_EQ(turns_, "abb");
  EXPECT_EQ(pair_up(values[0], values[1]).ratio, 0);
  EXPECT_EQ(measure_pairs(100, failing('b', 0), way('a', 1)).ratio, 0);
}

TEST_F(PairedTest, RatiosAreOfValuesFromOneRound) {
  // The ratio of the medians would be 3.
  const Paired paired = pair_up({2, 30, 40}, {1, 10, 20});
  EXPECT_EQ(paired.ratio, 2);
  EXPECT_EQ(paired.ours, 30);
  EXPECT_EQ(paired.floor, 10);
  EXPECT_EQ(paired.low, 2);
  EXPECT_EQ(paired.high, 3);
  EXPECT_EQ(pair_up({1, 2}, {1}).ratio, 0) << "they are not from the same rounds";
}

TEST_F(PairedTest, IsMetOrMissedOnlyWithItsWholeInterval) {
  const auto judged = [](double low, double high) {
    return verdict(Paired{.ratio = (low + high) / 2, .low = low, .high = high}, 1.25);
  };
  EXPECT_EQ(judged(1.1, 1.25), "met");
  EXPECT_EQ(judged(1.1, 1.3), "not resolved");
  EXPECT_EQ(judged(1.3, 1.4), "missed");
}

TEST(PairedDifference, IsTheMedianOfThePairsWhateverDriftsBetweenThem) {
  const PairedDifference paired =
      difference_of_pairs({13, 113, 1013, 14, 1014}, {10, 110, 1010, 10, 1010});
  EXPECT_EQ(paired.ours, 113);
  EXPECT_EQ(paired.floor, 110);
  EXPECT_EQ(paired.difference, 3);
  EXPECT_GE(paired.low, 3);
  EXPECT_LE(paired.high, 4);
  EXPECT_EQ(verdict(paired, 10), "met");
  EXPECT_EQ(verdict(paired, 2.5), "missed");
  EXPECT_EQ(verdict(difference_of_pairs({1, 9}, {0, 0}), 5), "not resolved");
}

TEST(PairedDifference, OfNothingOrOfUnequallyManyIsNotResolved) {
  EXPECT_EQ(verdict(difference_of_pairs({}, {}), 1e9), "not resolved");
  EXPECT_EQ(verdict(difference_of_pairs({1, 2}, {1}), 1e9), "not resolved");
}

}  // namespace
}  // namespace supercloud
