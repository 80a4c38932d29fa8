// The simulated lease table's disk and network: crashes between sync and answer, outages, lost replies, failing syncs.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "storage/simulated/memory_lease_table.h"
#include "tests/storage/driven_scheduler.h"

namespace supercloud {
namespace {

constexpr Duration latency = absl::Milliseconds(1);

class SimulatedLeaseTable : public testing::Test {
 protected:
  void SetUp() override {
    start();
    session_ = scheduler_
                   .wait<Session>(
                       [&](Reply<Session> reply) {
                         table_->open_session({"a", "disk"}, std::move(reply));
                       },
                       false)
                   ->id;
  }
  void start() {
    table_.reset();
    table_ = std::make_unique<MemoryLeaseTable>(scheduler_, disk_,
                                                MemoryLeaseTableOptions{.sync_latency = latency});
  }
  void define(std::optional<absl::StatusOr<SwapResult>>& answer, const std::string& id = "first") {
    table_->swap(
        {.key = "vm/main/web1", .kind = SwapKind::DEFINE, .session = session_, .swap_id = id},
        Reply<SwapResult>(far_future,
                          [&](absl::StatusOr<SwapResult> result) { answer = std::move(result); }));
  }
  absl::StatusOr<LeaseRecord> read() {
    return scheduler_.wait<LeaseRecord>(
        [&](Reply<LeaseRecord> reply) { table_->read("vm/main/web1", std::move(reply)); }, false);
  }

  DrivenScheduler scheduler_;
  MemoryLeaseDisk disk_;
  std::unique_ptr<MemoryLeaseTable> table_;
  SessionId session_;
  std::optional<absl::StatusOr<SwapResult>> answer_;
};

TEST_F(SimulatedLeaseTable, answers_only_after_the_sync) {
  define(answer_);
  scheduler_.run_for(latency - absl::Nanoseconds(1));
  EXPECT_FALSE(answer_.has_value());
  EXPECT_TRUE(disk_.contents.leases.empty());
  scheduler_.run_for(absl::Nanoseconds(1));
  ASSERT_TRUE(answer_.has_value() && answer_->ok());
  EXPECT_TRUE((*answer_)->won);
  EXPECT_EQ(disk_.contents.leases.size(), 1U);
}

TEST_F(SimulatedLeaseTable, shows_no_reader_what_is_not_synced) {
  define(answer_);
  scheduler_.run_for(absl::Microseconds(500));
  const Instant asked = scheduler_.now();
  ASSERT_TRUE(read().ok());
  EXPECT_GE(scheduler_.now() - asked, absl::Microseconds(500)) << "it waited for the sync";
}

TEST_F(SimulatedLeaseTable, loses_in_a_crash_what_was_not_synced) {
  define(answer_);
  scheduler_.run_for(absl::Microseconds(500));
  start();
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_FALSE(answer_.has_value());
  EXPECT_TRUE(absl::IsNotFound(read().status()));
  define(answer_);
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_TRUE(answer_.has_value() && answer_->ok() && (*answer_)->won)
      << "its session was on stable storage";
}

TEST_F(SimulatedLeaseTable, tells_after_a_crash_what_became_of_a_swap_that_was_not_answered) {
  define(answer_);
  scheduler_.run_for(absl::Microseconds(500));
  table_->finish_sync();
  start();
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_FALSE(answer_.has_value());
  EXPECT_EQ(read()->swap_id, "first");
  define(answer_);
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_TRUE(answer_.has_value() && (*answer_)->won) << "a repeat";
  EXPECT_EQ(read()->revision, 1U);
}

TEST_F(SimulatedLeaseTable, applies_a_swap_whose_reply_is_lost) {
  table_->lose_replies(1);
  define(answer_);
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_FALSE(answer_.has_value());
  define(answer_);
  scheduler_.run_for(absl::Seconds(1));
  ASSERT_TRUE(answer_.has_value() && answer_->ok());
  EXPECT_TRUE((*answer_)->won);
  EXPECT_EQ((*answer_)->record->revision, 1U);
}

TEST_F(SimulatedLeaseTable, changes_nothing_in_an_outage_but_time_goes_on) {
  table_->set_outage(true);
  define(answer_);
  scheduler_.run_for(absl::Seconds(1));
  ASSERT_TRUE(answer_.has_value());
  EXPECT_TRUE(absl::IsUnavailable(answer_->status()));
  scheduler_.run_for(absl::Seconds(10));
  table_->set_outage(false);
  define(answer_);
  scheduler_.run_for(absl::Seconds(1));
  ASSERT_TRUE(answer_->ok());
  EXPECT_FALSE((*answer_)->won) << "the session has ended meanwhile";
}

TEST_F(SimulatedLeaseTable, says_unknown_when_a_sync_fails_and_then_tells_the_truth) {
  for (const std::string id : {"first", "second"}) {
    disk_.contents.leases.clear();
    start();
    // an odd one leaves its changes behind, an even one does not
    table_->fail_syncs(id == "first" ? 1 : 2);
    define(answer_, id);
    scheduler_.run_for(absl::Seconds(1));
    ASSERT_TRUE(answer_.has_value());
    EXPECT_TRUE(absl::IsUnavailable(answer_->status())) << answer_->status();
    EXPECT_EQ(read().ok(), disk_.contents.leases.size() == 1);
    EXPECT_EQ(read().ok(), id == "first");
  }
}

TEST_F(SimulatedLeaseTable, takes_no_more_calls_than_may_wait) {
  MemoryLeaseTable small(scheduler_, disk_, {.table = {.waiting_max = 2}, .sync_latency = latency});
  int refused = 0;
  for (int i = 0; i < 5; ++i) {
    small.renew(session_, Reply<Done>(far_future, [&](absl::StatusOr<Done> done) {
                  if (absl::IsResourceExhausted(done.status())) ++refused;
                }));
  }
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_EQ(refused, 3);
}

TEST_F(SimulatedLeaseTable, counts_a_renewal_from_its_receipt_however_long_the_disk_takes) {
  // A swap that holds the disk from 9.9999 s to 10.0009 s, and a renewal received at 9.99995 s.
  scheduler_.run_until(Instant{0} + absl::Seconds(10) - absl::Microseconds(100));
  define(answer_);
  scheduler_.run_for(absl::Microseconds(50));
  std::optional<absl::Status> renewed;
  table_->renew(session_, Reply<Done>(far_future,
                                      [&](absl::StatusOr<Done> done) { renewed = done.status(); }));
  scheduler_.run_for(absl::Seconds(1));
  ASSERT_TRUE(renewed.has_value());
  EXPECT_TRUE(renewed->ok()) << *renewed;
}

}  // namespace
}  // namespace supercloud
