#include "cli/measure/percentiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace supercloud {
namespace {

// The smallest value that is not exceeded by this part of all, in thousandths.
double by_sorting(std::vector<double> values, std::size_t thousandths) {
  std::sort(values.begin(), values.end());
  const std::size_t rank = (thousandths * values.size() + 999) / 1000;
  return values[std::max<std::size_t>(rank, 1) - 1];
}

TEST(Percentiles, AreWithinOnePercentOfSortingWhateverTheDistribution) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::exponential_distribution<double> exponential(1);
  std::lognormal_distribution<double> lognormal(-9, 2);
  const std::map<std::string, std::function<double()>> distributions = {
      {"uniform, 10 to 20 us", [&] { return 1e-5 + 1e-5 * uniform(random); }},
      {"exponential, 100 us", [&] { return 1e-4 * exponential(random); }},
      {"lognormal over eight decades", [&] { return lognormal(random); }},
      {"pareto with a tail without a mean", [&] { return 1e-6 / (uniform(random) + 1e-9); }},
      {"two humps, five decades apart",
       [&] {
         return uniform(random) < 0.98 ? 2e-5 + 1e-6 * uniform(random) : 2 + uniform(random);
       }},
      {"all the same", [] { return 12.5e-6; }},
      {"from end to end of the axis",
       [&] {
         return Percentiles::seconds_min *
                std::pow(Percentiles::seconds_max / Percentiles::seconds_min, uniform(random));
       }},
      {"nanoseconds, whole ones", [&] { return 1e-9 * std::ceil(100 * uniform(random)); }},
  };
  for (const auto& [name, next] : distributions) {
    for (const int count : {10, 1'000, 30'000}) {
      Percentiles percentiles;
      std::vector<double> values;
      for (int i = 0; i < count; ++i) {
        values.push_back(next());
        percentiles.add(values.back());
      }
      for (const std::size_t thousandths : {1U, 100U, 250U, 500U, 900U, 990U, 999U, 1000U}) {
        const double exact = by_sorting(values, thousandths);
        const auto told = percentiles.at(static_cast<double>(thousandths) / 1000);
        const bool some_above = thousandths == 1000U || count * (1000 - thousandths) >= 1000;
        ASSERT_EQ(told.has_value(), some_above) << name << ", " << thousandths << " of " << count;
        if (!told) continue;
        EXPECT_NEAR(*told, exact, exact * Percentiles::error)
            << name << ", " << thousandths << " of " << count;
      }
      EXPECT_EQ(percentiles.count(), values.size());
      EXPECT_EQ(percentiles.min(), *std::min_element(values.begin(), values.end()));
      EXPECT_EQ(percentiles.max(), *std::max_element(values.begin(), values.end()));
    }
  }
}

TEST(Percentiles, TogetherAreAsIfCountedTogether) {
  Percentiles one, other, both;
  for (int i = 1; i <= 500; ++i) {
    one.add(i * 1e-6);
    both.add(i * 1e-6);
    other.add(i * 1e-3);
    both.add(i * 1e-3);
  }
  one.add(other);
  one.add(Percentiles());
  Percentiles none;
  none.add(one);
  for (const Percentiles& sum : {one, none}) {
    EXPECT_EQ(sum.count(), both.count());
    EXPECT_EQ(sum.min(), both.min());
    EXPECT_EQ(sum.max(), both.max());
    EXPECT_DOUBLE_EQ(sum.mean(), both.mean());
    for (const double part : {0.1, 0.5, 0.9, 0.99}) EXPECT_EQ(sum.at(part), both.at(part));
  }
}

TEST(Percentiles, OfFewValuesTellWhatTheyCan) {
  Percentiles percentiles;
  EXPECT_FALSE(percentiles.at(0.5));
  EXPECT_FALSE(percentiles.at(1));
  percentiles.add(3e-6);
  EXPECT_FALSE(percentiles.at(0.5)) << "of one value none is above it";
  EXPECT_EQ(percentiles.at(1), 3e-6);
  percentiles.add(5e-6);
  EXPECT_NEAR(*percentiles.at(0.5), 3e-6, 3e-8);
  EXPECT_FALSE(percentiles.at(0.99));
}

TEST(Percentiles, BeyondTheAxisAreTheExtremes) {
  Percentiles percentiles;
  percentiles.add(0);
  percentiles.add(1e-12);
  percentiles.add(1e-3);
  percentiles.add(5e5);
  EXPECT_EQ(percentiles.at(0.25), 0);
  EXPECT_EQ(percentiles.at(0.5), 0) << "below the axis";
  EXPECT_NEAR(*percentiles.at(0.75), 1e-3, 1e-5);
  EXPECT_EQ(percentiles.at(1), 5e5);
  EXPECT_EQ(percentiles.max(), 5e5);
}

}  // namespace
}  // namespace supercloud
