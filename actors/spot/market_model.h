// How the prices of a market move that does not exist (generated_feed.h): two models that are fitted to real ones, and what such
// a model is made of.
//
// Behind the price of each zone stands a demand that nobody sees, a normal variable of mean 0 and variance 1. It is a sum of
// waves: noises that return to their mean, each in a time of its own, partly in common with the other zones of the region. Now
// and then the zone's price is quoted anew, as `levels` says of the demand of that moment: low and flat most of the time, and far
// above on-demand where demand is high. So
//
//   levels  say how much of the time a price is how high: the time above on-demand too, and how high spikes are
//   waves   say how long it stays so: slow ones make long spikes, fast ones many short ones; in common, they correlate the zones
//   quotes  say how often, and in how large steps, a price changes
//
// How near the models come to real prices, and by what method they are fitted: docs/prices.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace supercloud {

struct MarketModel {
  struct Level {
    std::int64_t demand;  // in millionths of its standard deviation; 0 is the median
    std::int64_t price;   // in millionths of on-demand
  };
  struct Wave {
    absl::Duration
        time;  // in which its correlation with itself falls to 1/e; infinite: it never moves
    std::int64_t
        share;  // of the variance of demand, in millionths; those of all waves add up to a million
    std::int64_t common =
        0;               // of this share, in millionths: what all zones of a region have in common
    bool jumps = false;  // it does not wander, but stays, and at random times is another
  };

  std::string name;
  // At least one, in order of both. Prices between two are interpolated; beyond the first and the last they are theirs.
  std::vector<Level> levels;
  std::vector<Wave> waves;
  std::int64_t quotes_per_day = 0;  // of a zone, at random times; not each is another price
  // How far a quote goes from the demand of the one before to that of now, in millionths: clouds smooth their prices.
  std::int64_t follow = 1'000'000;
};

// The old market of bids: spikes up to ten times on-demand, for minutes or for days.
MarketModel spiky_market();
// That of today: prices that drift by days, and stay below on-demand.
MarketModel calm_market();
// By its name. NotFound names those that there are.
absl::StatusOr<MarketModel> market_model(std::string_view name);

}  // namespace supercloud
