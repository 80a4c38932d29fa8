#include "actors/policy/revocation_risk.h"

#include <algorithm>

namespace supercloud {
namespace {

constexpr unsigned lately_marks = 3;
constexpr std::int64_t whole = 1'000'000;

// By quarter of the bid, without and with a price above it lately; per million hours.
constexpr std::array<std::int64_t, 8> prior_per_million = {2'000,  20'000,  100'000, 300'000,
                                                           50'000, 100'000, 200'000, 500'000};

// Whether one of the marks from `first` on was above the bid.
bool above_lately(const HourlySeries& series, unsigned first, std::int64_t bid) {
  for (unsigned i = first; i < std::min(first + lately_marks, series.nano_usd.size()); ++i)
    if (series.nano_usd[i] > bid) return true;
  return false;
}

}  // namespace

std::size_t RevocationRisk::kind_of(std::int64_t price, std::int64_t bid, bool lately) {
  const auto quarter = std::clamp<std::int64_t>(price * 4 / bid, 0, 3);
  return static_cast<std::size_t>(quarter) + (lately ? 4 : 0);
}

void RevocationRisk::learn(const HourlySeries& series, std::int64_t bid) {
  AgeWeights ages(model_);
  for (unsigned i = 0; i + 1 < series.nano_usd.size(); ++i) {
    const std::int64_t weight = ages.next();
    const std::int64_t before = series.nano_usd[i + 1];
    if (before > bid) continue;
    const std::size_t kind = kind_of(before, bid, above_lately(series, i + 2, bid));
    hours_[kind] += weight;
    if (series.nano_usd[i] > bid) taken_[kind] += weight;
  }
}

std::int64_t RevocationRisk::next_hour(const HourlySeries& series, std::int64_t price,
                                       std::int64_t bid) const {
  if (price > bid) return whole;
  const std::size_t kind = kind_of(price, bid, above_lately(series, 0, bid));
  const std::int64_t prior = model_.prior_weight;
  // Weights are parts per million of hours, at most 336 of them for each place.
  return (taken_[kind] + prior * prior_per_million[kind]) / (hours_[kind] / whole + prior);
}

}  // namespace supercloud
