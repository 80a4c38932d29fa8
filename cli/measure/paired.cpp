#include "cli/measure/paired.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <random>

namespace supercloud {
namespace {

constexpr int resamples = 2000;

// Percentile bootstrap (B. Efron, 1979, "Bootstrap methods: another look at the jackknife"). The same numbers give the same interval.
class Bootstrap {
 public:
  // The median of as many values, each drawn from all of them.
  double median_again(const std::vector<double>& values) {
    std::uniform_int_distribution<std::size_t> any(0, values.size() - 1);
    sample_.resize(values.size());
    for (double& value : sample_) value = values[any(random_)];
    return median(sample_);
  }

 private:
  std::mt19937_64 random_{1};
  std::vector<double> sample_;
};

struct Interval {
  double low = 0, high = 0;
};

std::string_view verdict_of(double low, double high, double bar) {
  if (high <= bar) return "met";
  return low > bar ? "missed" : "not resolved";
}

Interval interval(const std::function<double()>& again) {
  std::vector<double> drawn;
  for (int i = 0; i < resamples; ++i) drawn.push_back(again());
  std::sort(drawn.begin(), drawn.end());
  return {drawn[resamples / 40], drawn[resamples - 1 - resamples / 40]};
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t upper = values.size() / 2;
  return (values[upper] + values[(values.size() - 1) / 2]) / 2;
}

Paired measure_pairs(int pairs, const std::function<double()>& ours,
                     const std::function<double()>& floor) {
  const auto values = measure_rounds(pairs, {ours, floor});
  return pair_up(values[0], values[1]);
}

std::vector<std::vector<double>> measure_rounds(int rounds,
                                                const std::vector<std::function<double()>>& ways) {
  std::vector<std::vector<double>> values(ways.size());
  std::vector<bool> failed(ways.size());
  std::size_t left = ways.size();
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const std::size_t way = (static_cast<std::size_t>(round) + i) % ways.size();
      if (failed[way]) continue;
      const double took = ways[way]();
      if (took > 0) {
        values[way].push_back(took);
        continue;
      }
      failed[way] = true;
      values[way].clear();
      if (--left < 2) return values;
    }
  return values;
}

Paired pair_up(const std::vector<double>& ours, const std::vector<double>& floor) {
  if (ours.empty() || ours.size() != floor.size()) return {};
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / floor[i]);
  Bootstrap bootstrap;
  const Interval sure = interval([&] { return bootstrap.median_again(ratios); });
  return {median(ours), median(floor), median(ratios), sure.low, sure.high};
}

PairedDifference difference_of_pairs(const std::vector<double>& ours,
                                     const std::vector<double>& floor) {
  constexpr double unknown = std::numeric_limits<double>::infinity();
  if (ours.empty() || ours.size() != floor.size()) return {.low = -unknown, .high = unknown};
  std::vector<double> differences;
  for (std::size_t i = 0; i < ours.size(); ++i) differences.push_back(ours[i] - floor[i]);
  Bootstrap bootstrap;
  const Interval sure = interval([&] { return bootstrap.median_again(differences); });
  return {median(ours), median(floor), median(differences), sure.low, sure.high};
}

Change measure_change(const std::vector<double>& now, const std::vector<double>& earlier) {
  if (now.empty() || earlier.empty() || *std::min_element(earlier.begin(), earlier.end()) <= 0)
    return {};
  Bootstrap bootstrap;
  const Interval sure =
      interval([&] { return bootstrap.median_again(now) / bootstrap.median_again(earlier); });
  const double was = median(earlier), is = median(now);
  return {is, was, is / was, sure.low, sure.high};
}

std::string_view verdict(const Change& change, bool less_is_better) {
  if (change.ratio <= 0) return "not resolved";
  if (change.high < 1 / change_margin) return less_is_better ? "better" : "worse";
  if (change.low > change_margin) return less_is_better ? "worse" : "better";
  return "not resolved";
}

std::string_view verdict(const Paired& paired, double bar) {
  return verdict_of(paired.low, paired.high, bar);
}

std::string_view verdict(const PairedDifference& paired, double bar) {
  return verdict_of(paired.low, paired.high, bar);
}

}  // namespace supercloud
