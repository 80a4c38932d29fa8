// Timers in strict order of (time, order of arming): what both schedulers are made of.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/scheduler.h"

namespace supercloud {

// Thread-bound. Arming and taking cost O(log n), cancelling O(1); no allocation in steady state.
class TimerQueue {
 public:
  struct Key {
    Instant when;
    std::uint64_t order = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  // `order` decides among timers of one time, and grows from call to call.
  TimerId arm(Instant when, std::uint64_t order, Task task);
  void cancel(TimerId timer);

  // The first timer's key; nullopt when there is none.
  std::optional<Key> first();
  // Removes the first timer, which must exist, and yields its task.
  Task take();

  std::size_t size() const { return live_; }

 private:
  struct Slot {
    Task task;
    std::uint32_t generation = 1;
    bool armed = false;
  };
  struct Entry {
    Key key;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
  };
  static bool later(const Entry& a, const Entry& b) { return a.key > b.key; }
  bool live(const Entry& entry) const {
    return slots_[entry.slot].armed && slots_[entry.slot].generation == entry.generation;
  }
  void drop_cancelled();
  void release(std::uint32_t index);

  // may hold cancelled entries; never at the top when first() has returned
  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::size_t live_ = 0;
};

}  // namespace supercloud
