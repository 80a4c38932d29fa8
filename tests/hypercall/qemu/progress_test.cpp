// When a transfer counts as converged, by what QEMU says of it.
#include "hypercall/qemu/progress.h"

#include <gtest/gtest.h>

namespace supercloud {
namespace {

constexpr std::uint64_t mebibyte = 1 << 20;
const Duration budget = absl::Milliseconds(300);

QemuMigration at(Duration time, std::uint64_t passes, std::uint64_t sent, std::uint64_t remaining) {
  QemuMigration migration;
  migration.status = "active";
  migration.time = time;
  migration.passes = passes;
  migration.total_bytes = 128 * mebibyte;
  migration.sent_bytes = sent;
  migration.remaining_bytes = remaining;
  return migration;
}

class TransferMeterTest : public testing::Test {
 protected:
  const TransferProgress& look(const QemuMigration& migration) {
    return meter_.update(migration, begun_ + migration.time);
  }
  const Instant begun_ = Instant{} + absl::Seconds(1);
  TransferMeter meter_{budget, 30};
};

TEST_F(TransferMeterTest, APassThatGoesOnHasNotConverged) {
  EXPECT_FALSE(look(at(absl::Milliseconds(1), 1, 0, 128 * mebibyte)).converged);
  EXPECT_FALSE(look(at(absl::Milliseconds(30), 1, 40 * mebibyte, 10 * mebibyte)).converged);
}

TEST_F(TransferMeterTest, AShortFirstPassConvergesAtItsEndForItLeavesNoMoreThanItSent) {
  look(at(absl::Milliseconds(1), 1, 0, 128 * mebibyte));
  EXPECT_TRUE(look(at(absl::Milliseconds(40), 1, 50 * mebibyte, 0)).converged);
}

TEST_F(TransferMeterTest, PagesOfZerosMayBeAnythingAtItsEnd) {
  look(at(absl::Milliseconds(1), 1, 0, 128 * mebibyte));
  QemuMigration migration = at(absl::Milliseconds(40), 1, 50 * mebibyte, 0);
  migration.zero_pages = 150 * mebibyte / migration.page_bytes;  // 160 ms, if they were sent
  EXPECT_TRUE(look(migration).converged);
  TransferMeter other(absl::Milliseconds(150), 30);
  EXPECT_FALSE(other.update(migration, begun_).converged);
}

TEST_F(TransferMeterTest, AFirstPassThatTookLongerThanABlackoutMayDoesNot) {
  look(at(absl::Milliseconds(1), 1, 0, 128 * mebibyte));
  EXPECT_FALSE(look(at(budget + absl::Milliseconds(1), 1, 50 * mebibyte, 0)).converged);
}

TEST_F(TransferMeterTest, WhatHasNotSentAnythingYetHasNotConverged) {
  EXPECT_FALSE(look(at(absl::ZeroDuration(), 0, 0, 0)).converged);
  EXPECT_FALSE(look(at(absl::Milliseconds(5), 1, 0, 0)).converged);
}

TEST_F(TransferMeterTest, ASecondPassConvergesWhenWhatIsLeftFitsIntoTheBlackout) {
  look(at(absl::Seconds(1), 1, 100 * mebibyte, 20 * mebibyte));
  EXPECT_FALSE(look(at(absl::Seconds(2), 2, 200 * mebibyte, 100 * mebibyte)).converged);
  EXPECT_TRUE(look(at(absl::Seconds(3), 3, 300 * mebibyte, 10 * mebibyte)).converged);
}

TEST_F(TransferMeterTest, ItConvergesByThePassesThatItMayTakeAndStaysSo) {
  for (std::uint64_t pass = 1; pass <= 30; ++pass)
    EXPECT_FALSE(
        look(at(absl::Seconds(pass), pass, pass * 100 * mebibyte, 100 * mebibyte)).converged);
  EXPECT_TRUE(look(at(absl::Seconds(31), 31, 3100 * mebibyte, 100 * mebibyte)).converged);
  EXPECT_TRUE(look(at(absl::Seconds(32), 31, 3200 * mebibyte, 100 * mebibyte)).converged);
}

}  // namespace
}  // namespace supercloud
