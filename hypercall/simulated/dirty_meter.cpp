#include "hypercall/simulated/dirty_meter.h"

#include <algorithm>

#include "hypercall/simulated/guest_memory.h"

namespace supercloud {
void DirtyMeter::executed(Duration span) {
  const std::uint64_t before = second();
  executed_ns_ += static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(span));
  const std::uint64_t begun = std::min<std::uint64_t>(second() - before, dirtied_.size());
  for (std::uint64_t i = 0; i < begun; ++i) dirtied_[(second() - i) % dirtied_.size()] = 0;
}

// A page that is written twice in a second is dirty once.
void DirtyMeter::wrote(std::size_t page) {
  if (last_written_[page] == second()) return;
  last_written_[page] = second();
  ++dirtied_[second() % dirtied_.size()];
}

std::uint64_t DirtyMeter::first_that_counts() const {
  return second() <= dirtied_.size() ? 1 : second() - dirtied_.size() + 1;
}

DirtyRate DirtyMeter::rate(std::uint64_t page_bytes) const {
  const std::uint64_t span_ns = executed_ns_ - (first_that_counts() - 1) * second_ns;
  if (span_ns == 0) return {};
  std::uint64_t dirtied = 0;
  for (const std::uint64_t pages : dirtied_) dirtied += pages;
  const auto written = static_cast<std::uint64_t>(std::ranges::count_if(
      last_written_,
      [this](std::uint64_t second_of_page) { return second_of_page >= first_that_counts(); }));
  // In milliseconds, so that the product stays within 64 bits for every memory below a petabyte.
  const std::uint64_t span_ms = std::max<std::uint64_t>(span_ns / 1'000'000, 1);
  const std::uint64_t guest_pages = page_bytes / guest_page_bytes;
  return {.pages_per_second = dirtied * guest_pages * 1000 / span_ms,
          .working_set_pages = written * guest_pages};
}

}  // namespace supercloud
