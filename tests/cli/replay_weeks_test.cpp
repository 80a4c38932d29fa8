#include "cli/replay/weeks.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

using testing::ElementsAre;

std::vector<Money> dollars(std::initializer_list<int> amounts) {
  std::vector<Money> money;
  for (const int amount : amounts) money.push_back({amount * std::int64_t{1'000'000'000}});
  return money;
}

TEST(ReplayWeeks, AreWholeOnesFromTheBeginning) {
  const absl::Time from = absl::UnixEpoch();
  const absl::Duration day = absl::Hours(24);
  ReplayStrategy strategy;
  strategy.cumulative = {{from + day, dollars({1})[0]},
                         {from + 7 * day, dollars({3})[0]},
                         {from + 8 * day, dollars({4})[0]},
                         {from + 15 * day, dollars({9})[0]}};
  EXPECT_THAT(weekly_costs(strategy, from, from + 20 * day),
              ElementsAre(dollars({3})[0], dollars({1})[0]));
}

TEST(ReplayWeeks, TellChanceFromADifference) {
  // The same sign ten times: two of 2^10 ways.
  const WeekComparison clear = compare_weeks(dollars({1, 1, 1, 1, 1, 1, 1, 1, 1, 1}),
                                             dollars({2, 3, 2, 3, 2, 3, 2, 3, 2, 3}));
  EXPECT_EQ(clear.weeks, 10);
  EXPECT_EQ(clear.cheaper, 10);
  EXPECT_DOUBLE_EQ(clear.p_value, 2.0 / 1024);
  EXPECT_EQ(clear.mean.nano_usd, -1'500'000'000);

  const WeekComparison chance = compare_weeks(dollars({1, 4, 1, 4}), dollars({2, 3, 2, 3}));
  EXPECT_EQ(chance.cheaper, 2);
  EXPECT_EQ(chance.dearer, 2);
  EXPECT_DOUBLE_EQ(chance.p_value, 1);
}

TEST(ReplayWeeks, OfNoWeekSayNothing) {
  const WeekComparison none = compare_weeks({}, {});
  EXPECT_EQ(none.weeks, 0);
  EXPECT_DOUBLE_EQ(none.p_value, 1);
}

TEST(ReplayWeeks, DrawFlipsWhereThereAreTooManyToTryAll) {
  std::vector<Money> cheap(52, {1}), dear(52, {2});
  EXPECT_LT(compare_weeks(cheap, dear).p_value, 1e-4);
  for (std::size_t i = 0; i < 52; i += 2) std::swap(cheap[i], dear[i]);
  EXPECT_GT(compare_weeks(cheap, dear).p_value, 0.9);
}

}  // namespace
}  // namespace supercloud
