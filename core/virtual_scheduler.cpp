#include "core/virtual_scheduler.h"

#include <algorithm>
#include <utility>

namespace supercloud {

TimerId VirtualScheduler::at(Instant when, Task task) {
  if (when <= now_) return timers_.arm_now(now_, ++order_, std::move(task));
  return timers_.arm(when, ++order_, std::move(task));
}

void VirtualScheduler::post(Task task) { posted_.push({{now_, ++order_}, std::move(task)}); }

std::optional<TimerQueue::Key> VirtualScheduler::next_key() {
  std::optional<TimerQueue::Key> key = timers_.first();
  if (!posted_.empty() && (!key || posted_.front().key < *key)) key = posted_.front().key;
  return key;
}

std::optional<Instant> VirtualScheduler::next_due() {
  const std::optional<TimerQueue::Key> key = next_key();
  if (!key) return std::nullopt;
  return key->when;
}

bool VirtualScheduler::step_until(Instant when) {
  const std::optional<TimerQueue::Key> key = next_key();
  if (!key || key->when > when) return false;
  now_ = key->when;
  Task task;
  if (!posted_.empty() && posted_.front().key == *key) {
    task = std::move(posted_.pop().task);
  } else {
    task = timers_.take();
  }
  std::move(task)();
  return true;
}

void VirtualScheduler::run_until(Instant when) {
  while (step_until(when)) {
  }
  now_ = std::max(now_, when);
}

}  // namespace supercloud
