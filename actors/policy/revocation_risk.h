// How likely a spot place is taken within the next hour, judged by what prices did before.
//
// The chance that a price above the bid follows within an hour depends on where the price is now: near the bid, and after it was above
// it not long ago, it is far greater. So hours are told apart by two signs: the quarter of the bid that the price is in, and whether one
// of the three marks before was above the bid. The chance of each kind is the share of such hours that were followed by a price above the
// bid, weighted by age, over all places that are looked at together; a prior of `prior_weight` hours is added to each kind. (The
// empirical hazard rate of survival analysis, with a Bayesian prior.) All arithmetic is on integers.
#pragma once

#include <array>
#include <cstdint>

#include "actors/policy/price_gap.h"

namespace supercloud {

class RevocationRisk {
 public:
  explicit RevocationRisk(const GapModel& model) : model_(model) {}

  // The marks of a spot place whose bid is `bid`, above 0.
  void learn(const HourlySeries& series, std::int64_t bid);
  // Per million, for the hour to come at a place with this price and these marks.
  std::int64_t next_hour(const HourlySeries& series, std::int64_t price, std::int64_t bid) const;

 private:
  static constexpr std::size_t kinds = 8;
  static std::size_t kind_of(std::int64_t price, std::int64_t bid, bool lately);

  GapModel model_;
  std::array<std::int64_t, kinds> hours_{}, taken_{};  // weights
};

}  // namespace supercloud
