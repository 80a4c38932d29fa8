// The clairvoyant against all there is to do in small markets, and against policies in larger ones.
#include "simulation/replay/clairvoyant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "actors/spot/vector_feed.h"
#include "core/random.h"
#include "tests/simulation/small_market.h"

namespace supercloud {
namespace {

TEST(Clairvoyant, finds_what_trying_every_schedule_finds) {
  Random random(3);
  int possible = 0, impossible = 0, moved = 0;
  for (int round = 0; round < 1'500; ++round) {
    const SmallMarket market = random_market(random);
    const PriceGrid grid = market.grid();
    const auto model = ScheduleModel::create(grid, market.costs());
    ASSERT_TRUE(model.ok()) << model.status();
    // Per second, the second accounting rounds otherwise.
    const double off = market.hourly ? 0 : 20;
    std::vector<std::optional<std::int64_t>> least = least_by_moves(market);
    const auto best = clairvoyant(*model);
    std::optional<std::int64_t> so_far;
    std::vector<int> budgets;
    std::vector<std::optional<std::int64_t>> at_most;
    for (std::size_t moves = 0; moves < least.size(); ++moves) {
      if (least[moves] && (!so_far || *least[moves] < *so_far)) so_far = least[moves];
      budgets.push_back(static_cast<int>(moves));
      at_most.push_back(so_far);
    }
    ASSERT_EQ(best.ok(), so_far.has_value()) << "round " << round << ": " << best.status();
    if (!best.ok()) {
      EXPECT_TRUE(absl::IsFailedPrecondition(best.status())) << best.status();
      ++impossible;
      continue;
    }
    ++possible;
    moved += best->schedule.moves() > 0 ? 1 : 0;
    ASSERT_NEAR(static_cast<double>(best->cost.nano_usd), static_cast<double>(*so_far), off)
        << "round " << round;
    if (market.hourly) {
      const auto fewest = std::find(least.begin(), least.end(), so_far) - least.begin();
      ASSERT_EQ(best->schedule.moves(), fewest)
          << "round " << round << ": of equal costs, the fewest moves";
    }
    const auto curve = clairvoyant_curve(*model, budgets);
    ASSERT_TRUE(curve.ok()) << curve.status();
    for (std::size_t i = 0; i < budgets.size(); ++i) {
      const auto& told = (*curve)[i];
      ASSERT_EQ(told.has_value(), at_most[i].has_value()) << "round " << round << ", budget " << i;
      if (!told) continue;
      ASSERT_NEAR(static_cast<double>(told->cost.nano_usd), static_cast<double>(*at_most[i]), off)
          << "round " << round << ", budget " << i;
      ASSERT_LE(told->schedule.moves(), budgets[i]);
      const auto priced = model->cost(told->schedule);
      ASSERT_TRUE(priced.ok()) << priced.status();
      ASSERT_EQ(*priced, told->cost) << "round " << round << ", budget " << i;
    }
  }
  EXPECT_GT(possible, 900);
  EXPECT_GT(impossible, 50);
  EXPECT_GT(moved, 200);
}

PriceGrid spiky_days(std::uint64_t seed, absl::Duration step) {
  Random random(seed);
  std::vector<Price> told;
  for (int place = 0; place < 4; ++place) {
    absl::Time at = market_opens;
    while (at < market_opens + absl::Hours(24 * 4)) {
      const bool spike = random.chance(100'000);
      told.push_back(
          {market_zone(place), Money{random.between(30, spike ? 900 : 130) * 1'000'000}, at});
      at += absl::Seconds(random.between(20, spike ? 2'000 : 6'000));
    }
  }
  sort_by_time(told);
  VectorFeed feed("spiky", std::move(told));
  PriceGridOptions options;
  options.from = market_opens;
  options.to = market_opens + absl::Hours(24 * 4);
  options.step = step;
  options.bid = [](const PlaceName&) { return Money{200'000'000}; };
  auto grid = PriceGrid::read(feed, options);
  EXPECT_TRUE(grid.ok()) << grid.status();
  grid->add_constant(market_on_demand(), Money{200'000'000});
  return *std::move(grid);
}

ScheduleCosts usual_costs(schema::Billing billing, bool refunds) {
  ScheduleCosts costs;
  costs.billing = billing;
  costs.refunds = refunds;
  costs.launch = absl::Seconds(60);
  costs.migration = absl::Seconds(30);
  costs.transfer_bytes = std::int64_t{6} << 30;
  costs.egress_per_gib = [](const PlaceName&, const PlaceName&) { return Money{1'000'000}; };
  return costs;
}

// As a policy would: looks `every` so many steps, goes where it is cheapest, flees when it must.
Schedule greedy(const ScheduleModel& model, int every, Random& random) {
  const PriceGrid& grid = model.grid();
  Schedule schedule;
  for (int step = 0; step < grid.steps(); ++step) {
    const int here = schedule.stays.empty() ? -1 : schedule.stays.back().place;
    const bool must = here < 0 || !model.usable(here, step);
    if (!must && step % every != 0) continue;
    int best = must ? -1 : here;
    for (int place = 0; place < grid.places(); ++place) {
      if (!model.usable(place, step) || random.chance(50'000)) continue;
      if (best < 0 || grid.price(place, step) < grid.price(best, step)) best = place;
    }
    if (best < 0) best = grid.places() - 1;
    if (best != here) schedule.stays.push_back({step, best});
  }
  return schedule;
}

TEST(Clairvoyant, is_never_beaten_and_more_moves_never_cost_more) {
  Random random(9);
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const PriceGrid grid = spiky_days(seed, absl::Minutes(5));
    for (const schema::Billing billing : {schema::Billing::HOURLY, schema::Billing::PER_SECOND}) {
      for (const bool refunds : {false, true}) {
        const auto model = ScheduleModel::create(grid, usual_costs(billing, refunds));
        ASSERT_TRUE(model.ok()) << model.status();
        const auto best = clairvoyant(*model);
        ASSERT_TRUE(best.ok()) << best.status();
        EXPECT_GT(best->schedule.moves(), 5);
        EXPECT_LT(best->cost, *model->cost({{{0, grid.places() - 1}}})) << "on demand";
        EXPECT_EQ(best->cost, *model->cost(best->schedule));
        for (const int every : {1, 3, 12, 50}) {
          const Schedule schedule = greedy(*model, every, random);
          const auto cost = model->cost(schedule);
          ASSERT_TRUE(cost.ok()) << cost.status();
          EXPECT_LE(best->cost, *cost) << "every " << every;
          const auto rationed = clairvoyant_with_moves(*model, schedule.moves());
          ASSERT_TRUE(rationed.ok()) << rationed.status();
          EXPECT_LE(rationed->cost, *cost) << "every " << every;
        }
        std::vector<int> budgets;
        for (int budget = 0; budget <= best->schedule.moves() + 2; ++budget)
          budgets.push_back(budget);
        const auto curve = clairvoyant_curve(*model, budgets);
        ASSERT_TRUE(curve.ok()) << curve.status();
        for (std::size_t i = 1; i < curve->size(); ++i)
          EXPECT_LE((*curve)[i]->cost, (*curve)[i - 1]->cost) << i;
        EXPECT_EQ(curve->back()->cost, best->cost);
        EXPECT_LT(best->cost, (*curve)[static_cast<std::size_t>(best->schedule.moves() - 1)]->cost)
            << "its moves are the fewest that do";
      }
    }
  }
}

TEST(Clairvoyant, by_the_hour_gains_from_a_finer_grid) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const PriceGrid coarse = spiky_days(seed, absl::Minutes(5)),
                    fine = spiky_days(seed, absl::Seconds(30));
    const auto coarse_model =
        ScheduleModel::create(coarse, usual_costs(schema::Billing::HOURLY, false));
    const auto fine_model =
        ScheduleModel::create(fine, usual_costs(schema::Billing::HOURLY, false));
    ASSERT_TRUE(coarse_model.ok() && fine_model.ok());
    EXPECT_LE(clairvoyant(*fine_model)->cost, clairvoyant(*coarse_model)->cost);
  }
}

}  // namespace
}  // namespace supercloud
