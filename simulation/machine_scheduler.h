// One machine's view of the world's time: its clock drifts, and the machine can be frozen as a whole or lose its power.
#pragma once

#include <cstdint>
#include <vector>

#include "core/scheduler.h"
#include "core/virtual_scheduler.h"

namespace supercloud {

// Thread-bound. The world outlives it.
class MachineScheduler final : public Scheduler, public Clock {
 public:
  // `drift_ppm`: how much faster than true time its clock runs, in parts per million; `wall_offset`: how far ahead it stands.
  MachineScheduler(VirtualScheduler& world, std::int64_t drift_ppm, Duration wall_offset);
  ~MachineScheduler() override;

  const Clock& clock() const override { return *this; }
  TimerId at(Instant when, Task task) override;
  void cancel(TimerId timer) override;
  void post(Task task) override;

  // CLOCK_BOOTTIME: goes on while the machine is frozen.
  Instant now() const override;
  absl::Time wall() const override;

  // Nothing runs; what becomes due meanwhile runs at the thaw, in its order.
  void freeze() { frozen_ = true; }
  void thaw();
  bool frozen() const { return frozen_; }
  // Everything that was armed is forgotten.
  void power_off();

 private:
  struct Entry {
    Task task;
    TimerId world_timer = 0;
    std::uint32_t generation = 1;  // grows as it is used again
    bool armed = false;
  };
  // The slot in the lower half, its generation in the upper.
  TimerId add(Instant world, Task task);
  Entry* find(TimerId id);  // null: fired, or cancelled
  Task release(TimerId id);
  void fire(TimerId id);
  std::int64_t to_local(std::int64_t world_ns) const;
  Instant to_world(Instant local) const;

  VirtualScheduler& world_;
  const std::int64_t drift_ppm_;
  const Duration wall_offset_;
  bool frozen_ = false;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> free_;
  std::vector<TimerId> held_;
};

}  // namespace supercloud
