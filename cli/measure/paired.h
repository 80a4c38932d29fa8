// Ways to do the same thing, measured in turn, or one way at two times: what one takes beside the other, and how sure that is.
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

// More than two ways, in rounds: each is measured once in every round, and which comes first goes round too. The values of each, round by round.
// One that fails is measured no more, and has none; when fewer than two are left there is nothing to compare, and it ends.
std::vector<std::vector<double>> measure_rounds(int rounds,
                                                const std::vector<std::function<double()>>& ways);
// Of values from the same rounds; none, or not as many of one as of the other: ratio 0.
Paired pair_up(const std::vector<double>& ours, const std::vector<double>& floor);

// The same as differences, for bars that say how much more ours may take.
struct PairedDifference {
  double ours = 0, floor = 0;  // medians, in the unit that was measured
  double difference = 0, low = 0,
         high =
             0;  // median of the pairs' differences ours - floor, with its 95 % bootstrap interval
};
// Not as many of one as of the other, or none: nothing is known, and the interval is infinite.
PairedDifference difference_of_pairs(const std::vector<double>& ours,
                                     const std::vector<double>& floor);

// The same measured twice at different times, or on different machines: nothing pairs the values, and what drifts between the two falls on one.
struct Change {
  double now = 0, earlier = 0;  // medians
  double ratio = 0, low = 0,
         high = 0;  // now / earlier, with its 95 % bootstrap interval: both are drawn anew
};
// One of them empty, or an earlier value not more than 0: ratio 0.
Change measure_change(const std::vector<double>& now, const std::vector<double>& earlier);

// Two runs of the same differ by as much on a machine that has other work too, whatever the interval within each of them.
inline constexpr double change_margin = 1.05;
// "better" or "worse": the whole interval is beyond the margin; else "not resolved". `less_is_better`: durations, not rates.
std::string_view verdict(const Change& change, bool less_is_better);

// "met": the whole interval is at most `bar`; "missed": it is all above; else "not resolved".
std::string_view verdict(const Paired& paired, double bar);
std::string_view verdict(const PairedDifference& paired, double bar);

}  // namespace supercloud
