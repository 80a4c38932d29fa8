// A market that does not exist, for demos, simulations and tests: prices that move as a model says (market_model.h), without end,
// from a seed. All arithmetic is on integers (nano-dollars, parts per million), so that every compiler makes the same market from
// the same seed.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "actors/spot/market_model.h"
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
  MarketModel model = spiky_market();  // one whose prices change: the feed goes on until one does
};

// Thread-bound. Never ends. Prices of one time come in the order of places.
class GeneratedFeed final : public PriceFeed {
 public:
  explicit GeneratedFeed(GeneratedMarket market);
  std::string source() const override;
  void next(Reply<Price> reply) override;

 private:
  // Of each of the model's waves, in millionths of its standard deviation.
  using Heights = std::vector<std::int64_t>;
  // What a wave is in each step, in millionths.
  struct Motion {
    std::int64_t loss = 0;             // of its height; or the chance of a jump
    std::int64_t noise = 0;            // that comes in
    std::int64_t common = 0, own = 0;  // weights in demand: of the region's height, of the zone's
  };
  struct Zone {
    std::size_t region = 0;
    Heights heights;
    std::int64_t demand = 0;  // as it is quoted
    std::int64_t price = 0;   // nano-dollars per hour
  };
  struct Region {
    std::string name;
    Heights heights;
  };
  std::int64_t normal();
  Heights any_heights();
  void move(Heights& heights);
  std::int64_t demand(const Zone& zone) const;
  std::int64_t price(std::size_t zone, std::int64_t demand) const;
  void advance();

  GeneratedMarket market_;
  Random random_;
  std::vector<Motion> motions_;
  std::uint64_t quote_chance_ = 0;  // per step and zone, in millionths
  std::vector<Region> regions_;
  std::vector<Zone> zones_;
  absl::Time time_;
  std::deque<Price> ready_;  // of one step
};

}  // namespace supercloud
