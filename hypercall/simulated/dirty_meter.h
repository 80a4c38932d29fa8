// How a simulated guest dirties its memory: what it wrote in each of the last seconds of its execution here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/time.h"
#include "hypercall/hypervisor.h"

namespace supercloud {

inline constexpr std::uint64_t second_ns = 1'000'000'000;

// Thread-bound. Its seconds are those of execution: a guest that was paused for a while does not count as idle for it.
class DirtyMeter {
 public:
  explicit DirtyMeter(std::size_t pages) : last_written_(pages) {}

  void executed(Duration span);
  void wrote(std::size_t page);
  // Each page of the model stands for `page_bytes` of guest memory.
  DirtyRate rate(std::uint64_t page_bytes) const;

 private:
  std::uint64_t second() const { return 1 + executed_ns_ / second_ns; }  // the one under way
  std::uint64_t first_that_counts() const;

  std::uint64_t executed_ns_ = 0;
  std::array<std::uint64_t, dirty_rate_seconds> dirtied_{};  // pages, by second modulo the window
  std::vector<std::uint64_t> last_written_;                  // in which second, by page; 0: not yet
};

}  // namespace supercloud
