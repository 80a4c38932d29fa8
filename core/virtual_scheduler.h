// Virtual time: moves only when told. Tests and the simulation run on it.
#pragma once

#include <cstdint>
#include <optional>

#include "core/ring.h"
#include "core/scheduler.h"
#include "core/timer_queue.h"

namespace supercloud {

// Tasks run one at a time in strict order of (time, order of arming), posts among them at the time of the call. Thread-bound
// throughout, post() too: nothing in a simulation runs on another thread.
class VirtualScheduler final : public Scheduler, public Clock {
 public:
  // 2026-01-01T00:00:00Z, so that a run does not depend on the day it is made.
  static absl::Time default_start() { return absl::FromUnixSeconds(1'767'225'600); }

  explicit VirtualScheduler(absl::Time start = default_start()) : start_(start) {}

  const Clock& clock() const override { return *this; }
  TimerId at(Instant when, Task task) override;
  void cancel(TimerId timer) override { timers_.cancel(timer); }
  void post(Task task) override;

  Instant now() const override { return now_; }
  absl::Time wall() const override { return start_ + absl::Nanoseconds(now_.ns); }

  // Runs the next task, moving time forward to it. False: there is none.
  bool step() { return step_until({INT64_MAX}); }
  // False: there is none that is due by then, and time stands where it stood.
  bool step_until(Instant when);
  // Runs everything due up to and including `when`, then stands at `when`. What never stops posting never returns.
  void run_until(Instant when);
  void run_for(Duration span) { run_until(now_ + span); }

  bool empty() const { return posted_.empty() && timers_.size() == 0; }
  std::optional<Instant> next_due();

 private:
  struct Posted {
    TimerQueue::Key key;
    Task task;
  };
  std::optional<TimerQueue::Key> next_key();

  absl::Time start_;
  Instant now_;
  std::uint64_t order_ = 0;
  TimerQueue timers_;
  Ring<Posted> posted_;
};

}  // namespace supercloud
