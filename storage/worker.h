// The thread on which a driver's blocking calls run.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>

#include "core/scheduler.h"

namespace supercloud {

// Runs tasks one after another in the order in which they were offered. Thread-safe.
class Worker {
 public:
  explicit Worker(std::size_t queue_max);
  // Runs what was taken before, then ends the thread.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // False, and the task is not touched: the queue is full.
  [[nodiscard]] bool offer(Task& task);

 private:
  void run();

  const std::size_t queue_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> queue_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace supercloud
