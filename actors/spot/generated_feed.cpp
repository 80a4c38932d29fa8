#include "actors/spot/generated_feed.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr std::int64_t grain = 100'000;  // prices are whole 0.0001 USD, as clouds quote them
constexpr std::int64_t per_million = 1'000'000;

// The root of a share in millionths, in millionths.
std::int64_t root(std::int64_t share) {
  const std::int64_t square = share * per_million;  // at most 10^12
  std::int64_t low = 0;
  std::int64_t high = per_million;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    if (middle * middle <= square)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

std::int64_t scaled(std::int64_t value, std::int64_t parts) { return value * parts / per_million; }

// In millionths of on-demand.
std::int64_t price_at(const std::vector<MarketModel::Level>& levels, std::int64_t demand) {
  if (demand <= levels.front().demand) return levels.front().price;
  for (std::size_t i = 1; i < levels.size(); ++i) {
    const MarketModel::Level& low = levels[i - 1];
    const MarketModel::Level& high = levels[i];
    if (demand < high.demand)
      return low.price +
             (high.price - low.price) * (demand - low.demand) / (high.demand - low.demand);
  }
  return levels.back().price;
}

}  // namespace

GeneratedFeed::GeneratedFeed(GeneratedMarket market)
    : market_(std::move(market)), random_(market_.seed), time_(market_.start) {
  for (const MarketModel::Wave& wave : market_.model.waves) {
    Motion motion;
    motion.common = root(scaled(wave.share, wave.common));
    motion.own = root(wave.share - scaled(wave.share, wave.common));
    if (wave.time < absl::InfiniteDuration()) {
      motion.loss = std::min(per_million, market_.step * per_million / wave.time);
      motion.noise = root(2 * motion.loss - scaled(motion.loss, motion.loss));
    }
    motions_.push_back(motion);
  }
  quote_chance_ = static_cast<std::uint64_t>(market_.step * market_.model.quotes_per_day *
                                             per_million / absl::Hours(24));
  std::sort(market_.zones.begin(), market_.zones.end(),
            [](const auto& a, const auto& b) { return a.place < b.place; });
  for (const GeneratedMarket::Zone& of : market_.zones) {
    const std::string region = absl::StrCat(of.place.cloud, "/", of.place.region);
    std::size_t index = 0;
    while (index < regions_.size() && regions_[index].name != region) ++index;
    if (index == regions_.size()) regions_.push_back({region, any_heights()});
    Zone zone{index, any_heights()};
    zone.demand = demand(zone);
    zone.price = price(zones_.size(), zone.demand);
    zones_.push_back(std::move(zone));
    ready_.push_back({of.place, Money{zones_.back().price}, time_});
  }
}

std::string GeneratedFeed::source() const {
  return absl::StrCat("generated market (", market_.model.name, "), seed ", market_.seed);
}

void GeneratedFeed::next(Reply<Price> reply) {
  if (zones_.empty()) {
    reply(absl::OutOfRangeError("generated market: it has no zones"));
    return;
  }
  while (ready_.empty()) advance();
  Price price = std::move(ready_.front());
  ready_.pop_front();
  reply(std::move(price));
}

// 256 tosses of a coin: mean 0, variance 1, in millionths.
std::int64_t GeneratedFeed::normal() {
  int heads = 0;
  for (int i = 0; i < 4; ++i) heads += std::popcount(random_.next());
  return (heads - 128) * (per_million / 8);
}

GeneratedFeed::Heights GeneratedFeed::any_heights() {
  Heights heights(motions_.size());
  for (std::int64_t& height : heights) height = normal();
  return heights;
}

void GeneratedFeed::move(Heights& heights) {
  for (std::size_t i = 0; i < heights.size(); ++i) {
    const Motion& motion = motions_[i];
    if (market_.model.waves[i].jumps) {
      if (random_.chance(static_cast<std::uint64_t>(motion.loss))) heights[i] = normal();
    } else if (motion.loss > 0) {
      heights[i] += scaled(normal(), motion.noise) - scaled(heights[i], motion.loss);
    }
  }
}

std::int64_t GeneratedFeed::demand(const Zone& zone) const {
  std::int64_t demand = 0;
  for (std::size_t i = 0; i < motions_.size(); ++i)
    demand += scaled(regions_[zone.region].heights[i], motions_[i].common) +
              scaled(zone.heights[i], motions_[i].own);
  return demand;
}

std::int64_t GeneratedFeed::price(std::size_t zone, std::int64_t demand) const {
  // Of 1000 USD, 10^12 nano-dollars, ten times as much times a per_million would not fit into 64 bits.
  const std::int64_t on_demand_micro = market_.zones[zone].on_demand_per_hour.nano_usd / 1000;
  const std::int64_t price = on_demand_micro * price_at(market_.model.levels, demand) / 1000;
  return std::max(grain, (price + grain / 2) / grain * grain);
}

void GeneratedFeed::advance() {
  time_ += market_.step;
  for (Region& region : regions_) move(region.heights);
  for (std::size_t i = 0; i < zones_.size(); ++i) {
    Zone& zone = zones_[i];
    move(zone.heights);
    if (!random_.chance(quote_chance_)) continue;
    zone.demand += scaled(demand(zone) - zone.demand, market_.model.follow);
    const std::int64_t now = price(i, zone.demand);
    if (now == zone.price) continue;
    zone.price = now;
    ready_.push_back({market_.zones[i].place, Money{now}, time_});
  }
}

}  // namespace supercloud
