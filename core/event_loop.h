// The live scheduler: one thread, epoll, a timer descriptor on CLOCK_BOOTTIME and an eventfd for other threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/ring.h"
#include "core/scheduler.h"
#include "core/timer_queue.h"

namespace supercloud {

// CLOCK_BOOTTIME, which runs on while the machine sleeps, and CLOCK_REALTIME. Thread-safe.
class LiveClock final : public Clock {
 public:
  Instant now() const override;
  absl::Time wall() const override;
};

// Thread-bound to the thread that calls run(), and before that to the one that made it; post() and stop() are thread-safe.
class EventLoop final : public Scheduler {
 public:
  // Tasks that may wait in post(). A thread that posts more waits for room: back-pressure for drivers. The loop's own
  // thread never waits; its tasks are bounded by what bounds its actors.
  static constexpr std::size_t posted_max = 65536;

  EventLoop();  // aborts when the kernel grants no descriptors
  ~EventLoop() override;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  const Clock& clock() const override { return clock_; }
  TimerId at(Instant when, Task task) override;
  void cancel(TimerId timer) override { timers_.cancel(timer); }
  void post(Task task) override;

  // Runs `task` once the task, timer or descriptor under way is done with, before the next one begins; outside of run(), when that goes on. For
  // what several calls within one turn can share. Of the loop's own thread only.
  void at_turn_end(Task task) { turn_end_.push_back(std::move(task)); }

  // `ready` runs with the epoll events (EPOLLIN, EPOLLOUT, ...; EPOLLERR and EPOLLHUP always) whenever one of `events` holds:
  // level-triggered. The descriptor stays the caller's, who unwatches it before closing it.
  using Ready = absl::AnyInvocable<void(std::uint32_t events)>;
  absl::Status watch_fd(int fd, std::uint32_t events, Ready ready);
  // What is waited for from now on; 0: errors only.
  void change_fd(int fd, std::uint32_t events);
  // No call of `ready` begins after this, not even for what is ready already.
  void unwatch_fd(int fd);

  // Runs until stop().
  void run();
  // The loop ends after the task under way, for good, also when run() comes later; threads that wait in post() go on, their task dropped.
  void stop();
  // Runs until `done` holds, looking after every round of tasks; false when `limit` has passed before.
  bool run_until(absl::FunctionRef<bool()> done, Duration limit);

 private:
  struct Watch {
    std::uint64_t id = 0;
    std::uint32_t events = 0;
    Ready ready;
  };

  bool work();
  bool run_posted();
  void run_due();
  void end_turn();
  void arm_timerfd();
  void wait(bool block);
  void on_ready(std::uint64_t id, std::uint32_t events);
  void wake() const;

  LiveClock clock_;
  int epoll_fd_ = -1;
  int timer_fd_ = -1;
  int event_fd_ = -1;
  TimerQueue timers_;
  std::uint64_t timer_order_ = 0;
  std::optional<Instant> timer_fd_at_;  // what timer_fd_ is set to
  std::map<int, std::shared_ptr<Watch>> watches_;
  std::map<std::uint64_t, std::shared_ptr<Watch>> watches_by_id_;
  std::uint64_t last_watch_ = 0;

  std::atomic<bool> stopping_ = false;
  std::atomic<std::thread::id> thread_;
  std::mutex mutex_;
  std::condition_variable room_;
  Ring<Task> posted_;   // guarded by mutex_
  Ring<Task> running_;  // taken from posted_, of this round
  std::vector<Task> turn_end_;
  std::vector<Task> ending_;  // taken from turn_end_
};

}  // namespace supercloud
