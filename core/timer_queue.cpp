#include "core/timer_queue.h"

#include <algorithm>
#include <utility>

namespace supercloud {

TimerQueue::Entry TimerQueue::entry(Instant when, std::uint64_t order, Task task) {
  std::uint32_t index = 0;
  if (free_.empty()) {
    index = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.task = std::move(task);
  slot.armed = true;
  ++live_;
  return {{when, order}, index, slot.generation};
}

TimerId TimerQueue::arm(Instant when, std::uint64_t order, Task task) {
  const Entry added = entry(when, order, std::move(task));
  heap_.push_back(added);
  std::push_heap(heap_.begin(), heap_.end(), later);
  return added.id();
}

TimerId TimerQueue::arm_now(Instant when, std::uint64_t order, Task task) {
  const Entry added = entry(when, order, std::move(task));
  at_once_.push(added);
  return added.id();
}

void TimerQueue::cancel(TimerId timer) {
  const auto index = static_cast<std::uint32_t>(timer);
  if (timer == 0 || index >= slots_.size()) return;
  Slot& slot = slots_[index];
  if (!slot.armed || slot.generation != timer >> 32U) return;
  const Task dropped = std::move(slot.task);  // its destructor may arm or cancel: run it last
  release(index);
  // Cancelled entries leave the heap when they reach its top; many of them at once are swept out before they fill it.
  if (heap_.size() > 64 && heap_.size() > 4 * live_) {
    std::erase_if(heap_, [this](const Entry& entry) { return !live(entry); });
    std::make_heap(heap_.begin(), heap_.end(), later);
  }
}

std::optional<TimerQueue::Key> TimerQueue::first() {
  drop_cancelled();
  if (heap_.empty() && at_once_.empty()) return std::nullopt;
  return at_once_first() ? at_once_.front().key : heap_.front().key;
}

Task TimerQueue::take() {
  drop_cancelled();
  std::uint32_t index = 0;
  if (at_once_first()) {
    index = at_once_.pop().slot;
  } else {
    index = heap_.front().slot;
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }
  Task task = std::move(slots_[index].task);
  release(index);
  return task;
}

void TimerQueue::drop_cancelled() {
  while (!at_once_.empty() && !live(at_once_.front())) at_once_.pop();
  while (!heap_.empty() && !live(heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }
}

void TimerQueue::release(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.armed = false;
  if (++slot.generation == 0) slot.generation = 1;  // so that no TimerId is 0
  free_.push_back(index);
  --live_;
}

}  // namespace supercloud
