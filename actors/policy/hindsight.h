// What it would have cost to be at each place by now, had the last hours been known: the work function of an on-line problem.
//
//   w(p, t) = min over q of ( w(q, t-1) + cost of a move from q to p ) + price of p in hour t
//   w(p, t) = min over q of ( w(q, t) + cost of a move from q to p )
//
// No hour that begins above the bid can be spent at a spot place. Who moves only where the way there counted it would have cost less
// does not flap, and pays at most a fixed number of times what the best schedule does, whatever prices do. (A. Borodin, N. Linial,
// M. Saks, 1992, "An optimal on-line algorithm for metrical task system".) All arithmetic is on integers.
#pragma once

#include <cstdint>
#include <vector>

#include "actors/policy/price_gap.h"
#include "core/units.h"

namespace supercloud {

struct HindsightPlace {
  HourlySeries::Marks
      marks;    // prices of the hours that are over, and of the one that ends, newest first
  Money price;  // of the hour to come
  std::int64_t bid = 0;  // above it nobody is there; 0: no such limit
  Money move_cost;       // from any other place to this one
};

// By the end of the hour to come, per place, over the least of them. Linear in places and hours.
std::vector<Money> hindsight(const std::vector<HindsightPlace>& places);

}  // namespace supercloud
