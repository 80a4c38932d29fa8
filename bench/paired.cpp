#include "bench/paired.h"

#include <algorithm>
#include <cstddef>
#include <random>

namespace supercloud {
namespace {

constexpr int resamples = 2000;

// Percentile bootstrap (B. Efron, 1979, "Bootstrap methods: another look at the jackknife"). The same numbers give the same interval.
void bootstrap(const std::vector<double>& ratios, Paired& result) {
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::size_t> any(0, ratios.size() - 1);
  std::vector<double> medians, sample(ratios.size());
  for (int i = 0; i < resamples; ++i) {
    for (double& value : sample) value = ratios[any(random)];
    medians.push_back(median(sample));
  }
  std::sort(medians.begin(), medians.end());
  result.low = medians[resamples / 40];
  result.high = medians[resamples - 1 - resamples / 40];
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t upper = values.size() / 2;
  return (values[upper] + values[(values.size() - 1) / 2]) / 2;
}

Paired measure_pairs(int pairs, const std::function<double()>& ours,
                     const std::function<double()>& floor) {
  std::vector<double> all_ours, all_floor, ratios;
  for (int i = 0; i < pairs; ++i) {
    const bool ours_first = i % 2 == 0;
    const double first = ours_first ? ours() : floor();
    const double second = ours_first ? floor() : ours();
    if (first <= 0 || second <= 0) return {};
    all_ours.push_back(ours_first ? first : second);
    all_floor.push_back(ours_first ? second : first);
    ratios.push_back(all_ours.back() / all_floor.back());
  }
  if (ratios.empty()) return {};
  Paired result{median(all_ours), median(all_floor), median(ratios), 0, 0};
  bootstrap(ratios, result);
  return result;
}

std::string_view verdict(const Paired& paired, double bar) {
  if (paired.high <= bar) return "met";
  return paired.low > bar ? "missed" : "not resolved";
}

}  // namespace supercloud
