// The plain billing models, against an independent accounting of real prices.
#include "simulation/replay/plain_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/spot/csv_feed.h"
#include "actors/spot/vector_feed.h"

namespace supercloud {
namespace {

absl::Time utc(const std::string& text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime("%Y-%m-%dT%H:%MZ", text, &time, &error)) << error;
  return time;
}

std::string cents(Money amount) {
  return absl::StrFormat("%d.%02d", (amount.nano_usd + 5'000'000) / 1'000'000'000,
                         (amount.nano_usd + 5'000'000) / 10'000'000 % 100);
}

// A row of the accounting's table: amounts to the cent, moves in parentheses.
struct Row {
  const char* name;
  const char* file;
  const char* instance_type;
  Money on_demand;
  const char* from;
  const char* to;
  bool gap;
  int hours;
  const char* all_on_demand;
  std::vector<std::string> staying;
  const char* clairvoyant;
  const char* cheapest;
  int moves;
  const char* whole_hours;  // cheapest, the whole hour at that price
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class PlainTable : public testing::TestWithParam<Row> {
 protected:
  static std::string path() {
    const char* folder = std::getenv("SUPERCLOUD_DATA");
    return absl::StrCat(folder != nullptr ? folder : SUPERCLOUD_SOURCE_ROOT "/../shared/data",
                        "/spot/", GetParam().file);
  }

  static absl::StatusOr<PriceGrid> read() {
    CsvFeedOptions csv;
    csv.instance_type = GetParam().instance_type;
    csv.instance_types = {GetParam().instance_type};
    auto feed = CsvFeed::open(path(), csv);
    if (!feed.ok()) return feed.status();
    PriceGridOptions options;
    options.from = utc(GetParam().from);
    options.to = utc(GetParam().to);
    // Nothing was recorded between; hours that lie in it, also in part, do not count.
    if (GetParam().gap) options.left_out = {{utc("2015-06-09T15:30Z"), utc("2015-06-12T00:21Z")}};
    return PriceGrid::read(**feed, options);
  }
};

TEST_P(PlainTable, is_reproduced_to_the_cent) {
  if (!std::filesystem::exists(path()))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  const auto grid = read();
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_EQ(grid->rejected_rows(), 0U);
  const auto by_mean = PlainModel::create(*grid, PlainBilling::by_mean);
  const auto at_start = PlainModel::create(*grid, PlainBilling::at_start);
  ASSERT_TRUE(by_mean.ok()) << by_mean.status();
  ASSERT_TRUE(at_start.ok()) << at_start.status();

  EXPECT_EQ(by_mean->hours(), GetParam().hours);
  EXPECT_EQ(cents(by_mean->constant(GetParam().on_demand)), GetParam().all_on_demand);
  std::vector<std::string> staying;
  for (int place = 0; place < by_mean->places(); ++place)
    staying.push_back(cents(by_mean->run("stay", stay_at(place)).cost));
  EXPECT_EQ(staying, GetParam().staying);
  EXPECT_EQ(cents(by_mean->clairvoyant().cost), GetParam().clairvoyant);
  const ReplayStrategy cheapest = by_mean->run("cheapest", move_if_cheaper(0));
  EXPECT_EQ(cents(cheapest.cost), GetParam().cheapest);
  EXPECT_EQ(cheapest.moves, GetParam().moves);
  const ReplayStrategy whole = at_start->run("cheapest", move_if_cheaper(0));
  EXPECT_EQ(cents(whole.cost), GetParam().whole_hours);
  EXPECT_EQ(whole.moves, GetParam().moves);
  EXPECT_EQ(at_start->clairvoyant().cost, whole.cost)
      << "prices at the start are all there is to know";
}

TEST_P(PlainTable, nothing_beats_the_clairvoyant_and_higher_thresholds_move_less) {
  if (!std::filesystem::exists(path()))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  const auto grid = read();
  ASSERT_TRUE(grid.ok()) << grid.status();
  for (const PlainBilling billing : {PlainBilling::by_mean, PlainBilling::at_start}) {
    const auto model = PlainModel::create(*grid, billing);
    ASSERT_TRUE(model.ok()) << model.status();
    const Money least = model->clairvoyant().cost;
    std::int64_t moves = model->hours();
    for (const int percent : {0, 10, 20, 50, 100}) {
      const ReplayStrategy strategy = model->run("threshold", move_if_cheaper(percent));
      EXPECT_LE(least, strategy.cost) << percent;
      EXPECT_LE(strategy.moves, moves) << percent;
      moves = strategy.moves;
    }
  }
}

TEST(PlainWeek, all_zones_are_above_on_demand_as_often_as_the_accounting_says) {
  const char* folder = std::getenv("SUPERCLOUD_DATA");
  const std::string path =
      absl::StrCat(folder != nullptr ? folder : SUPERCLOUD_SOURCE_ROOT "/../shared/data",
                   "/spot/2016_week_m4.xlarge_r3.large_4zones_5min.csv");
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  CsvFeedOptions csv;
  csv.instance_types = {"m4.xlarge"};
  auto feed = CsvFeed::open(path, csv);
  ASSERT_TRUE(feed.ok()) << feed.status();
  PriceGridOptions options;
  options.to = utc("2016-08-20T00:00Z");
  const auto grid = PriceGrid::read(**feed, options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  const auto model = PlainModel::create(*grid, PlainBilling::at_start);
  ASSERT_TRUE(model.ok()) << model.status();
  int above = 0;
  model->run("count", [&](const HourStart& hour) {
    above += *std::min_element(hour.prices.begin(), hour.prices.end()) > Money{239'000'000};
    return 0;
  });
  EXPECT_EQ(absl::StrFormat("%.2f", 100.0 * above / model->hours()), "4.17");
}

// The table has zones a and b of m3.medium in dollars only, 781 and 1051; the latter are 1050.4964, rounded twice. What whole hours
// of m3.medium cost is not in it.
INSTANTIATE_TEST_SUITE_P(Series, PlainTable,
                         testing::Values(Row{"week_m4",
                                             "2016_week_m4.xlarge_r3.large_4zones_5min.csv",
                                             "m4.xlarge",
                                             Money{239'000'000},
                                             "2016-08-13T00:00Z",
                                             "2016-08-20T00:00Z",
                                             false,
                                             168,
                                             "40.15",
                                             {"20.37", "58.61", "134.94", "61.60"},
                                             "11.34",
                                             "11.53",
                                             58,
                                             "10.26"},
                                         Row{"week_r3",
                                             "2016_week_m4.xlarge_r3.large_4zones_5min.csv",
                                             "r3.large",
                                             Money{166'000'000},
                                             "2016-08-13T00:00Z",
                                             "2016-08-20T00:00Z",
                                             false,
                                             168,
                                             "27.89",
                                             {"10.11", "106.51", "10.49", "96.56"},
                                             "7.56",
                                             "12.30",
                                             37,
                                             "7.00"},
                                         Row{"m4_of_2016",
                                             "2016_m4.xlarge_us-east-1_4zones_5min.csv",
                                             "m4.xlarge",
                                             Money{239'000'000},
                                             "2016-06-22T07:50Z",
                                             "2016-09-20T00:00Z",
                                             false,
                                             2152,
                                             "514.33",
                                             {"309.36", "556.13", "887.27", "383.35"},
                                             "113.94",
                                             "121.44",
                                             753,
                                             "109.39"},
                                         Row{"r3_of_2015",
                                             "2015_r3.large_us-east-1_3zones_events.csv",
                                             "r3.large",
                                             Money{175'000'000},
                                             "2015-03-11T16:31Z",
                                             "2015-08-31T23:59Z",
                                             true,
                                             4100,
                                             "717.50",
                                             {"685.68", "266.57", "728.75"},
                                             "127.68",
                                             "140.49",
                                             723,
                                             "126.39"},
                                         Row{"m3_of_2015",
                                             "2015_m3.medium_us-east-1_3zones_events.csv",
                                             "m3.medium",
                                             Money{70'000'000},
                                             "2015-03-11T10:34Z",
                                             "2015-08-28T07:35Z",
                                             true,
                                             3994,
                                             "279.58",
                                             {"780.80", "1050.50", "37.92"},
                                             "36.37",
                                             "36.46",
                                             67,
                                             "36.34"}),
                         [](const auto& row) { return std::string(row.param.name); });

// ---- by hand --------------------------------------------------------------------------------------------------------

PlaceName lettered_zone(char letter) {
  return {"aws", "us-east-1", absl::StrCat("us-east-1", std::string(1, letter)), "m4.xlarge", true};
}

// Two places from 06:00; the second has its first price at 06:10.
absl::StatusOr<PriceGrid> two_places() {
  const absl::Time six = utc("2016-08-13T06:00Z");
  const auto at = [&](int minutes) { return six + absl::Minutes(minutes); };
  VectorFeed feed("test", {{lettered_zone('a'), Money{100'000'000}, at(0)},
                           {lettered_zone('b'), Money{80'000'000}, at(10)},
                           {lettered_zone('b'), Money{800'000'000}, at(90)},
                           {lettered_zone('b'), Money{80'000'000}, at(105)},
                           {lettered_zone('a'), Money{40'000'000}, at(150)},
                           {lettered_zone('b'), Money{70'000'000}, at(240)}});
  PriceGridOptions options;
  options.to = at(245);
  return PriceGrid::read(feed, options);
}

TEST(PlainModel, counts_whole_hours_of_the_clock_at_whose_start_every_place_has_a_price) {
  const auto grid = two_places();
  ASSERT_TRUE(grid.ok()) << grid.status();
  const auto model = PlainModel::create(*grid, PlainBilling::by_mean);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->hours(), 3);
  const ReplayStrategy first = model->run("first", stay_at(0));
  ASSERT_EQ(first.stays.size(), 1U);
  EXPECT_EQ(first.stays[0].from, utc("2016-08-13T07:00Z"));
  EXPECT_EQ(first.stays[0].to, utc("2016-08-13T10:00Z"));
  EXPECT_EQ(first.cost, (Money{100'000'000 + 70'000'000 + 40'000'000}));
  const auto alone = PlainModel::create(*grid, PlainBilling::by_mean, {0});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->hours(), 4);
}

TEST(PlainModel, bills_the_mean_or_the_start_and_foresees_the_mean) {
  const auto grid = two_places();
  ASSERT_TRUE(grid.ok()) << grid.status();
  const auto by_mean = PlainModel::create(*grid, PlainBilling::by_mean);
  const auto at_start = PlainModel::create(*grid, PlainBilling::at_start);
  ASSERT_TRUE(by_mean.ok() && at_start.ok());
  // b: 07:00 at 80, its mean 80 * 3/4 + 800 / 4; 08:00 at 80; 09:00 at 80, where a is at 40.
  EXPECT_EQ(by_mean->run("b", stay_at(1)).cost, (Money{260'000'000 + 80'000'000 + 80'000'000}));
  const ReplayStrategy cheapest = by_mean->run("cheapest", move_if_cheaper(0));
  EXPECT_EQ(cheapest.cost, (Money{260'000'000 + 80'000'000 + 40'000'000}));
  EXPECT_EQ(cheapest.moves, 1);
  EXPECT_EQ(by_mean->clairvoyant().cost, (Money{100'000'000 + 70'000'000 + 40'000'000}));
  EXPECT_EQ(by_mean->clairvoyant().moves, 0);
  EXPECT_EQ(at_start->run("cheapest", move_if_cheaper(0)).cost,
            (Money{80'000'000 + 80'000'000 + 40'000'000}));
}

TEST(PlainModel, moves_only_when_here_is_dearer_than_there_by_more_than_the_threshold) {
  const auto choose = [](int percent, int here, std::vector<Money> prices) {
    return move_if_cheaper(percent)({absl::UnixEpoch(), here, prices});
  };
  EXPECT_EQ(choose(0, 1, {Money{100}, Money{100}}), 1) << "of equal prices the present place";
  EXPECT_EQ(choose(0, 1, {Money{100}, Money{101}}), 0);
  EXPECT_EQ(choose(10, 1, {Money{100}, Money{110}}), 1) << "exactly the threshold is not above it";
  EXPECT_EQ(choose(10, 1, {Money{100}, Money{111}}), 0);
  EXPECT_EQ(choose(100, 0, {Money{200}, Money{100}}), 0);
  EXPECT_EQ(choose(100, 0, {Money{201}, Money{100}}), 1);
  EXPECT_EQ(choose(10, 2, {Money{100}, Money{100}, Money{300}}), 0) << "the first of equal ones";
  EXPECT_EQ(move_if_cheaper(50)({absl::UnixEpoch(), std::nullopt, {Money{3}, Money{2}}}), 1)
      << "begins at the cheapest";
}

TEST(PlainModel, tells_each_stay_and_what_was_paid_by_when) {
  const auto grid = two_places();
  ASSERT_TRUE(grid.ok()) << grid.status();
  const auto model = PlainModel::create(*grid, PlainBilling::at_start);
  ASSERT_TRUE(model.ok()) << model.status();
  const ReplayStrategy cheapest = model->run("cheapest", move_if_cheaper(0));
  ASSERT_EQ(cheapest.stays.size(), 2U);
  EXPECT_EQ(cheapest.stays[0].place, lettered_zone('b').id());
  EXPECT_EQ(cheapest.stays[0].to, utc("2016-08-13T09:00Z"));
  EXPECT_EQ(cheapest.stays[1].place, lettered_zone('a').id());
  EXPECT_EQ(cheapest.stays[1].to, utc("2016-08-13T10:00Z"));
  ASSERT_EQ(cheapest.cumulative.size(), 3U);
  EXPECT_EQ(cheapest.cumulative.back().second, cheapest.cost);
}

TEST(PlainModel, says_what_it_cannot_do) {
  const auto grid = two_places();
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_TRUE(
      absl::IsInvalidArgument(PlainModel::create(*grid, PlainBilling::by_mean, {2}).status()));
  VectorFeed feed("test", {{lettered_zone('a'), Money{1}, utc("2016-08-13T06:00Z")},
                           {lettered_zone('a'), Money{2}, utc("2016-08-13T10:00Z")}});
  PriceGridOptions options;
  options.step = absl::Minutes(7);
  const auto odd = PriceGrid::read(feed, options);
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_TRUE(absl::IsInvalidArgument(PlainModel::create(*odd, PlainBilling::by_mean).status()));
}

}  // namespace
}  // namespace supercloud
