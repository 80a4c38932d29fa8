// Where tasks and timers run: the live EventLoop (core/event_loop.h) or the simulation's virtual time.
#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "core/time.h"

namespace supercloud {

using Task = absl::AnyInvocable<void() &&>;
using TimerId = std::uint64_t;  // 0: none

// Thread-bound, but for post().
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  virtual const Clock& clock() const = 0;
  // Runs `task` at `when`, or as soon as possible if that has passed; timers due together run in the order they were set.
  virtual TimerId at(Instant when, Task task) = 0;
  // Without effect on 0 and on timers that ran.
  virtual void cancel(TimerId timer) = 0;
  // Runs `task` after what was posted before. Thread-safe.
  virtual void post(Task task) = 0;
};

}  // namespace supercloud
