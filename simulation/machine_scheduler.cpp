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

TimerId MachineScheduler::add(Instant world, Task task) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(entries_.size()));
    entries_.emplace_back();
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  Entry& entry = entries_[slot];
  const TimerId id = TimerId{entry.generation} << 32U | slot;
  entry.task = std::move(task);
  entry.armed = true;
  entry.world_timer = world_.at(world, [this, id] { fire(id); });
  return id;
}

MachineScheduler::Entry* MachineScheduler::find(TimerId id) {
  const auto slot = static_cast<std::uint32_t>(id);
  if (slot >= entries_.size()) return nullptr;
  Entry& entry = entries_[slot];
  return entry.armed && entry.generation == id >> 32U ? &entry : nullptr;
}

Task MachineScheduler::release(TimerId id) {
  Entry& entry = *find(id);
  entry.armed = false;
  if (++entry.generation == 0) entry.generation = 1;  // so that no TimerId is 0
  free_.push_back(static_cast<std::uint32_t>(id));
  return std::move(entry.task);
}

TimerId MachineScheduler::at(Instant when, Task task) {
  return add(to_world(when), std::move(task));
}

void MachineScheduler::post(Task task) { add(world_.now(), std::move(task)); }

void MachineScheduler::cancel(TimerId timer) {
  Entry* const entry = find(timer);
  if (entry == nullptr) return;
  world_.cancel(entry->world_timer);
  const Task dropped = release(timer);  // what it holds may cancel others as it goes
}

void MachineScheduler::fire(TimerId id) {
  if (frozen_) {
    held_.push_back(id);
    return;
  }
  if (find(id) != nullptr) release(id)();
}

void MachineScheduler::thaw() {
  frozen_ = false;
  for (const TimerId id : std::exchange(held_, {}))
    if (Entry* const entry = find(id))
      entry->world_timer = world_.at(world_.now(), [this, id] { fire(id); });
}

void MachineScheduler::power_off() {
  frozen_ = false;
  held_.clear();
  while (free_.size() < entries_.size())
    for (std::uint32_t slot = 0; slot < entries_.size(); ++slot)
      if (entries_[slot].armed) cancel(TimerId{entries_[slot].generation} << 32U | slot);
}

}  // namespace supercloud
