#include "actors/policy/price_gap.h"

#include <algorithm>

namespace supercloud {
namespace {

__extension__ using Wide = __int128;  // squares of micro-dollars times weights

constexpr std::int64_t million = 1'000'000;

std::int64_t capped(std::int64_t price, std::int64_t cap) {
  return cap > 0 ? std::min(price, cap) : price;
}

}  // namespace

Money expected_gap(const HourlySeries& here, const HourlySeries& there, Money gap_now,
                   const GapModel& model) {
  const unsigned hours = std::min(here.nano_usd.size(), there.nano_usd.size());
  // In micro-dollars, so that squares of prices up to a million dollars fit.
  const auto gap = [&](unsigned i) -> std::int64_t {
    return (capped(here.nano_usd[i], here.cap) - capped(there.nano_usd[i], there.cap)) / 1000;
  };
  const Wide prior = static_cast<Wide>(model.prior_weight) * million;
  Wide weight = 0, sum = 0;
  AgeWeights ages(model);
  for (unsigned i = 0; i < hours; ++i) {
    const std::int64_t w = ages.next();
    weight += w;
    sum += static_cast<Wide>(w) * gap(i);
  }
  const auto mean = static_cast<std::int64_t>(sum / (weight + prior));

  Wide variance = 0, covariance = 0;
  AgeWeights again(model);
  for (unsigned i = 0; i < hours; ++i) {
    const std::int64_t w = again.next();
    const Wide off = gap(i) - mean;
    variance += w * off * off;
    if (i + 1 < hours) covariance += w * off * (gap(i + 1) - mean);
  }
  // Prior hours vary as those that were seen.
  std::int64_t persistence = model.prior_persistence_ppm;
  if (variance > 0 && weight > 0) {
    const Wide usual = variance / weight;  // per unit of weight
    const Wide denominator = (variance + prior * usual) / million;
    const Wide numerator = covariance + prior * usual / million * model.prior_persistence_ppm;
    if (denominator > 0) persistence = static_cast<std::int64_t>(numerator / denominator);
  }
  persistence = std::clamp<std::int64_t>(persistence, 0, model.persistence_max_ppm);

  std::int64_t remaining = 0, power = million;  // sum of r^k, r^k
  for (int k = 0; k < model.horizon; ++k) {
    remaining += power;
    power = power * persistence / million;
  }
  const std::int64_t mean_nano = mean * 1000;
  const Wide reverting = static_cast<Wide>(gap_now.nano_usd - mean_nano) * remaining / million;
  return {static_cast<std::int64_t>(reverting + static_cast<Wide>(mean_nano) * model.horizon)};
}

}  // namespace supercloud
