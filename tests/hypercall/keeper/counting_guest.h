// A guest whose execution can be watched from outside: what counting_guest.cpp writes into a file that it maps.
#pragma once

#include <atomic>
#include <cstdint>

namespace supercloud {

// Of one process or thread.
struct CountedThread {
  std::atomic<std::int32_t> process;
  std::atomic<std::uint64_t> count;   // about four a millisecond, while it executes
  std::atomic<std::int64_t> last_ns;  // CLOCK_BOOTTIME of the last
};

struct CountingPage {
  static constexpr int threads_max = 8;
  CountedThread thread[threads_max];
  std::atomic<int> threads;          // that have begun
  std::atomic<std::uint64_t> bytes;  // that came in on the guest's FIFO, if it has one
};

}  // namespace supercloud
