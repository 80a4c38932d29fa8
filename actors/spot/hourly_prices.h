// The prices of one place at whole hours of market time: what policies know of the past, small enough to be handed on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "core/units.h"

namespace supercloud {

// A mark is a whole hour since 1970, of market time. A value type.
class HourlyPrices {
 public:
  static constexpr std::size_t marks_max = 336;  // two weeks

  // The price comes into force. One older than the newest changes nothing: what was in force at the marks since is known.
  void add(absl::Time since, Money usd_per_hour);

  // As another has it: the mark `hour` and those before it, newest first, and the price in force since. Taken if nothing newer is
  // known.
  void take(std::int64_t hour, const std::vector<Money>& newest_first, absl::Time since,
            Money usd_per_hour);

  // What was in force at the marks before the first that is known here.
  void look_back(const HourlyPrices& older);

  // The newest mark at or before `now`.
  static std::int64_t mark(absl::Time now) { return absl::ToUnixSeconds(now) / 3600; }
  // At that mark and those before it, newest first; a mark before the first price ends the list. At most marks_max.
  std::vector<Money> until(absl::Time now) const;

 private:
  void fill_until(std::int64_t mark);

  std::optional<absl::Time> since_;  // of the newest price
  Money newest_;
  std::int64_t filled_ = 0;     // the mark that the first of these is of
  std::deque<Money> at_marks_;  // newest first
};

}  // namespace supercloud
