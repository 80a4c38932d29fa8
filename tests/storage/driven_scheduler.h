// Virtual time that a test moves, for seams whose blocking work posts from a thread of its own as well.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/reply.h"
#include "core/virtual_scheduler.h"

namespace supercloud {

class DrivenScheduler final : public Scheduler {
 public:
  const Clock& clock() const override { return time_.clock(); }
  TimerId at(Instant when, Task task) override { return time_.at(when, std::move(task)); }
  void cancel(TimerId timer) override { time_.cancel(timer); }
  void post(Task task) override {
    if (std::this_thread::get_id() == thread_) {
      time_.post(std::move(task));
      return;
    }
    const std::lock_guard lock(mutex_);
    foreign_.push_back(std::move(task));
    arrived_.notify_one();
  }

  Instant now() const { return time_.now(); }
  void run_until(Instant when) {
    take_foreign();
    time_.run_until(when);
  }
  void run_for(Duration span) { run_until(now() + span); }

  // Runs what is due now and what other threads post. Only when `others` says that none of them owes anything, time moves on to
  // the next timer. False: nothing more comes, or not in time.
  bool drive(absl::FunctionRef<bool()> done, bool others) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (int steps = 0; steps < 1'000'000; ++steps) {
      take_foreign();
      if (done()) return true;
      const std::optional<Instant> due = time_.next_due();
      if (due && *due <= now()) {
        time_.step();
      } else if (others) {
        std::unique_lock lock(mutex_);
        if (!arrived_.wait_until(lock, limit, [this] { return !foreign_.empty(); })) return false;
      } else if (!time_.step()) {
        return false;
      }
    }
    return false;
  }

  // The value with which `start` calls its reply.
  template <class T>
  absl::StatusOr<T> wait(absl::FunctionRef<void(Reply<T>)> start, bool others,
                         Duration deadline = absl::Seconds(30)) {
    auto value = std::make_shared<std::optional<absl::StatusOr<T>>>();
    start(Reply<T>(now() + deadline,
                   [value](absl::StatusOr<T> answer) { value->emplace(std::move(answer)); }));
    if (!drive([&] { return value->has_value(); }, others)) {
      ADD_FAILURE() << "no answer came";
      return absl::InternalError("no answer came");
    }
    return *std::move(*value);
  }

 private:
  void take_foreign() {
    std::deque<Task> tasks;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(foreign_);
    }
    for (Task& task : tasks) time_.post(std::move(task));
  }

  VirtualScheduler time_;
  const std::thread::id thread_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Task> foreign_;  // guarded by mutex_
};

}  // namespace supercloud
