// A disk that is full or fails: a clear answer, nothing lost, and on it goes when there is space again.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/rocks_event_log.h"
#include "storage/rocks_lease_table.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/faulty_file_system.h"
#include "tests/storage/stored_events.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

struct Trouble {
  std::string name;
  void (*begin)(DiskFaults& faults);
  absl::StatusCode code;  // with which an append is answered
};

void end(DiskFaults& faults) { faults.full = faults.torn = faults.sync_fails = false; }

class FailingDisk : public testing::TestWithParam<Trouble> {
 protected:
  std::unique_ptr<RocksEventLog> open_log() {
    auto opened = RocksEventLog::open(
        scheduler_, pool_, {.path = folder_ / "log", .node = "node-a", .env = disk_.env.get()});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  absl::Status append(EventLog& log, std::uint64_t sequence) {
    return scheduler_
        .wait<Done>(
            [&](Reply<Done> reply) {
              log.append({stored_event(pool_, sequence)}, std::nullopt, std::move(reply));
            },
            true)
        .status();
  }
  std::vector<std::uint64_t> sequences(EventLog& log) {
    auto page = scheduler_.wait<LogPage>(
        [&](Reply<LogPage> reply) { log.read(0, Pattern::of(">"), 100, std::move(reply)); }, true);
    EXPECT_TRUE(page.ok()) << page.status();
    std::vector<std::uint64_t> found;
    if (page.ok()) {
      for (const Event& event : page->events) found.push_back(event.sequence());
    }
    return found;
  }

  TemporaryFolder folder_;
  FaultyDisk disk_;
  DrivenScheduler scheduler_;
  EventPool pool_;
};

INSTANTIATE_TEST_SUITE_P(
    That, FailingDisk,
    testing::Values(Trouble{"is_full", [](DiskFaults& faults) { faults.full = true; },
                            absl::StatusCode::kResourceExhausted},
                    Trouble{"is_full_in_the_middle_of_a_write",
                            [](DiskFaults& faults) { faults.torn = faults.full = true; },
                            absl::StatusCode::kResourceExhausted},
                    Trouble{"does_not_sync", [](DiskFaults& faults) { faults.sync_fails = true; },
                            absl::StatusCode::kUnavailable}),
    [](const auto& trouble) { return trouble.param.name; });

using Sequences = std::vector<std::uint64_t>;

TEST_P(FailingDisk, refuses_appends_clearly_keeps_what_it_had_and_goes_on_later) {
  auto log = open_log();
  ASSERT_NE(log, nullptr);
  ASSERT_TRUE(append(*log, 1).ok());
  GetParam().begin(*disk_.faults);
  for (int tries = 0; tries < 3; ++tries) {
    const absl::Status refused = append(*log, 2);
    EXPECT_EQ(refused.code(), GetParam().code) << refused;
    EXPECT_NE(refused.message().find(folder_.path()), std::string::npos) << refused;
    EXPECT_EQ(sequences(*log), Sequences{1}) << "what is there can still be read";
  }
  end(*disk_.faults);
  ASSERT_TRUE(append(*log, 3).ok());
  EXPECT_EQ(sequences(*log), (Sequences{1, 3})) << "a refused append is not in the log";
  EXPECT_EQ(log->origin("node-a/executor").tails[0].second, 3U);
  log.reset();
  log = open_log();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(sequences(*log), (Sequences{1, 3}));
  EXPECT_EQ(log->origin("node-a/executor").tails[0].second, 3U);
}

TEST_P(FailingDisk, loses_nothing_when_the_process_ends_meanwhile) {
  auto log = open_log();
  ASSERT_NE(log, nullptr);
  ASSERT_TRUE(append(*log, 1).ok());
  GetParam().begin(*disk_.faults);
  ASSERT_FALSE(append(*log, 2).ok());
  log.reset();
  end(*disk_.faults);
  log = open_log();
  ASSERT_NE(log, nullptr);
  const Sequences found = sequences(*log);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0], 1U);
  ASSERT_TRUE(append(*log, 3).ok());
  EXPECT_EQ(sequences(*log).back(), 3U);
}

TEST_P(FailingDisk, refuses_to_make_a_log_and_makes_it_later) {
  GetParam().begin(*disk_.faults);
  auto refused = RocksEventLog::open(
      scheduler_, pool_, {.path = folder_ / "log", .node = "node-a", .env = disk_.env.get()});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), GetParam().code) << refused.status();
  end(*disk_.faults);
  EXPECT_NE(open_log(), nullptr);
}

TEST_P(FailingDisk, leaves_a_lease_table_that_says_unknown_and_recovers) {
  auto opened =
      open_rocks_lease_table(scheduler_, {.path = folder_ / "leases", .env = disk_.env.get()});
  ASSERT_TRUE(opened.ok()) << opened.status();
  LeaseTable& table = **opened;
  const auto session = scheduler_.wait<Session>(
      [&](Reply<Session> reply) { table.open_session({"a", "disk"}, std::move(reply)); }, true);
  ASSERT_TRUE(session.ok()) << session.status();
  const Swap define{
      .key = "vm/main/web1", .kind = SwapKind::DEFINE, .session = session->id, .swap_id = "first"};
  const auto swap = [&] {
    return scheduler_.wait<SwapResult>(
        [&](Reply<SwapResult> reply) { table.swap(define, std::move(reply)); }, true);
  };
  GetParam().begin(*disk_.faults);
  const auto unknown = swap();
  EXPECT_TRUE(absl::IsUnavailable(unknown.status())) << unknown.status();
  EXPECT_FALSE(swap().ok()) << "the next one finds the disk no better";
  end(*disk_.faults);
  const auto again = swap();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->won) << again->why;
  EXPECT_EQ(again->record->epoch, 1U);
  const auto renewed = scheduler_.wait<Done>(
      [&](Reply<Done> reply) { table.renew(session->id, std::move(reply)); }, true);
  EXPECT_TRUE(renewed.ok()) << renewed.status();
}

TEST_P(FailingDisk, what_was_refused_does_not_come_back_behind_what_follows) {
  auto log = open_log();
  ASSERT_NE(log, nullptr);
  ASSERT_TRUE(append(*log, 1).ok());
  GetParam().begin(*disk_.faults);
  for (int tries = 0; tries < 2; ++tries) {  // each reopens the log, and gets half-way
    const auto refused = scheduler_.wait<Done>(
        [&](Reply<Done> reply) {
          log->append({stored_event(pool_, 2), stored_event(pool_, 3), stored_event(pool_, 4)},
                      std::nullopt, std::move(reply));
        },
        true);
    ASSERT_FALSE(refused.ok());
  }
  end(*disk_.faults);
  ASSERT_TRUE(append(*log, 5).ok());
  EXPECT_EQ(sequences(*log), (Sequences{1, 5}));
  log.reset();
  log = open_log();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(sequences(*log), (Sequences{1, 5}));
  ASSERT_TRUE(append(*log, 6).ok());
  EXPECT_EQ(sequences(*log), (Sequences{1, 5, 6}));
}

TEST_P(FailingDisk, what_was_refused_is_taken_back_at_last_also_when_that_fails_at_first) {
  auto log = open_log();
  ASSERT_NE(log, nullptr);
  ASSERT_TRUE(append(*log, 1).ok());
  disk_.faults->sync_fails = true;
  const auto refused = scheduler_.wait<Done>(
      [&](Reply<Done> reply) {
        std::vector<Event> events;
        for (std::uint64_t i = 2; i <= 6; ++i) events.push_back(stored_event(pool_, i));
        log->append(std::move(events), std::nullopt, std::move(reply));
      },
      true);
  ASSERT_FALSE(refused.ok());
  disk_.faults->sync_fails = false;
  for (int syncs = 0; syncs < 12; ++syncs) {  // wherever in the reopening and taking back it is
    disk_.faults->syncs_left = syncs;
    if (append(*log, 7).ok()) break;
  }
  disk_.faults->syncs_left = -1;
  // What RocksDB began under the failing disk may fail one more append before it goes on by itself.
  bool goes_on = false;
  for (int tries = 0; tries < 20 && !goes_on; ++tries) goes_on = append(*log, 8).ok();
  ASSERT_TRUE(goes_on);
  const Sequences found = sequences(*log);
  EXPECT_TRUE(found == (Sequences{1, 8}) || found == (Sequences{1, 7, 8})) << found.size();
  log.reset();
  log = open_log();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(sequences(*log), found);
}

}  // namespace
}  // namespace supercloud
