#include "tests/simulation/small_market.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/ledger/billing.h"
#include "actors/spot/vector_feed.h"

namespace supercloud {
namespace {

constexpr std::int64_t unpriced = -1;

}  // namespace

PlaceName market_zone(int index) {
  return {"aws", "us-east-1", absl::StrCat("zone-", index), "r3.large", true};
}

PlaceName market_on_demand() { return {"aws", "us-east-1", "us-east-1", "r3.large", false}; }

void sort_by_time(std::vector<Price>& prices) {
  std::sort(prices.begin(), prices.end(), [](const Price& a, const Price& b) {
    return std::tie(a.since, a.place) < std::tie(b.since, b.place);
  });
}

PriceGrid SmallMarket::grid() const {
  std::vector<Price> told;
  for (int second = 0; second < seconds(); ++second) {
    for (std::size_t place = 0; place < prices.size(); ++place) {
      const auto& all = prices[place];
      if (all[second] == unpriced || (second > 0 && all[second] == all[second - 1])) continue;
      told.push_back({market_zone(static_cast<int>(place)), Money{all[second]},
                      market_opens + absl::Seconds(second)});
    }
  }
  VectorFeed feed("small", std::move(told));
  PriceGridOptions options;
  options.from = market_opens;
  options.to = market_opens + absl::Seconds(seconds());
  options.step = absl::Seconds(step);
  options.bid = [this](const PlaceName&) { return Money{bid}; };
  auto grid = PriceGrid::read(feed, options);
  EXPECT_TRUE(grid.ok()) << grid.status();
  EXPECT_EQ(grid->places(), static_cast<int>(prices.size()));
  return *std::move(grid);
}

ScheduleCosts SmallMarket::costs() const {
  ScheduleCosts costs;
  costs.billing = hourly ? schema::Billing::HOURLY : schema::Billing::PER_SECOND;
  costs.hour = absl::Seconds(step * unit_steps);
  costs.launch = absl::Seconds(launch);
  costs.migration = absl::Seconds(migration);
  costs.notice = absl::Seconds(notice);
  costs.refunds = refunds;
  costs.transfer_bytes = std::int64_t{1} << 30;
  costs.egress_per_gib = [this](const PlaceName&, const PlaceName&) { return Money{egress}; };
  return costs;
}

bool SmallMarket::usable(int place, int at) const {
  if (prices[place][at * step] == unpriced) return false;
  const int early = std::max(hold() - notice, 0);
  for (int second = at * step; second < std::min((at + 1) * step + early, seconds()); ++second)
    if (prices[place][second] > bid) return false;
  return true;
}

std::int64_t SmallMarket::integral(int place, int from, int to) const {
  double sum = 0;
  for (int second = from; second < std::min(to, seconds()); ++second) {
    const int begin = second / step * step;
    std::int64_t mean = 0;
    for (int i = begin; i < begin + step; ++i) mean += prices[place][i];
    sum += static_cast<double>(mean) / step;
  }
  return static_cast<std::int64_t>(sum);
}

std::optional<std::int64_t> SmallMarket::cost(const std::vector<int>& path) const {
  std::int64_t sum = 0;  // per second: times 3600
  for (int from = 0; from < steps;) {
    int to = from;
    for (; to < steps && path[to] == path[from]; ++to)
      if (!usable(path[from], to)) return std::nullopt;
    const auto stay = stay_cost(path[from], from, to);
    sum += stay;
    if (from > 0) sum += hourly ? egress : egress * 3600;
    from = to;
  }
  return hourly ? sum : sum / 3600;
}

std::int64_t SmallMarket::stay_cost(int place, int from, int to) const {
  const bool left = to < steps;
  const int end = left ? to * step + hold() : seconds();
  if (!hourly) return integral(place, from * step, end);
  int taken = std::numeric_limits<int>::max();
  if (refunds && left && !usable(place, to)) {
    int excess = to * step;
    while (prices[place][excess] <= bid) ++excess;
    taken = excess + notice;
  }
  std::int64_t sum = 0;
  const int hour = step * unit_steps;
  for (int begun = from * step; begun < seconds(); begun += hour) {
    const bool paid =
        taken == std::numeric_limits<int>::max() ? begun < end : begun + hour <= taken;
    const int counted =
        std::min(hour, seconds() - begun);  // what lasts longer ends with the prices
    if (paid) sum += supercloud::cost(Money{prices[place][begun]}, absl::Seconds(counted)).nano_usd;
  }
  return sum;
}

SmallMarket random_market(Random& random) {
  SmallMarket market;
  market.steps = static_cast<int>(random.between(2, 7));
  market.unit_steps = static_cast<int>(random.between(1, 4));
  const int hour = market.unit_steps * market.step;
  market.launch = random.chance(300'000) ? 0 : static_cast<int>(random.between(0, hour / 2 - 1));
  market.migration = random.chance(300'000) ? 0 : static_cast<int>(random.between(0, hour / 2));
  market.notice = static_cast<int>(random.between(0, hour - 1));
  if (random.chance(500'000)) market.notice -= market.notice % market.step;  // ends as an hour does
  market.hourly = random.chance(700'000);
  market.refunds = random.chance(400'000);
  if (random.chance(700'000)) market.bid = 800'000'000;
  market.egress = random.between(0, 3) * 2'000'000;
  const auto places = random.between(1, 3);
  for (int place = 0; place < places; ++place) {
    auto& prices = market.prices.emplace_back();
    // The first place has a price from the start.
    std::int64_t price =
        place > 0 && random.chance(200'000) ? unpriced : random.between(1, 9) * 100'000'000;
    for (int second = 0; second < market.seconds(); ++second) {
      if (random.chance(second % market.step == 0 ? 400'000 : 10'000))
        price = random.between(1, 9) * 100'000'000;
      prices.push_back(price);
    }
    if (prices.back() == unpriced) prices.back() = 100'000'000;
  }
  return market;
}

std::vector<std::optional<std::int64_t>> least_by_moves(const SmallMarket& market) {
  std::vector<std::optional<std::int64_t>> least(static_cast<std::size_t>(market.steps));
  std::vector<int> path(static_cast<std::size_t>(market.steps), 0);
  const int places = static_cast<int>(market.prices.size());
  while (true) {
    std::size_t moves = 0;
    for (std::size_t i = 1; i < path.size(); ++i) moves += path[i] != path[i - 1] ? 1 : 0;
    if (const auto cost = market.cost(path); cost && (!least[moves] || *cost < *least[moves]))
      least[moves] = cost;
    std::size_t digit = 0;
    while (digit < path.size() && ++path[digit] == places) path[digit++] = 0;
    if (digit == path.size()) return least;
  }
}

}  // namespace supercloud
