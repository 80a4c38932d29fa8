// Whether one strategy is cheaper than another, judged week by week: prices of one week say little about those of the next, hours say
// much about the next hour.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "core/units.h"
#include "simulation/replay/result.h"

namespace supercloud {

// What was paid in each whole week from `from` on.
std::vector<Money> weekly_costs(const ReplayStrategy& strategy, absl::Time from, absl::Time to);

struct WeekComparison {
  int weeks = 0, cheaper = 0, dearer = 0;  // of the first
  Money mean;                              // of the first's cost less the second's, per week
  // How likely a mean as far from zero would be if each week's difference were as likely the other way round: the exact sign-flip
  // permutation test (R. A. Fisher, The Design of Experiments, 1935) up to 20 weeks, 200,000 drawn flips beyond. 1: no weeks.
  double p_value = 1;
};

WeekComparison compare_weeks(const std::vector<Money>& first, const std::vector<Money>& second);

}  // namespace supercloud
