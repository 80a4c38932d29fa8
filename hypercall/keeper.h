// The keeper: what stops a guest when the node may no longer run it, whether or not its daemon
// lives (choreography, rules 7 and 8). Each hypervisor brings its own way to freeze a guest; when
// to freeze is decided here, once for all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "core/scheduler.h"
#include "core/time.h"

namespace supercloud {

// The four figures of rule 8.
//
// The table ends a session when TTL has passed on its clock since the last renewal reached it, so
// not before TTL/(1+rho) of true time has passed since that renewal was sent. The node's clock
// shows F after at most F/(1-rho) of true time, and the guest may then execute for delta more.
// Hence F/(1-rho) + delta < TTL/(1+rho), which is
//
//   F < TTL * (1-rho)/(1+rho) - (1-rho) * delta
struct FencePolicy {
  // TTL: the table ends a session that was not renewed for so long.
  Duration ttl = absl::Seconds(3);
  // F: from the sending of the last answered renewal to the fence.
  Duration fence_after = absl::Seconds(2);
  // rho: how far each clock may run wrong, in parts per million.
  std::uint32_t drift_ppm = 1000;
  // delta: the longest that stopping a guest takes, in true time.
  Duration stop_time = absl::Milliseconds(200);

  static constexpr Duration ttl_max = absl::Hours(1);

  // F must be below this: the right side of the formula, rounded down.
  Duration fence_limit() const;
  // InvalidArgument names the figures, the bound and what to change.
  absl::Status validate() const;
  // When guests must be frozen: counted from the sending of the last renewal that was answered, on
  // CLOCK_BOOTTIME.
  Instant fence_deadline(Instant sent_at) const { return sent_at + fence_after; }
};

// The deadlines of the guests of one host. A guest without a deadline never runs. Thread-bound to
// its scheduler.
class Keeper {
 public:
  // `freeze` is called when a guest's deadline passes, whatever else is under way; never from
  // inside allows() or forget(), but from inside arm() when the new deadline has passed already.
  Keeper(Scheduler& scheduler, std::function<void(const std::string& vm)> freeze);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Moves the deadline in either direction.
  void arm(const std::string& vm, Instant deadline);
  void forget(const std::string& vm);
  // Whether the guest may execute now: it has a deadline, and that lies ahead.
  bool allows(const std::string& vm) const;
  // Zero for a guest that has none.
  Instant deadline(const std::string& vm) const;

 private:
  struct Guard {
    Instant deadline;
    TimerId timer = 0;
  };
  void expire(const std::string& vm);

  Scheduler& scheduler_;
  std::function<void(const std::string&)> freeze_;
  std::map<std::string, Guard> guards_;
};

}  // namespace supercloud
