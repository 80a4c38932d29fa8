#include "actors/spot/generated_feed.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr std::int64_t grain = 100'000;  // prices are whole 0.0001 USD, as clouds quote them
constexpr std::int64_t per_million = 1'000'000;

std::int64_t scaled(std::int64_t value, std::int64_t parts) {
  // Prices below 1000 USD (10^12 nano) times 3x10^6 parts stay below 2^63.
  return value * parts / per_million;
}

std::int64_t rounded(std::int64_t price) {
  return std::max(grain, (price + grain / 2) / grain * grain);
}

}  // namespace

GeneratedFeed::GeneratedFeed(GeneratedMarket market)
    : market_(std::move(market)), random_(market_.seed), time_(market_.start) {
  std::sort(market_.zones.begin(), market_.zones.end(),
            [](const auto& a, const auto& b) { return a.place < b.place; });
  for (const GeneratedMarket::Zone& zone : market_.zones) {
    const std::string region = absl::StrCat(zone.place.cloud, "/", zone.place.region);
    std::size_t index = 0;
    while (index < regions_.size() && regions_[index].name != region) ++index;
    if (index == regions_.size()) regions_.push_back({region, false});
    ZoneState state;
    state.region = index;
    state.level = scaled(zone.on_demand_per_hour.nano_usd, random_.between(150'000, 350'000));
    state.price = rounded(state.level);
    zones_.push_back(state);
    ready_.push_back({zone.place, Money{state.price}, time_});
  }
}

std::string GeneratedFeed::source() const {
  return absl::StrCat("generated market, seed ", market_.seed);
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

void GeneratedFeed::advance() {
  time_ += market_.step;
  for (RegionState& region : regions_) {
    if (random_.chance(region.restless ? market_.regional_end : market_.regional_start)) {
      region.restless = !region.restless;
    }
  }
  for (std::size_t i = 0; i < zones_.size(); ++i) advance_zone(i);
}

void GeneratedFeed::advance_zone(std::size_t index) {
  ZoneState& zone = zones_[index];
  const std::uint64_t pull = regions_[zone.region].restless ? market_.regional_pull : 1;
  const std::int64_t before = zone.price;
  const Regime regime_before = zone.regime;
  // One draw per zone and step decides the regime, so that a parameter does not shift the draws of all other zones.
  const std::uint64_t draw = random_.below(per_million);
  switch (zone.regime) {
    case Regime::calm:
      if (draw < market_.calm_to_spike * pull) {
        zone.regime = Regime::spike;
      } else if (draw < (market_.calm_to_spike + market_.calm_to_elevated) * pull) {
        zone.regime = Regime::elevated;
      }
      break;
    case Regime::elevated:
      if (draw < market_.elevated_to_calm / pull) {
        zone.regime = Regime::calm;
      } else if (draw < market_.elevated_to_calm / pull + market_.elevated_to_spike) {
        zone.regime = Regime::spike;
      }
      break;
    case Regime::spike:
      if (draw < market_.spike_to_calm) zone.regime = Regime::calm;
      break;
  }
  const bool steps = random_.chance(market_.calm_step);
  if (zone.regime != regime_before) {
    price_anew(index);
  } else if (steps) {
    zone.price = rounded(scaled(zone.price, per_million + random_.between(-40'000, 40'000)));
  }
  // A level that drifts slowly: else every zone's calm price would be the same for ever.
  if (zone.regime == Regime::calm && steps) {
    const std::int64_t on_demand = market_.zones[index].on_demand_per_hour.nano_usd;
    zone.level = std::clamp(zone.price, scaled(on_demand, 100'000), scaled(on_demand, 450'000));
    zone.price = rounded(zone.level);
  }
  if (zone.price != before) {
    ready_.push_back({market_.zones[index].place, Money{zone.price}, time_});
  }
}

void GeneratedFeed::price_anew(std::size_t index) {
  ZoneState& zone = zones_[index];
  const std::int64_t on_demand = market_.zones[index].on_demand_per_hour.nano_usd;
  switch (zone.regime) {
    case Regime::calm:
      zone.price = rounded(zone.level);
      break;
    case Regime::elevated:
      zone.price = rounded(scaled(zone.level, random_.between(1'500'000, 4'000'000)));
      break;
    case Regime::spike:
      zone.price = rounded(scaled(on_demand, random_.between(900'000, 3'000'000)));
      break;
  }
}

}  // namespace supercloud
