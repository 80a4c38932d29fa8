// Hybrid logical clock: wall time where it moves forward, a counter where it does not, so that an event is always later
// than every event its publisher had seen. (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014.)
#pragma once

#include <compare>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/time.h"

namespace supercloud {

// Microseconds since 1970 in the upper 52 bits, a counter in the lower 12.
struct HybridTime {
  std::uint64_t value = 0;

  friend auto operator<=>(HybridTime, HybridTime) = default;
  absl::Time wall() const { return absl::FromUnixMicros(static_cast<std::int64_t>(value >> 12)); }
  static HybridTime at(absl::Time wall) {
    const std::int64_t us = absl::ToUnixMicros(wall);
    return {us <= 0 ? 0 : static_cast<std::uint64_t>(us) << 12};
  }
};

// Thread-bound.
class HybridClock {
 public:
  // What is further ahead of the local clock than this is rejected: one bad clock must not drag the cluster along.
  static constexpr Duration max_ahead = absl::Seconds(5);

  explicit HybridClock(const Clock& clock) : clock_(clock) {}

  // A time later than every one returned or observed before.
  HybridTime tick();
  // Takes note of a time from another node. OutOfRange, without effect, if it is more than max_ahead ahead of this one's.
  absl::Status observe(HybridTime remote);

 private:
  const Clock& clock_;
  HybridTime latest_;
};

}  // namespace supercloud
