// What schedules cost, and the best of them worked out by hand.
#include "simulation/replay/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/spot/vector_feed.h"
#include "core/random.h"
#include "simulation/replay/clairvoyant.h"
#include "tests/simulation/small_market.h"

namespace supercloud {
namespace {

TEST(Schedule, costs_what_the_second_accounting_says) {
  Random random(5);
  int priced = 0, refused = 0;
  for (int round = 0; round < 3'000; ++round) {
    const SmallMarket market = random_market(random);
    const PriceGrid grid = market.grid();
    const auto model = ScheduleModel::create(grid, market.costs());
    ASSERT_TRUE(model.ok()) << model.status();
    std::vector<int> path;
    Schedule schedule;
    for (int step = 0; step < market.steps; ++step) {
      const bool stays = step > 0 && random.chance(600'000);
      path.push_back(stays ? path.back() : static_cast<int>(random.below(market.prices.size())));
      if (step == 0 || path[step] != path[step - 1]) schedule.stays.push_back({step, path[step]});
    }
    const auto expected = market.cost(path);
    const auto cost = model->cost(schedule);
    ASSERT_EQ(cost.ok(), expected.has_value()) << "round " << round << ": " << cost.status();
    (cost.ok() ? priced : refused) += 1;
    if (!cost.ok()) continue;
    ASSERT_NEAR(static_cast<double>(cost->nano_usd), static_cast<double>(*expected),
                market.hourly ? 0 : 20)
        << "round " << round;
  }
  EXPECT_GT(priced, 1'000);
  EXPECT_GT(refused, 300);
}

// Three hours of five-minute steps; prices in thousandths of a dollar, from the minutes on. On demand at 0.2, which is the bid.
class HandMade : public testing::Test {
 protected:
  struct Change {
    int place, minute;
    std::int64_t milli_usd;
  };

  ScheduleModel model(const std::vector<Change>& changes) {
    std::vector<Price> told;
    for (const Change& change : changes)
      told.push_back({market_zone(change.place), Money{change.milli_usd * 1'000'000},
                      market_opens + absl::Minutes(change.minute)});
    sort_by_time(told);
    VectorFeed feed("by hand", told);
    PriceGridOptions options;
    options.from = market_opens;
    options.to = market_opens + absl::Hours(3);
    options.bid = [](const PlaceName&) { return Money{200'000'000}; };
    auto grid = PriceGrid::read(feed, options);
    EXPECT_TRUE(grid.ok()) << grid.status();
    grid->add_constant(market_on_demand(), Money{200'000'000});
    grid_ = *std::move(grid);
    costs_.launch = absl::Seconds(60);
    costs_.migration = absl::Seconds(30);
    auto model = ScheduleModel::create(*grid_, costs_);
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }

  static std::string told(const Clairvoyance& found) {
    std::string text = absl::StrCat(found.cost.nano_usd / 1'000'000, ":");
    for (const Schedule::Stay& stay : found.schedule.stays)
      absl::StrAppend(&text, " ", stay.place, "@", stay.step * 5);
    return text;
  }

  std::optional<PriceGrid> grid_;
  ScheduleCosts costs_;
};

TEST_F(HandMade, stays_where_it_is_cheap_through_a_spike_within_a_paid_hour) {
  // By the hour only the price at its start counts, and the spike stays below the bid.
  const ScheduleModel hourly = model({{0, 0, 50}, {0, 20, 199}, {0, 40, 50}, {1, 0, 60}});
  EXPECT_EQ(told(*clairvoyant(hourly)), "150: 0@0");
}

TEST_F(HandMade, leaves_before_the_hour_ends_in_which_the_next_one_is_dear) {
  // What it leaves is held for 90 s longer: it goes at minute 55, and comes back when it is cheap again.
  costs_.start = 0;
  const std::vector<Change> spike = {{0, 0, 20}, {0, 58, 190}, {0, 110, 20}, {1, 0, 90}};
  EXPECT_EQ(told(*clairvoyant(model(spike))), "133: 0@0 1@55 0@110")
      << "20 + 90 + 20, and ten minutes of 20";
  costs_.start.reset();
  EXPECT_EQ(told(*clairvoyant(model(spike))), "131: 1@0 0@55")
      << "90 + 20 + 20, and five minutes of 20, with one move";
}

TEST_F(HandMade, launches_when_that_makes_hours_begin_at_low_prices) {
  const ScheduleModel hourly = model({{0, 0, 150},
                                      {0, 10, 30},
                                      {0, 15, 150},
                                      {0, 70, 30},
                                      {0, 75, 150},
                                      {0, 130, 30},
                                      {0, 135, 150},
                                      {1, 0, 65}});
  EXPECT_EQ(told(*clairvoyant(hourly)), "150: 1@0 0@10") << "65 + 30 + 30, and 50 minutes of 30";
}

TEST_F(HandMade, the_hour_in_which_the_prices_end_is_paid_up_to_there) {
  const ScheduleModel hourly = model({{0, 0, 60}, {0, 130, 120}, {1, 0, 90}});
  EXPECT_EQ(hourly.unit(0, 23), Money{60'000'000}) << "minute 115: an hour, and five minutes more";
  EXPECT_EQ(hourly.unit(0, 24), Money{60'000'000});
  EXPECT_EQ(hourly.unit(0, 30), Money{60'000'000}) << "half an hour of 120";
  EXPECT_EQ(hourly.unit(0, 35), Money{10'000'000});
  EXPECT_EQ(hourly.leave(0, 18, 30), Money{60'000'000}) << "held beyond 150, and there is no more";
  EXPECT_EQ(*hourly.cost({{{0, 1}, {30, 0}}}), (Money{(90 + 90 + 90 + 60) * 1'000'000}));
}

TEST_F(HandMade, leaves_in_the_step_in_which_the_cloud_takes_the_place_at_the_latest) {
  const ScheduleModel hourly = model({{0, 0, 20}, {0, 93, 300}, {0, 98, 20}, {1, 0, 120}});
  const auto found = clairvoyant(hourly);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(told(*found), "163: 0@0 1@55 0@110") << "20 + 120 + 20, and ten minutes of 20";
  EXPECT_FALSE(hourly.usable(0, 18));
  EXPECT_TRUE(hourly.usable(0, 17));
  EXPECT_TRUE(hourly.usable(0, 20));
  const Schedule too_late{{{0, 0}, {19, 1}}}, into_it{{{0, 1}, {18, 0}}},
      in_time{{{0, 0}, {18, 1}}}, and_back{{{0, 0}, {18, 1}, {24, 0}}};
  EXPECT_TRUE(absl::IsFailedPrecondition(hourly.cost(too_late).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(hourly.cost(into_it).status()));
  EXPECT_EQ(*hourly.cost(in_time), (Money{20'000'000 + 20'000'000 + 120'000'000 + 60'000'000}));

  // Hours at 20 from minutes 0 and 60, the other's at 120 from 90, and once more 20 from 120 until the end.
  const auto strategy = hourly.strategy(and_back, "clairvoyant", "web1");
  ASSERT_TRUE(strategy.ok()) << strategy.status();
  EXPECT_EQ(strategy->cost, Money{180'000'000});
  EXPECT_EQ(strategy->moves, 2);
  EXPECT_EQ(strategy->revocations, 1);
  ASSERT_EQ(strategy->stays.size(), 3U);
  EXPECT_FALSE(strategy->stays[0].flight);
  EXPECT_TRUE(strategy->stays[1].flight);
  EXPECT_FALSE(strategy->stays[2].flight);
  EXPECT_EQ(strategy->stays[1].from, market_opens + absl::Minutes(90));
  EXPECT_EQ(strategy->stays[1].to, market_opens + absl::Minutes(120));
  EXPECT_EQ(strategy->stays[1].place, market_zone(1).id());
  EXPECT_EQ(strategy->cumulative.back().second, strategy->cost);
  EXPECT_TRUE(std::is_sorted(strategy->cumulative.begin(), strategy->cumulative.end()));
}

TEST_F(HandMade, takes_a_free_hour_from_the_cloud_only_if_refunds_count) {
  const std::vector<Change> changes = {{0, 0, 100}, {0, 65, 300}, {1, 0, 110}};
  EXPECT_EQ(told(*clairvoyant(model(changes))), "329: 0@0 1@55")
      << "100 + 110 + 110, and five minutes of 110";
  costs_.refunds = true;
  EXPECT_EQ(told(*clairvoyant(model(changes))), "310: 0@0 1@65")
      << "100, nothing, 110, and 55 minutes of 110";
}

TEST_F(HandMade, leaves_earlier_where_the_notice_is_shorter_than_a_move_takes) {
  costs_.notice = absl::Seconds(20);
  const ScheduleModel hourly = model({{0, 0, 20}, {0, 91, 300}, {1, 0, 120}});
  EXPECT_TRUE(hourly.usable(0, 16));
  EXPECT_FALSE(hourly.usable(0, 17))
      << "from minute 90 a move would end 30 s after the notice that comes at 91";
  EXPECT_FALSE(hourly.usable(0, 18));
}

TEST_F(HandMade, a_budget_keeps_the_moves_that_save_most) {
  costs_.billing = schema::Billing::PER_SECOND;
  const std::vector<Change> changes = {{0, 0, 10},  {0, 30, 150}, {0, 60, 10},
                                       {0, 90, 50}, {0, 120, 10}, {1, 0, 30}};
  const ScheduleModel per_second = model(changes);
  const auto curve = clairvoyant_curve(per_second, {0, 1, 2, 3, 4, 5, 100});
  ASSERT_TRUE(curve.ok()) << curve.status();
  EXPECT_EQ((*curve)[0]->schedule.moves(), 0);
  EXPECT_EQ((*curve)[2]->schedule.moves(), 2);
  EXPECT_EQ((*curve)[2]->schedule.stays[1].step, 5)
      << "away from the higher of two spikes, and before it, as it is paid while the VM moves";
  EXPECT_EQ((*curve)[4]->schedule.moves(), 4);
  EXPECT_EQ((*curve)[6]->cost, (*curve)[4]->cost) << "more moves than are of use";
  EXPECT_EQ(clairvoyant_with_moves(per_second, 2)->cost, (*curve)[2]->cost);
  EXPECT_TRUE(absl::IsInvalidArgument(clairvoyant_with_moves(per_second, -1).status()));
}

TEST_F(HandMade, moves_are_weighed_with_what_they_cost) {
  costs_.transfer_bytes = std::int64_t{3} << 30;
  costs_.egress_per_gib = [](const PlaceName& from, const PlaceName&) {
    return from == market_zone(0) ? Money{10'000'000} : Money{};
  };
  costs_.blackout = absl::Seconds(36);
  costs_.downtime_per_hour = Money{500'000'000};
  const std::vector<Change> spike = {{0, 0, 20}, {0, 58, 190}, {0, 110, 20}, {1, 0, 90}};
  const ScheduleModel hourly = model(spike);
  EXPECT_EQ(hourly.move(0, 1), (Money{30'000'000 + 5'000'000}));
  EXPECT_EQ(hourly.move(1, 0), (Money{5'000'000}));
  EXPECT_EQ(told(*clairvoyant(hourly)), "136: 1@0 0@55");
  costs_.start = 0;
  EXPECT_EQ(told(*clairvoyant(model(spike))), "173: 0@0 1@55 0@110");
}

TEST_F(HandMade, says_when_the_vm_can_be_nowhere) {
  VectorFeed feed("dear", {{market_zone(0), Money{100'000'000}, market_opens},
                           {market_zone(0), Money{300'000'000}, market_opens + absl::Minutes(30)}});
  PriceGridOptions options;
  options.to = market_opens + absl::Hours(1);
  options.bid = [](const PlaceName&) { return Money{200'000'000}; };
  const auto grid = PriceGrid::read(feed, options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  const auto lonely = ScheduleModel::create(*grid, ScheduleCosts());
  ASSERT_TRUE(lonely.ok()) << lonely.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(clairvoyant(*lonely).status()));
}

TEST_F(HandMade, costs_that_do_not_go_with_the_grid_are_refused) {
  const ScheduleModel hourly = model({{0, 0, 20}});
  const auto refused = [&](const auto& change) {
    ScheduleCosts costs = costs_;
    change(costs);
    const absl::Status status = ScheduleModel::create(*grid_, costs).status();
    return absl::IsInvalidArgument(status);
  };
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.hour = absl::Minutes(7); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.hour = absl::ZeroDuration(); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.launch = absl::Hours(1); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.notice = absl::Hours(1); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.migration = absl::Seconds(-1); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.transfer_bytes = -1; }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.start = 2; }));
  const std::vector<Schedule> wrong = {Schedule{},         {{{1, 0}}}, {{{0, 0}, {5, 0}}},
                                       {{{0, 0}, {0, 1}}}, {{{0, 2}}}, {{{0, 0}, {36, 1}}}};
  for (const Schedule& schedule : wrong)
    EXPECT_TRUE(absl::IsInvalidArgument(hourly.cost(schedule).status()));
}

}  // namespace
}  // namespace supercloud
