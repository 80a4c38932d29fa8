#include "simulation/machine_scheduler.h"

#include <utility>

namespace supercloud {

MachineScheduler::MachineScheduler(VirtualScheduler& world, std::int64_t drift_ppm,
                                   Duration wall_offset)
    : world_(world), drift_ppm_(drift_ppm), wall_offset_(wall_offset) {}

MachineScheduler::~MachineScheduler() { power_off(); }

std::int64_t MachineScheduler::to_local(std::int64_t world_ns) const {
  return world_ns + world_ns / 1'000'000 * drift_ppm_ +
         world_ns % 1'000'000 * drift_ppm_ / 1'000'000;
}

// The earliest world time at which this clock shows `local`.
Instant MachineScheduler::to_world(Instant local) const {
  if (local.ns >= far_future.ns / 2) return far_future;
  std::int64_t world = local.ns - local.ns / (1'000'000 + drift_ppm_) * drift_ppm_;
  while (to_local(world) > local.ns) world -= (to_local(world) - local.ns) / 2 + 1;
  while (to_local(world) < local.ns) world += (local.ns - to_local(world)) / 2 + 1;
  return {world};
}

Instant MachineScheduler::now() const { return {to_local(world_.now().ns)}; }

absl::Time MachineScheduler::wall() const {
  return world_.wall() + wall_offset_ +
         absl::Nanoseconds(to_local(world_.now().ns) - world_.now().ns);
}

TimerId MachineScheduler::add(Task task) {
  const TimerId id = next_++;
  entries_.emplace(id, Entry{.task = std::move(task)});
  return id;
}

TimerId MachineScheduler::at(Instant when, Task task) {
  const TimerId id = add(std::move(task));
  entries_[id].world_timer = world_.at(to_world(when), [this, id] { fire(id); });
  return id;
}

void MachineScheduler::post(Task task) {
  const TimerId id = add(std::move(task));
  entries_[id].world_timer = world_.at(world_.now(), [this, id] { fire(id); });
}

void MachineScheduler::cancel(TimerId timer) {
  const auto entry = entries_.find(timer);
  if (entry == entries_.end()) return;
  world_.cancel(entry->second.world_timer);
  const Entry dropped = std::move(entry->second);  // what it holds may cancel others as it goes
  entries_.erase(entry);
}

void MachineScheduler::fire(TimerId id) {
  if (frozen_) {
    held_.push_back(id);
    return;
  }
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  Task task = std::move(entry->second.task);
  entries_.erase(entry);
  std::move(task)();
}

void MachineScheduler::thaw() {
  frozen_ = false;
  for (const TimerId id : std::exchange(held_, {})) {
    const auto entry = entries_.find(id);
    if (entry != entries_.end())
      entry->second.world_timer = world_.at(world_.now(), [this, id] { fire(id); });
  }
}

void MachineScheduler::power_off() {
  frozen_ = false;
  held_.clear();
  while (!entries_.empty()) cancel(entries_.begin()->first);
}

}  // namespace supercloud
