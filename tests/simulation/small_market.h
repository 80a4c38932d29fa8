// Markets so small that every schedule can be tried, with a second accounting that looks at prices by the second and shares with the
// first one only how an hour is rounded.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "core/random.h"
#include "simulation/replay/price_grid.h"
#include "simulation/replay/schedule.h"

namespace supercloud {

// Where the markets of these tests begin, and their places.
inline const absl::Time market_opens = absl::FromUnixSeconds(1'440'244'800);
PlaceName market_zone(int index);
PlaceName market_on_demand();
void sort_by_time(std::vector<Price>& prices);

// A market of few minutes, known by the second.
struct SmallMarket {
  int step = 60, steps = 6;  // seconds; number
  int unit_steps = 3;        // a billing hour
  int launch = 0, migration = 0, notice = 0;
  bool hourly = true, refunds = false;
  std::int64_t bid = std::numeric_limits<std::int64_t>::max();
  std::int64_t egress = 0;                        // of a move
  std::vector<std::vector<std::int64_t>> prices;  // per place and second; below zero: none yet

  int seconds() const { return step * steps; }
  int hold() const { return launch + migration; }
  PriceGrid grid() const;
  ScheduleCosts costs() const;
  bool usable(int place, int at) const;
  // Of the seconds from `from` until `to`, in nano-dollars times 3600, by the mean of each step.
  std::int64_t integral(int place, int from, int to) const;
  // What it costs to be at path[k] in step k; nothing if that cannot be.
  std::optional<std::int64_t> cost(const std::vector<int>& path) const;
  std::int64_t stay_cost(int place, int from, int to) const;
};

SmallMarket random_market(Random& random);

// The least cost per number of moves, over all schedules; nullopt where there is none.
std::vector<std::optional<std::int64_t>> least_by_moves(const SmallMarket& market);

}  // namespace supercloud
