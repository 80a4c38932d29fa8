#include "cli/measure/percentiles.h"

#include <algorithm>
#include <boost/histogram.hpp>
#include <cmath>
#include <tuple>
#include <vector>

namespace supercloud {
namespace {

namespace histogram = boost::histogram;

using LogAxis = histogram::axis::regular<double, histogram::axis::transform::log>;
using Counts = histogram::histogram<std::tuple<LogAxis>, histogram::dense_storage<std::uint64_t>>;

// The geometric middle of a bin is off by the root of the bins' ratio at most: 0.75 %. What is left of the 1 % is more than rounding takes.
constexpr double bins_apart = 1.015;

unsigned bin_count() {
  return static_cast<unsigned>(std::ceil(
      std::log(Percentiles::seconds_max / Percentiles::seconds_min) / std::log(bins_apart)));
}

}  // namespace

struct Percentiles::Bins {
  Counts counts{std::make_tuple(LogAxis(bin_count(), seconds_min, seconds_max)),
                histogram::dense_storage<std::uint64_t>()};
};

Percentiles::Percentiles() : bins_(std::make_unique<Bins>()) {}
Percentiles::~Percentiles() = default;
Percentiles::Percentiles(const Percentiles& other)
    : bins_(std::make_unique<Bins>(*other.bins_)),
      count_(other.count_),
      min_(other.min_),
      max_(other.max_),
      sum_(other.sum_) {}
Percentiles& Percentiles::operator=(const Percentiles& other) {
  if (this != &other) *this = Percentiles(other);
  return *this;
}
Percentiles::Percentiles(Percentiles&&) noexcept = default;
Percentiles& Percentiles::operator=(Percentiles&&) noexcept = default;

void Percentiles::add(double seconds) {
  // Zero has no logarithm; it belongs below the first bin.
  bins_->counts(std::max(seconds, seconds_min / 2));
  min_ = count_ == 0 ? seconds : std::min(min_, seconds);
  max_ = std::max(max_, seconds);
  sum_ += seconds;
  ++count_;
}

void Percentiles::add(const Percentiles& other) {
  if (other.count_ == 0) return;
  bins_->counts += other.bins_->counts;
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  count_ += other.count_;
}

std::optional<double> Percentiles::at(double part) const {
  const auto all = static_cast<double>(count_);
  // Binary fractions: 0.999 of 1,000 is not quite 999, and a thousandth of it not quite 1.
  const double rounding = 1e-9 * all;
  if (count_ == 0 || (part < 1 && (1 - part) * all < 1 - rounding)) return std::nullopt;
  const auto rank = static_cast<std::uint64_t>(std::max(1.0, std::ceil(part * all - rounding)));
  std::uint64_t seen = 0;
  const LogAxis& axis = bins_->counts.axis();
  for (int bin = -1; bin <= axis.size(); ++bin) {
    seen += bins_->counts.at(bin);
    if (seen < rank) continue;
    if (bin < 0) return min_;
    if (bin == axis.size()) return max_;
    return std::clamp(std::sqrt(axis.bin(bin).lower() * axis.bin(bin).upper()), min_, max_);
  }
  return max_;
}

}  // namespace supercloud
