// What the prices of a market are like, whoever made them: how the generated one is held against real ones.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/units.h"
#include "simulation/replay/price_grid.h"

namespace supercloud {

// Of all zones together, prices taken at the grid's steps. A spike is the time from the first step at which a zone is above
// on-demand until the first at which it is not; those that the trace cuts off count as far as they are seen. Correlations are
// means over the pairs of zones (Pearson's); of pairs where a zone never moves: left out, of none: 0.
struct MarketStatistics {
  int zones = 0;
  double days = 0;
  // Relative to on-demand: quantiles over time.
  double level_5 = 0, level_25 = 0, level_50 = 0, level_75 = 0, level_90 = 0, level_95 = 0;
  double level_mean = 0;
  double changes_per_day = 0;  // and zone
  double change_size = 0;      // median of |log(price / price before)|
  double above = 0;            // share of the time
  double all_above = 0;        // ... in which all zones are so at once
  double spikes_per_day = 0;   // and zone
  double spike_minutes_50 = 0, spike_minutes_90 = 0, spike_minutes_mean = 0;
  double spike_height_50 = 0, spike_height_90 = 0;  // the highest price, relative to on-demand
  double persistence_hour = 0, persistence_day = 0,
         persistence_week = 0;   // correlation of log price with itself later
  double correlation_level = 0;  // of log price
  double correlation_day = 0;    // of its change in a day
  double correlation_above = 0;  // of being above on-demand

  // Each with its name, in this order.
  std::vector<std::pair<std::string, double>> named() const;
};

// All places of the grid are zones, and on-demand costs the same in each. Steps at which not all are known are left out.
MarketStatistics market_statistics(const PriceGrid& grid, Money on_demand);

}  // namespace supercloud
