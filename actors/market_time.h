// Market time for actors: what time it is there, and timers that fire when the market gets there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "core/actor.h"
#include "core/time.h"

namespace supercloud {

// Thread-bound, as its context is.
class MarketTime {
 public:
  MarketTime(Context& context, const MarketClock& clock) : context_(context), clock_(clock) {}

  const MarketClock& clock() const { return clock_; }
  absl::Time now() const { return clock_.at(context_.wall()); }
  std::int64_t now_ns() const { return absl::ToUnixNanos(now()); }

  // How much cluster time is left until the market is at `when`; zero if it is.
  Duration until(absl::Time when) const {
    return clock_.cluster_span(std::max(when - now(), absl::ZeroDuration()));
  }
  // The task has to look at now() again: a wall clock that was set back makes the market later than the timer.
  TimerId at(absl::Time when, std::function<void()> task) const {
    return context_.after(std::min(until(when), longest), std::move(task));
  }

  // What is further away is looked at again then.
  static constexpr Duration longest = absl::Hours(24);

 private:
  Context& context_;
  MarketClock clock_;
};

}  // namespace supercloud
