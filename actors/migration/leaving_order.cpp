#include "actors/migration/leaving_order.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace supercloud {
namespace {

constexpr std::size_t at_once_max = 4;
constexpr std::size_t at_once_unmeasured = 2;

// What each byte of its move saves of the loss; comparable between guests only.
double worth(const LeavingGuest& guest) {
  return static_cast<double>(guest.downtime_nano_usd_per_hour) /
         static_cast<double>(std::max<std::uint64_t>(guest.bytes, 1));
}

}  // namespace

void order_to_leave(std::vector<LeavingGuest>& guests, const WayOut& way, Duration time_left) {
  std::ranges::sort(guests, [](const LeavingGuest& a, const LeavingGuest& b) {
    return std::forward_as_tuple(-worth(a), a.bytes, a.vm) <
           std::forward_as_tuple(-worth(b), b.bytes, b.vm);
  });
  if (way.bytes_per_second == 0) return;
  const auto rate = static_cast<double>(way.bytes_per_second);
  Duration begins = absl::Seconds(static_cast<double>(way.bytes) / rate);
  std::vector<LeavingGuest> in_time, late;
  for (LeavingGuest& guest : guests) {
    const double net = rate - static_cast<double>(guest.dirty_bytes_per_second);
    const Duration takes =
        net <= 0 ? absl::InfiniteDuration() : absl::Seconds(static_cast<double>(guest.bytes) / net);
    const bool fits = begins + takes <= time_left;
    if (fits) begins += takes;
    (fits ? in_time : late).push_back(std::move(guest));
  }
  guests = std::move(in_time);
  std::ranges::move(late, std::back_inserter(guests));
}

bool may_leave_too(std::size_t under_way, std::uint64_t dirty, std::uint64_t bytes_per_second) {
  if (under_way == 0) return true;
  if (bytes_per_second == 0) return under_way < at_once_unmeasured;
  return under_way < at_once_max && dirty <= bytes_per_second / 2;
}

}  // namespace supercloud
