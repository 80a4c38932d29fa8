// In which order guests leave a node that is to be empty, and how many of them at once. Pure.
//
// The way out is one for all: what is sent for one guest is not sent for another. So whose standing still costs most for each byte that its
// move takes goes first, and of equals the one with the fewest bytes, which is what most of them get away by (Smith, "Various optimizers
// for single-stage production", 1956). Who cannot be done by the deadline anyway goes last, and takes the way from nobody who can.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/time.h"

namespace supercloud {

struct LeavingGuest {
  std::string vm;
  std::uint64_t bytes =
      0;  // that its move sends: memory, and the disk where the target has none of it
  std::uint64_t dirty_bytes_per_second = 0;
  std::uint64_t downtime_nano_usd_per_hour = 0;  // as its user says
};

// The way out as it is: by what was measured, and with what is on it.
struct WayOut {
  std::uint64_t bytes_per_second = 0;  // 0: not known, all may be done in time
  std::uint64_t bytes = 0;             // yet to be sent of those under way
};
void order_to_leave(std::vector<LeavingGuest>& guests, const WayOut& way, Duration time_left);

// Whether one more may leave beside those that are under way: so many at most, and only while the way carries twice what all of them write
// in the meantime, for else none of them converges. `dirty`: bytes per second, of all of them with the new one.
bool may_leave_too(std::size_t under_way, std::uint64_t dirty, std::uint64_t bytes_per_second);

}  // namespace supercloud
