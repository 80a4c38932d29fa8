// How much dearer one place will be than another over the next hours, judged by how their prices went apart and together again.
//
// The gap d of two prices, hour by hour, is taken for a mean-reverting process of the first order:
//
//   E[d(t+k)] = m + (d(t) - m) r^k
//
// m and r are the mean and the lag-1 autocorrelation of the gaps of the last hours, weighted by age: a weight halves in 72 hours.
// Few hours say little: a prior of `prior_weight` hours with m = 0 and r = `prior_persistence` is added to them. (G. U. Yule, 1927,
// "On a method of investigating periodicities in disturbed series", for the process and its estimate.)
//
// Over K hours the gap sums up to (d - m)(1 - r^K)/(1 - r) + m K. All arithmetic is on integers: the same on every machine.
#pragma once

#include <cstdint>
#include <utility>

#include "core/schema/world.capnp.h"
#include "core/units.h"

namespace supercloud {

struct GapModel {
  int horizon = 72;                              // K, hours
  std::int64_t decay_per_billion = 990'419'148;  // of a weight, per hour: 2^(-1/72)
  int prior_weight = 24;                         // hours
  std::int64_t prior_persistence_ppm = 800'000;
  std::int64_t persistence_max_ppm = 980'000;
};

// What hours count by their age, in parts per million, the newest first: 1,000,000 and less and less.
class AgeWeights {
 public:
  explicit AgeWeights(const GapModel& model) : decay_(model.decay_per_billion) {}
  std::int64_t next() {
    const std::int64_t weight = precise_ / 1000;
    precise_ = precise_ * decay_ / 1'000'000'000;
    return weight;
  }

 private:
  std::int64_t decay_;
  std::int64_t precise_ = 1'000'000'000;
};

// Prices at the last whole hours, newest first, in nano-dollars per hour; what exceeds `cap` counts as `cap` (nobody pays more than on
// demand); 0: no cap.
struct HourlySeries {
  using Marks = decltype(std::declval<schema::World::PlaceView::Reader>().getHourlyNanoUsd());
  Marks nano_usd;
  std::int64_t cap = 0;
};

// What being `here` instead of `there` is expected to cost more over the horizon, the prices being `gap_now` apart at present.
Money expected_gap(const HourlySeries& here, const HourlySeries& there, Money gap_now,
                   const GapModel& model);

}  // namespace supercloud
