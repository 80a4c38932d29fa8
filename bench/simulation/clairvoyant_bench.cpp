// Looking back at 90 days of five places by five minutes: reading them, the least that was possible, and that with few moves.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/spot/vector_feed.h"
#include "core/random.h"
#include "simulation/replay/clairvoyant.h"

namespace supercloud {
namespace {

const absl::Time first_day = absl::FromUnixSeconds(1'466'553'600);
constexpr Money on_demand_price{239'000'000};

// Four zones whose prices change about every twenty minutes, with spikes of hours above the on-demand price.
const std::vector<Price>& ninety_days() {
  static const std::vector<Price> prices = [] {
    Random random(1);
    std::vector<Price> told;
    for (const char letter : {'a', 'c', 'd', 'e'}) {
      const PlaceName zone{"aws", "us-east-1", absl::StrCat("us-east-1", std::string(1, letter)),
                           "m4.xlarge", true};
      absl::Time at = first_day;
      while (at < first_day + absl::Hours(24 * 90)) {
        const bool spike = random.chance(30'000);
        told.push_back({zone, Money{random.between(30, spike ? 900 : 90) * 1'000'000}, at});
        at += absl::Seconds(random.between(300, spike ? 20'000 : 2'000));
      }
    }
    std::sort(told.begin(), told.end(), [](const Price& a, const Price& b) {
      return std::tie(a.since, a.place) < std::tie(b.since, b.place);
    });
    return told;
  }();
  return prices;
}

PriceGrid grid_of_days() {
  VectorFeed feed("generated", ninety_days());
  PriceGridOptions options;
  options.from = first_day;
  options.to = first_day + absl::Hours(24 * 90);
  options.bid = [](const PlaceName&) { return on_demand_price; };
  absl::StatusOr<PriceGrid> grid = PriceGrid::read(feed, options);
  if (!grid.ok()) return {};
  grid->add_constant({"aws", "us-east-1", "us-east-1", "m4.xlarge", false}, on_demand_price);
  return *std::move(grid);
}

absl::StatusOr<ScheduleModel> hourly_model(const PriceGrid& grid) {
  ScheduleCosts costs;
  costs.launch = absl::Seconds(60);
  costs.migration = absl::Seconds(30);
  costs.transfer_bytes = std::int64_t{6} << 30;
  costs.egress_per_gib = [](const PlaceName&, const PlaceName&) { return Money{10'000'000}; };
  return ScheduleModel::create(grid, costs);
}

void price_grid_read(benchmark::State& state) {
  int steps = 0;
  for (auto unused : state) {
    (void)unused;
    steps = grid_of_days().steps();
  }
  if (steps != 90 * 288) state.SkipWithError("the grid is not 90 days long");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(ninety_days().size()));
}
BENCHMARK(price_grid_read)->Unit(benchmark::kMillisecond);

void clairvoyant_90_days(benchmark::State& state) {
  const PriceGrid grid = grid_of_days();
  const auto model = hourly_model(grid);
  if (!model.ok()) return state.SkipWithError(model.status().ToString().c_str());
  absl::StatusOr<Clairvoyance> found = absl::UnknownError("not yet");
  for (auto unused : state) {
    (void)unused;
    found = clairvoyant(*model);
  }
  const auto cost = found.ok() ? model->cost(found->schedule) : found.status();
  if (!cost.ok() || *cost != found->cost)
    return state.SkipWithError("the schedule does not cost what was found");
  if (*cost >= *model->cost({{{0, grid.places() - 1}}}))
    state.SkipWithError("on-demand would have been cheaper");
}
BENCHMARK(clairvoyant_90_days)->Unit(benchmark::kMillisecond);

void clairvoyant_ten_moves(benchmark::State& state) {
  const PriceGrid grid = grid_of_days();
  const auto model = hourly_model(grid);
  if (!model.ok()) return state.SkipWithError(model.status().ToString().c_str());
  absl::StatusOr<Clairvoyance> found = absl::UnknownError("not yet");
  for (auto unused : state) {
    (void)unused;
    found = clairvoyant_with_moves(*model, 10);
  }
  if (!found.ok() || found->schedule.moves() != 10) return state.SkipWithError("not ten moves");
  const auto cost = model->cost(found->schedule);
  if (!cost.ok() || *cost != found->cost)
    state.SkipWithError("the schedule does not cost what was found");
}
BENCHMARK(clairvoyant_ten_moves)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace supercloud
