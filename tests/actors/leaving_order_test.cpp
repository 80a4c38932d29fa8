#include "actors/migration/leaving_order.h"

#include <gmock/gmock.h>

namespace supercloud {
namespace {

using testing::ElementsAre;

constexpr std::uint64_t mib = 1 << 20U;

std::vector<std::string> ordered(std::vector<LeavingGuest> guests, std::uint64_t rate = 0,
                                 Duration left = absl::InfiniteDuration()) {
  order_to_leave(guests, {.bytes_per_second = rate}, left);
  std::vector<std::string> names;
  for (const LeavingGuest& guest : guests) names.push_back(guest.vm);
  return names;
}

LeavingGuest guest(std::string vm, std::uint64_t mebibytes, std::uint64_t nano_usd_per_hour = 0) {
  return {.vm = std::move(vm),
          .bytes = mebibytes * mib,
          .downtime_nano_usd_per_hour = nano_usd_per_hour};
}

TEST(LeavingOrder, of_equals_the_smallest_leaves_first) {
  EXPECT_THAT(ordered({guest("c", 300), guest("b", 100), guest("a", 100)}),
              ElementsAre("a", "b", "c"));
}

TEST(LeavingOrder, whose_standing_still_costs_most_for_its_bytes_leaves_before_others) {
  EXPECT_THAT(ordered({guest("small", 10), guest("dear", 1000, 5'000'000'000),
                       guest("dearer", 100, 1'000'000'000)}),
              ElementsAre("dearer", "dear", "small"));
}

TEST(LeavingOrder, who_cannot_be_done_in_time_takes_the_way_from_nobody) {
  // 10 MiB/s for 30 s: 300 MiB.
  EXPECT_THAT(ordered({guest("huge", 1000, 9'000'000'000'000), guest("a", 100), guest("b", 150),
                       guest("c", 200)},
                      10 * mib, absl::Seconds(30)),
              ElementsAre("a", "b", "huge", "c"));
}

TEST(LeavingOrder, who_writes_faster_than_the_way_carries_is_never_done_in_time) {
  LeavingGuest busy = guest("busy", 10, 9'000'000'000'000);
  busy.dirty_bytes_per_second = 11 * mib;
  EXPECT_THAT(ordered({busy, guest("a", 10)}, 10 * mib, absl::Minutes(10)),
              ElementsAre("a", "busy"));
}

TEST(LeavingOrder, while_the_way_is_not_measured_all_may_be_in_time) {
  EXPECT_THAT(ordered({guest("huge", 1'000'000), guest("a", 1)}, 0, absl::Seconds(1)),
              ElementsAre("a", "huge"));
}

TEST(LeavingOrder, no_more_leave_at_once_than_converge) {
  EXPECT_TRUE(may_leave_too(0, 100 * mib, 1 * mib)) << "one always may";
  EXPECT_TRUE(may_leave_too(1, 0, 0));
  EXPECT_FALSE(may_leave_too(2, 0, 0)) << "what the way carries is not known yet";
  EXPECT_TRUE(may_leave_too(2, 50 * mib, 100 * mib));
  EXPECT_FALSE(may_leave_too(2, 51 * mib, 100 * mib));
  EXPECT_FALSE(may_leave_too(4, 0, 1000 * mib)) << "each has costs of its own";
}

}  // namespace
}  // namespace supercloud
