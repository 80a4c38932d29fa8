// Charges against tables computed by hand.
#include "actors/ledger/billing.h"

#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace supercloud {
namespace {

constexpr absl::Duration hour = absl::Hours(1);
const absl::Time noon = absl::FromUnixSeconds(1'440'244'800);

absl::Time at(int minutes, int seconds = 0) {
  return noon + absl::Minutes(minutes) + absl::Seconds(seconds);
}

// 0.10 from 11:30, 0.25 from 12:20, 0.07 from 13:00 sharp, 0.40 from 13:59:59, 0.05 from 14:30
PriceHistory history() {
  PriceHistory prices;
  EXPECT_TRUE(prices.add(at(-30), Money{100'000'000}));
  EXPECT_TRUE(prices.add(at(20), Money{250'000'000}));
  EXPECT_TRUE(prices.add(at(60), Money{70'000'000}));
  EXPECT_TRUE(prices.add(at(119, 59), Money{400'000'000}));
  EXPECT_TRUE(prices.add(at(150), Money{50'000'000}));
  return prices;
}

std::vector<std::int64_t> amounts(const Rental& rental, const PriceHistory& prices,
                                  absl::Time now) {
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < hours_due(rental, now, hour); ++i) {
    result.push_back(charge_of(rental, prices, i, hour).amount.nano_usd);
  }
  return result;
}

Rental rental(absl::Time launched, schema::Billing billing = schema::Billing::HOURLY) {
  return {"i-1", "aws/r/z/t/spot", launched, billing, Money{99'000'000}, std::nullopt};
}

TEST(PriceHistory, KnowsThePriceInForceAndThatAFactIsAFact) {
  PriceHistory prices = history();
  EXPECT_FALSE(prices.add(at(20), Money{1}));
  EXPECT_FALSE(prices.at(at(-31)).has_value());
  EXPECT_EQ(prices.at(at(-30))->nano_usd, 100'000'000);
  EXPECT_EQ(prices.at(at(59, 59))->nano_usd, 250'000'000);
  EXPECT_EQ(prices.at(at(60))->nano_usd, 70'000'000);
  prices.forget_before(at(59));
  EXPECT_EQ(prices.at(at(59))->nano_usd, 250'000'000);
  EXPECT_FALSE(prices.at(at(19)).has_value());
}

TEST(HourlyBilling, ChargesEachHourAtThePriceOfItsStart) {
  // Hours from 12:00: 0.10, 0.07, 0.40; the fourth, from 15:00, at 0.05, is not over.
  EXPECT_EQ(amounts(rental(at(0)), history(), at(239)),
            (std::vector<std::int64_t>{100'000'000, 70'000'000, 400'000'000}));
  // Hours count from the launch: 12:30 at 0.25, 13:30 at 0.07, 14:30 at 0.05.
  EXPECT_EQ(amounts(rental(at(30)), history(), at(210)),
            (std::vector<std::int64_t>{250'000'000, 70'000'000, 50'000'000}));
}

TEST(HourlyBilling, MakesTheLastPartialHourFreeWhenTheCloudEndsItAndWholeWhenWeDo) {
  Rental taken = rental(at(0));
  taken.end = {at(90), true};
  EXPECT_EQ(amounts(taken, history(), at(95)), (std::vector<std::int64_t>{100'000'000, 0}));
  EXPECT_EQ(charge_of(taken, history(), 1, hour).to, at(90));
  Rental left = rental(at(0));
  left.end = {at(60, 1), false};
  EXPECT_EQ(amounts(left, history(), at(95)), (std::vector<std::int64_t>{100'000'000, 70'000'000}));
}

TEST(HourlyBilling, HasNoPartialHourWhenTheEndFallsOnAnHour) {
  for (const bool by_cloud : {false, true}) {
    Rental ended = rental(at(0));
    ended.end = {at(120), by_cloud};
    EXPECT_EQ(amounts(ended, history(), at(500)),
              (std::vector<std::int64_t>{100'000'000, 70'000'000}));
  }
}

TEST(HourlyBilling, CostsNothingWithoutTime) {
  Rental none = rental(at(0));
  none.end = {at(0), false};
  EXPECT_TRUE(amounts(none, history(), at(500)).empty());
  EXPECT_TRUE(amounts(rental(at(10)), history(), at(0)).empty());
}

TEST(HourlyBilling, UsesTheLaunchPriceWhereTheHistoryHasNone) {
  EXPECT_EQ(amounts(rental(at(-60)), history(), at(0)), (std::vector<std::int64_t>{99'000'000}));
}

TEST(PerSecondBilling, AddsUpEveryPriceForAsLongAsItHeld) {
  // 12:00 to 12:20 at 0.10, to 13:00 at 0.25: 0.0333.. + 0.1666.. = 0.20
  // 13:00 to 13:59:59 at 0.07, one second at 0.40: (3599 x 0.07 + 0.40) / 3600 = 0.070091666..
  Rental used = rental(at(0), schema::Billing::PER_SECOND);
  EXPECT_EQ(amounts(used, history(), at(120)),
            (std::vector<std::int64_t>{200'000'000, 70'091'667}));
  // 14:00 to 14:30 at 0.40, ten seconds at 0.05, paid whoever ends it: 0.20 + 0.000138888..
  for (const bool by_cloud : {false, true}) {
    used.end = {at(150, 10), by_cloud};
    EXPECT_EQ(amounts(used, history(), at(151)),
              (std::vector<std::int64_t>{200'000'000, 70'091'667, 200'138'889}));
  }
}

TEST(Cost, RoundsHalfUpToTheNanoDollar) {
  EXPECT_EQ(cost(Money{1}, absl::Minutes(30)).nano_usd, 1);
  EXPECT_EQ(cost(Money{1}, absl::Minutes(29)).nano_usd, 0);
  EXPECT_EQ(cost(Money{3}, absl::Minutes(30)).nano_usd, 2);
  EXPECT_EQ(cost(Money{1'000'000'000'000}, absl::Hours(24 * 366)).nano_usd, 8'784'000'000'000'000);
}

TEST(TransferCost, RoundsHalfUpToTheNanoDollarAndEndsSomewhere) {
  constexpr std::uint64_t gib = std::uint64_t{1} << 30;
  EXPECT_EQ(transfer_cost(Money{10'000'000}, 6 * gib).nano_usd, 60'000'000);
  EXPECT_EQ(transfer_cost(Money{1}, gib / 2).nano_usd, 1);
  EXPECT_EQ(transfer_cost(Money{1}, gib / 2 - 1).nano_usd, 0);
  EXPECT_EQ(transfer_cost(Money{1'000'000'000'000}, UINT64_MAX).nano_usd,
            1'000'000'000'000'000'000);
}

TEST(Billing, HasTwoNames) {
  for (const char* name : {"hourly", "per-second"}) {
    const auto billing = billing_named(name);
    ASSERT_TRUE(billing.ok());
    EXPECT_EQ(name_of(*billing), name);
  }
  EXPECT_EQ(billing_named("daily").status().message(),
            "\"daily\" is neither \"hourly\" nor \"per-second\"");
}

TEST(PaidUntil, IsTheEndOfTheHourThatIsUnderWay) {
  EXPECT_EQ(paid_until(at(5), at(5), hour), at(65));
  EXPECT_EQ(paid_until(at(5), at(64, 59), hour), at(65));
  EXPECT_EQ(paid_until(at(5), at(65), hour), at(125));
  EXPECT_EQ(paid_until(at(5), at(0), hour), at(65));
}

}  // namespace
}  // namespace supercloud
