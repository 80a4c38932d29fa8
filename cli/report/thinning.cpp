#include "cli/report/thinning.h"

#include <algorithm>
#include <array>

namespace supercloud {
namespace {

constexpr std::size_t kept_of_a_span = 4;

// Adds the first, least, greatest and last of [begin, end), in order of time and once each.
void keep_extremes(const MoneySteps& steps, std::size_t begin, std::size_t end, MoneySteps& kept) {
  std::array<std::size_t, kept_of_a_span> indices = {begin, begin, begin, end - 1};
  for (std::size_t i = begin; i < end; ++i) {
    if (steps[i].second < steps[indices[1]].second) indices[1] = i;
    if (steps[i].second > steps[indices[2]].second) indices[2] = i;
  }
  std::sort(indices.begin(), indices.end());
  const auto unique_end = std::unique(indices.begin(), indices.end());
  for (auto index = indices.begin(); index != unique_end; ++index) kept.push_back(steps[*index]);
}

}  // namespace

MoneySteps within(const MoneySteps& steps, absl::Time from, absl::Time to) {
  MoneySteps held;
  for (const auto& [since, amount] : steps) {
    if (since > to) break;
    if (since <= from) held.clear();
    held.emplace_back(std::max(since, from), amount);
  }
  return held;
}

MoneySteps thinned(const MoneySteps& steps, std::size_t limit) {
  if (steps.size() <= limit) return steps;
  const std::size_t spans = std::max<std::size_t>(limit / kept_of_a_span, 1);
  const absl::Time start = steps.front().first;
  const absl::Duration period = steps.back().first - start;
  const auto span_of = [&](std::size_t index) -> std::size_t {
    if (period <= absl::ZeroDuration()) return 0;
    const double share = absl::FDivDuration(steps[index].first - start, period);
    return std::min(static_cast<std::size_t>(share * static_cast<double>(spans)), spans - 1);
  };
  MoneySteps kept;
  for (std::size_t begin = 0, end = 0; begin < steps.size(); begin = end) {
    const std::size_t span = span_of(begin);
    while (end < steps.size() && span_of(end) == span) ++end;
    keep_extremes(steps, begin, end, kept);
  }
  return kept;
}

}  // namespace supercloud
