#include "cli/replay/weeks.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "core/random.h"

namespace supercloud {
namespace {

constexpr absl::Duration week = absl::Hours(24 * 7);
constexpr std::size_t exact_max = 20;
constexpr std::uint64_t drawn = 200'000;

Money paid_by(const ReplayStrategy& strategy, absl::Time when) {
  Money paid;
  for (const auto& [at, amount] : strategy.cumulative)
    if (at <= when) paid = amount;
  return paid;
}

}  // namespace

std::vector<Money> weekly_costs(const ReplayStrategy& strategy, absl::Time from, absl::Time to) {
  std::vector<Money> costs;
  Money before;
  for (absl::Time end = from + week; end <= to; end += week) {
    const Money paid = paid_by(strategy, end);
    costs.push_back(paid - before);
    before = paid;
  }
  return costs;
}

WeekComparison compare_weeks(const std::vector<Money>& first, const std::vector<Money>& second) {
  WeekComparison result;
  std::vector<std::int64_t> gaps;
  for (std::size_t i = 0; i < std::min(first.size(), second.size()); ++i) {
    gaps.push_back((first[i] - second[i]).nano_usd);
    if (gaps.back() < 0) ++result.cheaper;
    if (gaps.back() > 0) ++result.dearer;
  }
  result.weeks = static_cast<int>(gaps.size());
  if (gaps.empty()) return result;
  std::int64_t sum = 0;
  for (const std::int64_t gap : gaps) sum += gap;
  result.mean = {sum / result.weeks};

  const bool exact = gaps.size() <= exact_max;
  const std::uint64_t flips = exact ? std::uint64_t{1} << gaps.size() : drawn;
  Random random(1);  // the same answer each time
  std::uint64_t as_far = 0;
  for (std::uint64_t flip = 0; flip < flips; ++flip) {
    std::int64_t flipped = 0;
    std::uint64_t bits = flip;
    for (std::size_t i = 0; i < gaps.size(); ++i) {
      if (!exact && i % 64 == 0) bits = random.next();
      flipped += (bits & 1) != 0 ? gaps[i] : -gaps[i];
      bits >>= 1;
    }
    if (std::abs(flipped) >= std::abs(sum)) ++as_far;
  }
  result.p_value = static_cast<double>(as_far) / static_cast<double>(flips);
  return result;
}

}  // namespace supercloud
