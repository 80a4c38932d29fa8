// Time as actors see it.
//
// Cluster time (deadlines, leases, heartbeats) is an Instant on the node's own CLOCK_BOOTTIME; it is never compared between
// nodes and never scaled. Market time (prices, billing) is an absl::Time computed from it by a MarketClock. Events carry a
// HybridTime, which is comparable everywhere (core/hybrid_clock.h).
#pragma once

#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace supercloud {

using Duration = absl::Duration;

// A point on one node's CLOCK_BOOTTIME, in nanoseconds.
struct Instant {
  std::int64_t ns = 0;

  friend auto operator<=>(Instant, Instant) = default;
  friend Instant operator+(Instant at, Duration span) {
    return {at.ns + absl::ToInt64Nanoseconds(span)};
  }
  friend Instant operator-(Instant at, Duration span) {
    return {at.ns - absl::ToInt64Nanoseconds(span)};
  }
  friend Duration operator-(Instant later, Instant earlier) {
    return absl::Nanoseconds(later.ns - earlier.ns);
  }
};

inline constexpr Instant far_future{INT64_MAX / 2};

// Thread-safe: may be read from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  // Wall-clock time, for the hybrid logical clock only.
  virtual absl::Time wall() const = 0;
};

// Market time = origin + speed x cluster time since the start; the same two numbers in every process of a cluster.
struct MarketClock {
  absl::Time origin;       // market time at `start`
  absl::Time start;        // wall time at which the market stood at `origin`
  std::int64_t speed = 1;  // market seconds per cluster second

  absl::Time at(absl::Time wall) const { return origin + (wall - start) * speed; }
  // How much cluster time passes while the market moves by `span`, rounded up so that what waits for it is not early.
  Duration cluster_span(Duration span) const {
    const std::int64_t ns = absl::ToInt64Nanoseconds(span);
    return absl::Nanoseconds(ns <= 0 ? 0 : (ns + speed - 1) / speed);
  }
};

}  // namespace supercloud
