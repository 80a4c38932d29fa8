// A market that does not exist, for demos and simulations: each zone's spot price of each instance type wanders through three
// regimes.
//
//   calm       the zone's own level, 15 to 35 % of on-demand, with steps of a few per cent now and then
//   elevated   1.5 to 4 times the level
//   spike      90 to 300 % of on-demand, short
//
// Each region has a hidden regime too; while it is elevated or in a spike, its zones leave calm `regional_pull` times as often:
// that is what correlates zones. All arithmetic is on integers (nano-dollars, parts per million), so that every compiler makes
// the same market from the same seed. Not calibrated on real prices.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "actors/spot/price_feed.h"
#include "core/random.h"

namespace supercloud {

struct GeneratedMarket {
  struct Zone {
    PlaceName place;           // spot
    Money on_demand_per_hour;  // the scale of its prices
  };
  std::vector<Zone> zones;
  absl::Time start;                        // the first price of every zone is in force from here
  absl::Duration step = absl::Minutes(5);  // prices change at multiples of this
  std::uint64_t seed = 1;
  // Chances per step and zone, per million.
  std::uint64_t calm_step = 150'000;  // a small change within a regime
  std::uint64_t calm_to_elevated = 8'000;
  std::uint64_t calm_to_spike = 3'000;
  std::uint64_t elevated_to_calm = 40'000;
  std::uint64_t elevated_to_spike = 20'000;
  std::uint64_t spike_to_calm = 150'000;
  std::uint64_t regional_start = 4'000;  // a region's regime begins
  std::uint64_t regional_end = 20'000;   // and ends
  std::uint64_t regional_pull = 6;       // how many times as often zones leave calm meanwhile
};

// Thread-bound. Never ends. Prices of one time come in the order of places.
class GeneratedFeed final : public PriceFeed {
 public:
  explicit GeneratedFeed(GeneratedMarket market);
  std::string source() const override;
  void next(Reply<Price> reply) override;

 private:
  enum class Regime : std::uint8_t { calm, elevated, spike };
  struct ZoneState {
    std::size_t region = 0;
    Regime regime = Regime::calm;
    std::int64_t level = 0;  // nano-dollars per hour in calm
    std::int64_t price = 0;
  };
  struct RegionState {
    std::string name;
    bool restless = false;
  };
  void advance();
  void advance_zone(std::size_t index);
  void price_anew(std::size_t index);

  GeneratedMarket market_;
  Random random_;
  std::vector<RegionState> regions_;
  std::vector<ZoneState> zones_;
  absl::Time time_;
  std::deque<Price> ready_;  // of one step
};

}  // namespace supercloud
