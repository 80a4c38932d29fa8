#include "actors/spot/hourly_prices.h"

#include <algorithm>

namespace supercloud {
namespace {

constexpr std::int64_t ns_per_hour = 3'600'000'000'000;

}  // namespace

// The newest price holds at all marks up to this one.
void HourlyPrices::fill_until(std::int64_t mark) {
  constexpr auto most = static_cast<std::int64_t>(marks_max);
  for (std::int64_t next = std::max(filled_ + 1, mark - most + 1); next <= mark; ++next)
    at_marks_.push_front(newest_);
  if (at_marks_.size() > marks_max) at_marks_.resize(marks_max);
  filled_ = std::max(filled_, mark);
}

void HourlyPrices::add(absl::Time since, Money usd_per_hour) {
  if (since_ && since <= *since_) return;
  // The mark at which a price comes into force is its own.
  const std::int64_t before = (absl::ToUnixNanos(since) - 1) / ns_per_hour;
  if (since_)
    fill_until(before);
  else
    filled_ = before;
  since_ = since;
  newest_ = usd_per_hour;
}

void HourlyPrices::take(std::int64_t hour, const std::vector<Money>& newest_first, absl::Time since,
                        Money usd_per_hour) {
  if (since_ && since < *since_) return;
  since_ = since;
  newest_ = usd_per_hour;
  filled_ = hour;
  at_marks_.assign(
      newest_first.begin(),
      newest_first.begin() + static_cast<std::ptrdiff_t>(std::min(newest_first.size(), marks_max)));
}

void HourlyPrices::look_back(const HourlyPrices& older) {
  if (!since_) {
    *this = older;
    return;
  }
  const std::int64_t missing = filled_ - static_cast<std::int64_t>(at_marks_.size());
  for (const Money price : older.until(absl::FromUnixSeconds(missing * 3600))) {
    if (at_marks_.size() == marks_max) return;
    at_marks_.push_back(price);
  }
}

std::vector<Money> HourlyPrices::until(absl::Time now) const {
  std::vector<Money> prices;
  if (!since_) return prices;
  const std::int64_t newest = mark(now);
  prices.reserve(marks_max);
  for (std::int64_t at = newest; at > filled_ && prices.size() < marks_max; --at)
    prices.push_back(newest_);
  for (std::int64_t at = filled_; const Money price : at_marks_) {
    if (prices.size() == marks_max) break;
    if (at-- <= newest) prices.push_back(price);
  }
  return prices;
}

}  // namespace supercloud
