#include "core/hybrid_clock.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace supercloud {

HybridTime HybridClock::tick() {
  // A counter that overflows carries into the microseconds: still later than everything before.
  latest_ = std::max(HybridTime{latest_.value + 1}, HybridTime::at(clock_.wall()));
  return latest_;
}

absl::Status HybridClock::observe(HybridTime remote) {
  const absl::Time local = clock_.wall();
  if (remote.wall() > local + max_ahead) {
    return absl::OutOfRangeError(
        absl::StrCat("a time ", absl::FormatDuration(remote.wall() - local),
                     " ahead of this node's clock, more than ", absl::FormatDuration(max_ahead),
                     ": set the clocks of both machines (NTP)"));
  }
  latest_ = std::max(latest_, remote);
  return absl::OkStatus();
}

}  // namespace supercloud
