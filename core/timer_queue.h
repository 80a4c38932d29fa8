// Timers in strict order of (time, order of arming): what both schedulers are made of.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/ring.h"
#include "core/scheduler.h"

namespace supercloud {

// Thread-bound. Arming and taking cost O(log n), of what is due at once O(1), as cancelling; no allocation in steady state.
class TimerQueue {
 public:
  struct Key {
    Instant when;
    std::uint64_t order = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  // `order` decides among timers of one time, and grows from call to call.
  TimerId arm(Instant when, std::uint64_t order, Task task);
  // The same where `when` is now: not before that of any other that was armed so.
  TimerId arm_now(Instant when, std::uint64_t order, Task task);
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
    TimerId id() const { return (TimerId{generation} << 32U) | slot; }
  };
  static bool later(const Entry& a, const Entry& b) { return a.key > b.key; }
  bool live(const Entry& entry) const {
    return slots_[entry.slot].armed && slots_[entry.slot].generation == entry.generation;
  }
  Entry entry(Instant when, std::uint64_t order, Task task);
  void drop_cancelled();
  // Whether the first of all is one that was due at once. There is a first.
  bool at_once_first() {
    if (at_once_.empty() || heap_.empty()) return heap_.empty();
    return at_once_.front().key < heap_.front().key;
  }
  void release(std::uint32_t index);

  // may hold cancelled entries; never at the top when first() has returned
  std::vector<Entry> heap_;
  Ring<Entry> at_once_;  // the same, in their order
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::size_t live_ = 0;
};

}  // namespace supercloud
