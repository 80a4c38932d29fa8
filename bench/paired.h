// Two ways to do the same thing, measured in turn: what one takes beside the other, and how sure that is.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace supercloud {

double median(std::vector<double> values);  // of one at least

struct Paired {
  double ours = 0, floor = 0;  // medians, in the unit that was measured
  double ratio = 0, low = 0,
         high = 0;  // median of the pairs' ratios ours / floor, with its 95 % bootstrap interval
};

// Each function measures once and returns how much it took (more than 0; anything else is a failed measurement, and so is the pair). Which of
// them comes first changes from pair to pair, so that what drifts on the machine falls on both. Fewer than `pairs` good ones: ratio 0.
Paired measure_pairs(int pairs, const std::function<double()>& ours,
                     const std::function<double()>& floor);

// "met": the whole interval is at most `bar`; "missed": it is all above; else "not resolved".
std::string_view verdict(const Paired& paired, double bar);

}  // namespace supercloud
