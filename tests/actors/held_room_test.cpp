#include "actors/migration/held_room.h"

#include "gtest/gtest.h"

namespace supercloud {
namespace {

const Instant now = Instant() + absl::Seconds(100);

TEST(HeldRoomTest, IsForTheVmThatAskedAndForSoLong) {
  HeldRoom held;
  held.hold("main/web1", {4, 10}, now + absl::Seconds(5));
  held.hold("main/web2", {2, 20}, now + absl::Seconds(9));
  EXPECT_EQ(held.for_others("main/web1", now).memory_bytes, 2U);
  EXPECT_EQ(held.for_others("main/web3", now).disk_bytes, 30U);
  EXPECT_EQ(held.for_others("main/web3", now + absl::Seconds(5)).memory_bytes, 2U);
  EXPECT_EQ(held.for_others("main/web3", now + absl::Seconds(9)).memory_bytes, 0U);
}

TEST(HeldRoomTest, IsAskedForAnew) {
  HeldRoom held;
  held.hold("main/web1", {4, 10}, now + absl::Seconds(5));
  held.hold("main/web1", {3, 0}, now + absl::Seconds(8));
  EXPECT_EQ(held.for_others("main/web2", now + absl::Seconds(6)).memory_bytes, 3U);
}

TEST(HeldRoomTest, IsTakenPartByPart) {
  HeldRoom held;
  held.hold("main/web1", {4, 10}, now + absl::Seconds(5));
  held.memory_came("main/web1");
  EXPECT_EQ(held.for_others("main/web2", now).memory_bytes, 0U);
  EXPECT_EQ(held.for_others("main/web2", now).disk_bytes, 10U);
  held.disk_came("main/web1");
  EXPECT_EQ(held.for_others("main/web2", now).disk_bytes, 0U);
}

}  // namespace
}  // namespace supercloud
