#include "actors/spot/hourly_prices.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

absl::Time hour_at(double hour) {
  return absl::UnixEpoch() + absl::Hours(400'000) + absl::Minutes(hour * 60);
}
constexpr Money one{1}, two{2}, three{3};

TEST(HourlyPrices, AreThoseInForceAtWholeHoursNewestFirst) {
  HourlyPrices prices;
  EXPECT_THAT(prices.until(hour_at(5)), IsEmpty());
  prices.add(hour_at(0.5), one);
  EXPECT_THAT(prices.until(hour_at(0.9)), IsEmpty()) << "it had no mark yet";
  EXPECT_THAT(prices.until(hour_at(2)), ElementsAre(one, one));
  prices.add(hour_at(2.5), two);
  prices.add(hour_at(2.7), three);
  EXPECT_THAT(prices.until(hour_at(4.2)), ElementsAre(three, three, one, one));
}

TEST(HourlyPrices, GiveAMarkToThePriceThatComesIntoForceThen) {
  HourlyPrices prices;
  prices.add(hour_at(0), one);
  prices.add(hour_at(1), two);
  EXPECT_THAT(prices.until(hour_at(1)), ElementsAre(two, one));
  prices.add(hour_at(2) + absl::Nanoseconds(1), three);
  EXPECT_THAT(prices.until(hour_at(3)), ElementsAre(three, two, two, one));
}

TEST(HourlyPrices, AreNotChangedByAnOlderPrice) {
  HourlyPrices prices;
  prices.add(hour_at(0), one);
  prices.add(hour_at(3), two);
  prices.add(hour_at(1), three);
  prices.add(hour_at(3), three);
  EXPECT_THAT(prices.until(hour_at(3)), ElementsAre(two, one, one, one));
}

TEST(HourlyPrices, LookBackTwoWeeksAndNoFurther) {
  HourlyPrices prices;
  prices.add(hour_at(0), one);
  prices.add(hour_at(10'000), two);
  prices.add(hour_at(10'001), three);
  const std::vector<Money> known = prices.until(hour_at(10'001));
  ASSERT_EQ(known.size(), HourlyPrices::marks_max);
  EXPECT_EQ(known[0], three);
  EXPECT_EQ(known[1], two);
  EXPECT_EQ(known.back(), one);
  EXPECT_EQ(prices.until(hour_at(20'000)).size(), HourlyPrices::marks_max);
}

TEST(HourlyPrices, TakeWhatWasBeforeFromWhoKnowsIt) {
  HourlyPrices older;
  older.add(hour_at(0), one);
  older.add(hour_at(2), two);
  HourlyPrices prices;
  prices.add(hour_at(3.5), three);
  prices.look_back(older);
  EXPECT_THAT(prices.until(hour_at(4)), ElementsAre(three, two, two, one, one));
  prices.look_back(older);
  EXPECT_THAT(prices.until(hour_at(4)), ElementsAre(three, two, two, one, one)) << "once is enough";
  HourlyPrices nothing;
  nothing.look_back(older);
  EXPECT_THAT(nothing.until(hour_at(2)), ElementsAre(two, one, one));

  HourlyPrices long_ago;
  long_ago.add(hour_at(-1000), one);
  HourlyPrices now;
  now.add(hour_at(-1.5), two);
  now.look_back(long_ago);
  EXPECT_EQ(now.until(hour_at(0)).size(), HourlyPrices::marks_max);
}

TEST(HourlyPrices, AreTheSameWhenAnotherHandsThemOn) {
  HourlyPrices known;
  known.add(hour_at(0), one);
  known.add(hour_at(2), two);
  known.add(hour_at(4.5), three);
  HourlyPrices told;
  told.take(HourlyPrices::mark(hour_at(6)), known.until(hour_at(6)), hour_at(4.5), three);
  EXPECT_EQ(told.until(hour_at(9)), known.until(hour_at(9)));
  told.take(HourlyPrices::mark(hour_at(3)), known.until(hour_at(3)), hour_at(2), two);
  EXPECT_EQ(told.until(hour_at(9)), known.until(hour_at(9))) << "older words change nothing";
}

}  // namespace
}  // namespace supercloud
