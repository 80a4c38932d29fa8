// The generated market against what its model says, and against real prices. With real ones it prints the tables of docs/prices.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "actors/spot/generated_feed.h"
#include "actors/spot/price_files.h"
#include "actors/spot/vector_feed.h"
#include "simulation/replay/market_statistics.h"

namespace supercloud {
namespace {

constexpr Money on_demand{200'000'000};

PriceGrid generated(const MarketModel& model, int zones, std::uint64_t seed, int days) {
  GeneratedMarket market;
  market.model = model;
  market.seed = seed;
  market.start = absl::FromUnixSeconds(1'440'201'600);
  for (int i = 0; i < zones; ++i)
    market.zones.push_back(
        {{"aws", "us-east-1", absl::StrCat("us-east-1", std::string(1, static_cast<char>('a' + i))),
          "r3.large", true},
         on_demand});
  GeneratedFeed feed(market);
  PriceGridOptions options;
  options.from = market.start;
  options.to = market.start + days * absl::Hours(24);
  auto grid = PriceGrid::read(feed, options);
  EXPECT_TRUE(grid.ok()) << grid.status();
  return *std::move(grid);
}

// Of many seeds: the mean of each figure, and what a tenth of them lies below or above.
struct Spread {
  double mean = 0, low = 0, high = 0;
};
using Spreads = std::map<std::string, Spread>;

const Spreads& spreads(const MarketModel& model, int zones) {
  static std::map<std::string, Spreads> known;  // by the model's name: several tests look at them
  if (const auto before = known.find(model.name); before != known.end()) return before->second;
  constexpr int seeds = 20;
  constexpr int days = 90;  // of about the length of the real series
  std::map<std::string, std::vector<double>> figures;
  for (int seed = 1; seed <= seeds; ++seed)
    for (const auto& [name, value] :
         market_statistics(generated(model, zones, static_cast<std::uint64_t>(seed), days),
                           on_demand)
             .named())
      figures[name].push_back(value);
  Spreads& found = known[model.name];
  for (auto& [name, values] : figures) {
    std::sort(values.begin(), values.end());
    double sum = 0;
    for (const double value : values) sum += value;
    found[name] = {sum / seeds, values[seeds / 10], values[seeds - 1 - seeds / 10]};
  }
  return found;
}

// ---- what a model says -----------------------------------------------------------------------------------------------

// One whose price says what demand is.
MarketModel straight(std::vector<MarketModel::Wave> waves) {
  MarketModel model;
  model.name = "straight";
  model.levels = {{-5'000'000, 1'000'000}, {5'000'000, 1'000'000'000}};
  model.waves = std::move(waves);
  model.quotes_per_day = 288;  // in each step
  return model;
}

double demand_of(Money price) {
  const double level =
      static_cast<double>(price.nano_usd) / static_cast<double>(on_demand.nano_usd);
  return (level - 1) / 999 * 10 - 5;
}

// The mean, over all zones and steps, of a product of two demands.
double mean_product(const PriceGrid& grid, int other_zone, int later) {
  double sum = 0;
  std::int64_t count = 0;
  for (int zone = 0; zone < grid.places(); ++zone)
    for (int step = 0; step + later < grid.steps(); ++step, ++count)
      sum += demand_of(grid.price(zone, step)) *
             demand_of(grid.price((zone + other_zone) % grid.places(), step + later));
  return sum / static_cast<double>(count);
}

TEST(GeneratedDemand, has_variance_one_and_loses_its_memory_in_the_time_of_a_wave) {
  for (const bool jumps : {false, true}) {
    const PriceGrid grid = generated(
        straight({{.time = absl::Hours(5), .share = 1'000'000, .jumps = jumps}}), 8, 1, 200);
    EXPECT_NEAR(mean_product(grid, 0, 0), 1, 0.06) << jumps;
    EXPECT_NEAR(mean_product(grid, 0, 60), std::exp(-1), 0.05) << jumps;
    EXPECT_NEAR(mean_product(grid, 0, 180), std::exp(-3), 0.05) << jumps;
    EXPECT_NEAR(mean_product(grid, 1, 0), 0, 0.05)
        << jumps;  // of zones that have nothing in common
  }
}

TEST(GeneratedDemand, is_in_common_as_far_as_its_waves_are) {
  const PriceGrid grid =
      generated(straight({{.time = absl::Hours(2), .share = 600'000, .common = 500'000},
                          {.time = absl::Hours(1), .share = 400'000, .common = 250'000}}),
                4, 2, 200);
  EXPECT_NEAR(mean_product(grid, 0, 0), 1, 0.06);
  EXPECT_NEAR(mean_product(grid, 1, 0), 0.6 * 0.5 + 0.4 * 0.25, 0.05);
}

TEST(GeneratedDemand, keeps_a_wave_without_end_and_that_of_a_jump_until_the_next) {
  const PriceGrid still = generated(straight({{.time = absl::InfiniteDuration(), .share = 990'000},
                                              {.time = absl::Hours(1), .share = 10'000}}),
                                    8, 3, 10);
  double lowest = 10, highest = -10;
  for (int zone = 0; zone < still.places(); ++zone) {
    const double first = demand_of(still.price(zone, 0));
    EXPECT_NEAR(demand_of(still.price(zone, still.steps() - 1)), first, 0.5);
    lowest = std::min(lowest, first);
    highest = std::max(highest, first);
  }
  EXPECT_GT(highest - lowest, 1);
  const MarketStatistics jumping = market_statistics(
      generated(straight({{.time = absl::Hours(3), .share = 1'000'000, .jumps = true}}), 4, 4, 100),
      on_demand);
  EXPECT_NEAR(jumping.changes_per_day, 8, 0.6);
}

TEST(GeneratedMarkets, quote_as_often_as_they_say_and_follow_demand_as_far) {
  MarketModel model = straight({{.time = absl::Hours(10), .share = 1'000'000}});
  model.quotes_per_day = 24;
  const PriceGrid at_once = generated(model, 4, 5, 200);
  EXPECT_NEAR(market_statistics(at_once, on_demand).changes_per_day, 24, 1);
  // Half of the way each hour: it lags, and its variance is less.
  model.follow = 500'000;
  const PriceGrid slowly = generated(model, 4, 5, 200);
  EXPECT_GT(mean_product(slowly, 0, 12) / mean_product(slowly, 0, 0),
            mean_product(at_once, 0, 12) / mean_product(at_once, 0, 0) + 0.02);
  EXPECT_LT(mean_product(slowly, 0, 0), 0.97);
  EXPECT_GT(mean_product(slowly, 0, 0), 0.7);
}

// Each price is undercut as much of the time as demand is lower than the demand that it stands for.
TEST(GeneratedMarkets, have_their_levels_as_much_of_the_time_as_the_model_says) {
  const MarketModel model = spiky_market();
  std::vector<int> lower(model.levels.size());
  int all = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const PriceGrid grid = generated(model, 5, seed, 30);
    for (int zone = 0; zone < grid.places(); ++zone)
      for (int step = 0; step < grid.steps(); step += 12, ++all)
        for (std::size_t i = 0; i < lower.size(); ++i)
          if (grid.price(zone, step).nano_usd <
              on_demand.nano_usd / 1'000'000 * model.levels[i].price)
            ++lower[i];
  }
  // The first is the lowest that there is.
  for (std::size_t i = 1; i < lower.size(); ++i)
    EXPECT_NEAR(static_cast<double>(lower[i]) / all,
                std::erfc(-static_cast<double>(model.levels[i].demand) / 1e6 / std::sqrt(2)) / 2,
                0.05)
        << i;
}

// ---- what is measured ------------------------------------------------------------------------------------------------

TEST(MarketStatisticsOf, a_small_market_are_as_worked_out_by_hand) {
  const absl::Time start = absl::FromUnixSeconds(1'440'201'600);
  const auto price = [&](const char* zone, int minute, std::int64_t cents) {
    return Price{{"aws", "us-east-1", zone, "r3.large", true},
                 Money{cents * 10'000'000},
                 start + absl::Minutes(minute)};
  };
  // On-demand costs 20. Zone a is above it from minute 60 to 90 and from 600 to 610, zone b from 70 to 80.
  VectorFeed feed("by hand", {price("a", 0, 10), price("b", 0, 5), price("a", 60, 30),
                              price("b", 70, 40), price("b", 80, 5), price("a", 85, 100),
                              price("a", 90, 10), price("a", 600, 21), price("a", 610, 10)});
  PriceGridOptions options;
  options.from = start;
  options.to = start + absl::Hours(24);
  const MarketStatistics found =
      market_statistics(PriceGrid::read(feed, options).value(), Money{200'000'000});
  EXPECT_EQ(found.zones, 2);
  EXPECT_DOUBLE_EQ(found.days, 1);
  EXPECT_DOUBLE_EQ(found.level_25, 0.25);
  EXPECT_DOUBLE_EQ(found.level_75, 0.5);
  EXPECT_DOUBLE_EQ(found.changes_per_day, 3.5);
  EXPECT_DOUBLE_EQ(found.change_size,
                   std::log(100.0 / 30));  // 0.74 twice, 1.1, 1.2, 2.1 twice, 2.3
  EXPECT_DOUBLE_EQ(found.above, 50.0 / (2 * 24 * 60));
  EXPECT_DOUBLE_EQ(found.all_above, 10.0 / (24 * 60));
  EXPECT_DOUBLE_EQ(found.spikes_per_day, 1.5);
  EXPECT_DOUBLE_EQ(found.spike_minutes_50, 10);
  EXPECT_DOUBLE_EQ(found.spike_minutes_90, 30);
  EXPECT_DOUBLE_EQ(found.spike_minutes_mean, 50.0 / 3);
  EXPECT_DOUBLE_EQ(found.spike_height_50, 2);
  EXPECT_DOUBLE_EQ(found.spike_height_90, 5);
  // Of 288 steps a is above in 8, b in 2, both in 2.
  EXPECT_NEAR(found.correlation_above,
              (2.0 / 288 - 8.0 * 2 / 288 / 288) /
                  std::sqrt(8.0 / 288 * (280.0 / 288) * (2.0 / 288) * (286.0 / 288)),
              1e-9);
  EXPECT_NEAR(found.correlation_level, 0.35, 0.2);
}

// ---- how close the models come ---------------------------------------------------------------------------------------

struct RealSeries {
  const char* name;
  const char* file;
  const char* instance_type;
  Money on_demand;
};

const std::vector<RealSeries>& spiky_series() {
  static const std::vector<RealSeries> series = {
      {"r3.large 2015", "2015_r3.large_us-east-1_3zones_events.csv", "r3.large", {175'000'000}},
      {"m4.xlarge 2016", "2016_m4.xlarge_us-east-1_4zones_5min.csv", "m4.xlarge", {239'000'000}}};
  return series;
}

const std::vector<RealSeries>& calm_series() {
  static const char* const file = "2021_us-east-1_6zones_events.csv";
  static const std::vector<RealSeries> series = {
      {"c4.2xlarge 2021", file, "c4.2xlarge", {398'000'000}},
      {"c5.xlarge 2021", file, "c5.xlarge", {170'000'000}},
      {"m4.xlarge 2021", file, "m4.xlarge", {200'000'000}},
      {"m5.xlarge 2021", file, "m5.xlarge", {192'000'000}},
      {"r4.2xlarge 2021", file, "r4.2xlarge", {532'000'000}}};
  return series;
}

std::string path_of(const RealSeries& series) {
  const char* folder = std::getenv("SUPERCLOUD_DATA");
  return absl::StrCat(folder != nullptr ? folder : SUPERCLOUD_SOURCE_ROOT "/../shared/data",
                      "/spot/", series.file);
}

MarketStatistics measured(const RealSeries& series) {
  PriceFileOptions files;
  files.instance_types = {series.instance_type};
  auto feed = open_price_files({path_of(series)}, files);
  EXPECT_TRUE(feed.ok()) << feed.status();
  PriceGridOptions options;
  // Days of 2015 that were not recorded.
  options.left_out = {{absl::FromUnixSeconds(1'433'863'800), absl::FromUnixSeconds(1'434'067'200)}};
  auto grid = PriceGrid::read(**feed, options);
  EXPECT_TRUE(grid.ok()) << grid.status();
  return market_statistics(*grid, series.on_demand);
}

// How far the mean of the generated markets may be from the mean of the real ones.
struct Closeness {
  const char* figure;
  double ratio = 1;       // at most so many times more or less, or
  double difference = 0;  // so much
};

void expect_close(const char* model, const std::vector<RealSeries>& series, const Spreads& made,
                  const std::vector<Closeness>& bounds) {
  std::vector<std::vector<std::pair<std::string, double>>> real;
  std::vector<std::string> names;
  for (const RealSeries& one : series) {
    real.push_back(measured(one).named());
    names.push_back(one.name);
  }
  std::cout << "| | " << absl::StrJoin(names, " | ") << " | " << model << " | 80 % of seeds |\n|";
  for (std::size_t column = 0; column < names.size() + 3; ++column) std::cout << "---|";
  std::cout << "\n";
  std::map<std::string, double> means;
  for (std::size_t i = 0; i < real[0].size(); ++i) {
    const std::string& name = real[0][i].first;
    const Spread& spread = made.at(name);
    std::string row;
    for (const auto& figures : real) {
      absl::StrAppendFormat(&row, " | %.3g", figures[i].second);
      means[name] += figures[i].second / static_cast<double>(real.size());
    }
    if (means[name] == 0 && spread.high == 0) continue;  // no spikes at all
    std::cout << "| " << name << row
              << absl::StrFormat(" | %.3g | %.3g to %.3g |\n", spread.mean, spread.low,
                                 spread.high);
  }
  for (const Closeness& bound : bounds) {
    const double wanted = means.at(bound.figure);
    const double found = made.at(bound.figure).mean;
    EXPECT_LE(found, wanted * bound.ratio + bound.difference) << bound.figure;
    EXPECT_GE(found, wanted / bound.ratio - bound.difference) << bound.figure;
  }
}

TEST(RealMarkets, of_bids_are_what_the_spiky_market_is_like) {
  if (!std::filesystem::exists(path_of(spiky_series()[0])))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  expect_close(
      "spiky", spiky_series(), spreads(spiky_market(), 4),
      {{"level of 5 % of the time", 1.4},
       {"level of 25 %", 1.3},
       {"level, median", 1.2},
       {"level, mean", 1.3},
       {"changes per zone and day", 1.4},
       {"size of a change, median", 1.3},
       {"time above on-demand", 1.3},
       {"time all zones are above", 1.7},
       {"spikes per zone and day", 1.4},
       {"minutes of a spike, 90 %", 1.3},
       {"minutes of a spike, mean", 1.4},
       {"height of a spike, median", 2},
       {"height of a spike, 90 %", 1.2},
       {"persistence, an hour", 1, 0.05},
       {"persistence, a day", 1, 0.1},
       {"correlation of level", 1, 0.1},
       {"correlation of changes in a day", 1, 0.1},
       {"correlation of being above", 1, 0.15},
       // Not met: the shortest spikes are too few, and there are no weeks that are worse than others.
       {"minutes of a spike, median", 3},
       {"persistence, a week", 1, 0.3}});
}

TEST(RealMarkets, of_today_are_what_the_calm_market_is_like) {
  if (!std::filesystem::exists(path_of(calm_series()[0])))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  expect_close("calm", calm_series(), spreads(calm_market(), 5),
               {{"level of 5 % of the time", 1.1},
                {"level of 25 %", 1.1},
                {"level, median", 1.1},
                {"level of 75 %", 1.15},
                {"level of 95 %", 1.15},
                {"level, mean", 1.1},
                {"changes per zone and day", 1.2},
                {"size of a change, median", 1.5},
                {"time above on-demand"},
                {"spikes per zone and day"},
                {"persistence, an hour", 1, 0.01},
                {"persistence, a day", 1, 0.03},
                {"persistence, a week", 1, 0.2},
                {"correlation of level", 1, 0.15},
                {"correlation of changes in a day", 1, 0.2}});
}

// The figures of docs/prices.md again, where there are no real prices: what the models are used for.
TEST(GeneratedMarkets, have_the_figures_that_are_stated_of_them) {
  const Spreads& spiky = spreads(spiky_market(), 4);
  EXPECT_NEAR(spiky.at("time above on-demand").mean, 0.105, 0.03);
  EXPECT_NEAR(spiky.at("spikes per zone and day").mean, 1.05, 0.25);
  EXPECT_NEAR(spiky.at("minutes of a spike, 90 %").mean, 330, 80);
  EXPECT_NEAR(spiky.at("correlation of being above").mean, 0.23, 0.08);
  EXPECT_GT(spiky.at("time all zones are above").mean, 0.004);
  const Spreads& calm = spreads(calm_market(), 5);
  EXPECT_NEAR(calm.at("level, median").mean, 0.41, 0.04);
  EXPECT_NEAR(calm.at("changes per zone and day").mean, 3, 0.5);
  EXPECT_EQ(calm.at("time above on-demand").mean, 0);
}

}  // namespace
}  // namespace supercloud
