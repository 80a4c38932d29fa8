// What every event log promises, over memory and RocksDB.
#include "core/event_log.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/simulated/memory_event_log.h"
#include "tests/storage/every_event_log.h"

namespace supercloud {
namespace {

INSTANTIATE_TEST_SUITE_P(Over, EveryEventLog, log_harnesses,
                         [](const auto& kind) { return kind.param.name; });

TEST_P(EveryEventLog, is_empty_at_first) {
  const LogPage page = read(0);
  EXPECT_TRUE(page.events.empty());
  EXPECT_TRUE(page.end);
  EXPECT_EQ(on().log().origin("node-a/executor").incarnation, 0U);
}

TEST_P(EveryEventLog, gives_back_the_very_bytes_in_order_also_after_a_restart) {
  const Event first = event(1);
  const Event second = event(2, "web2");
  ASSERT_TRUE(append({first, second}).ok());
  ASSERT_TRUE(append({event(3)}).ok());
  for (int run = 0; run < 2; ++run) {
    const LogPage page = read(0);
    EXPECT_EQ(sequences(page), (Sequences{1, 2, 3}));
    EXPECT_TRUE(page.end);
    EXPECT_EQ(bytes_of(page.events[0]), bytes_of(first));
    EXPECT_EQ(bytes_of(page.events[1]), bytes_of(second));
    on().restart();
  }
}

TEST_P(EveryEventLog, reads_in_pages) {
  std::vector<Event> events;
  for (std::uint64_t i = 1; i <= 10; ++i) events.push_back(event(i));
  ASSERT_TRUE(append(std::move(events)).ok());
  Sequences found;
  std::uint64_t from = 0;
  for (int pages = 1;; ++pages) {
    const LogPage page = read(from, ">", 4);
    for (const std::uint64_t sequence : sequences(page)) found.push_back(sequence);
    EXPECT_LE(page.events.size(), 4U);
    EXPECT_EQ(page.end, pages == 3);
    from = page.next;
    if (page.end) break;
  }
  EXPECT_EQ(found, (Sequences{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  ASSERT_TRUE(append({event(11)}).ok());
  EXPECT_EQ(sequences(read(from)), Sequences{11}) << "goes on where the last page ended";
}

TEST_P(EveryEventLog, filters_by_pattern) {
  ASSERT_TRUE(append({event(1, "web1"), event(2, "web2"), event(3, "web1")}).ok());
  EXPECT_EQ(sequences(read(0, "vm.released.main.web1")), (Sequences{1, 3}));
  EXPECT_EQ(sequences(read(0, "vm.*.main.web2")), Sequences{2});
  EXPECT_EQ(sequences(read(0, "spot.>")), Sequences{});
  EXPECT_EQ(sequences(read(0, "vm.>", 2)), (Sequences{1, 2}));
}

TEST_P(EveryEventLog, begins_where_a_reader_stands) {
  for (std::uint64_t i = 1; i <= 9; ++i) {
    ASSERT_TRUE(append({event(i)}).ok());
    ASSERT_TRUE(append({event(i, "web1", "node-a/policy", i < 5 ? 1 : 2)}).ok());
  }
  const auto behind = [](std::uint64_t executor, EventId policy) {
    return LogBeginning{.behind = {{"node-a/executor", 1, executor}, std::move(policy)},
                        .since = {}};
  };
  const auto needed = [&](const LogBeginning& beginning) {
    const LogPage page = read(seek(beginning));
    EXPECT_TRUE(page.end);
    return page.events.size();
  };
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(seek({}), 1);
    EXPECT_EQ(needed(behind(9, {"node-a/policy", 2, 9})), 0U) << "has all";
    EXPECT_LE(seek(behind(7, {"node-a/policy", 2, 9})), 15) << "where 8 is";
    EXPECT_LE(needed(behind(7, {"node-a/policy", 2, 9})), 6U) << "a commit sooner at most";
    EXPECT_LE(seek(behind(9, {"node-a/policy", 1, 4})), 10) << "where the next incarnation begins";
    EXPECT_GE(needed(behind(9, {"node-a/policy", 1, 4})), 9U);
    EXPECT_LE(needed(behind(9, {"node-a/policy", 1, 4})), 11U);
    EXPECT_EQ(seek(behind(9, {"node-a/other", 1, 4})), 2) << "of policy nothing is known";
    EXPECT_EQ(needed(behind(9, {"node-a/policy", 3, 1})), 0U) << "it is ahead of this log";
    EXPECT_EQ(read(seek(behind(7, {"node-a/policy", 2, 9}), "spot.>"), "spot.>").events.size(), 0U);
    on().restart();
  }
}

TEST_P(EveryEventLog, begins_where_an_origin_has_something_of_the_pattern) {
  ASSERT_TRUE(append({event(1), event(2)}).ok());
  for (std::uint64_t i = 1; i <= 5; ++i)
    ASSERT_TRUE(append({stored_checkpoint(on().pool, i, "node-a/log")}).ok());
  ASSERT_TRUE(append({event(3)}).ok());
  const LogBeginning beginning{.behind = {{"node-a/executor", 1, 3}, {"node-a/log", 1, 2}},
                               .since = {}};
  EXPECT_EQ(sequences(read(seek(beginning, "vm.>"), "vm.>")), Sequences{});
  EXPECT_LE(seek(beginning, "bus.>"), 5);
}

TEST_P(EveryEventLog, begins_at_a_time) {
  for (std::uint64_t i = 1; i <= 40; ++i) {
    ASSERT_TRUE(append({event(i), event(100 + i, "web1", "node-b/executor")}).ok());
  }
  for (int run = 0; run < 2; ++run) {
    for (const std::uint64_t time : {1, 2, 17, 40, 41, 101, 117, 140, 141}) {
      const LogPage page = read(seek({.behind = {}, .since = event(time).time()}));
      std::size_t needed = 0;
      for (const Event& each : page.events) needed += each.sequence() >= time ? 1U : 0U;
      const std::uint64_t all = (time <= 40 ? 41 - time : 0) + 40 -
                                std::min<std::uint64_t>(40, time <= 100 ? 0 : time - 101);
      EXPECT_EQ(needed, all) << time;
    }
    const LogBeginning late{.behind = {{"node-a/executor", 1, 40}}, .since = event(130).time()};
    EXPECT_LE(read(seek(late)).events.size(), 24U) << "others' times do not count";
    on().restart();
  }
}

TEST_P(EveryEventLog, shows_only_what_is_on_stable_storage) {
  bool stable = false;
  on().log().append(
      {event(1)}, std::nullopt,
      Reply<Done>(far_future, [&](absl::StatusOr<Done> done) { stable = done.ok(); }));
  const LogPage page = read(0);
  if (!stable) {
    EXPECT_EQ(on().log().origin("node-a/executor").incarnation, 0U);
  }
  EXPECT_LE(page.events.size(), 1U);
  ASSERT_TRUE(on().scheduler.drive([&] { return stable; }, on().threaded()));
  EXPECT_EQ(read(0).events.size(), 1U);
  EXPECT_EQ(on().log().origin("node-a/executor").incarnation, 1U);
}

TEST_P(EveryEventLog, answers_appends_in_their_order) {
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    on().log().append({event(static_cast<std::uint64_t>(i) + 1)}, std::nullopt,
                      Reply<Done>(far_future, [&order, i](absl::StatusOr<Done> done) {
                        EXPECT_TRUE(done.ok()) << done.status();
                        order.push_back(i);
                      }));
  }
  ASSERT_TRUE(on().scheduler.drive([&] { return order.size() == 100; }, on().threaded()));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  const Sequences found = sequences(read(0));
  ASSERT_EQ(found.size(), 100U);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
}

TEST_P(EveryEventLog, knows_the_tails_of_each_origin_also_after_a_restart) {
  ASSERT_TRUE(append({event(1), event(2, "web2"), event(5)}).ok());
  ASSERT_TRUE(append({event(9, "web1", "node-a/policy", 4)}).ok());
  for (int run = 0; run < 2; ++run) {
    const OriginState executor = on().log().origin("node-a/executor");
    EXPECT_EQ(executor.incarnation, 1U);
    EXPECT_EQ(executor.sequence_reserved, 5U);
    EXPECT_EQ(executor.tails,
              (Tails{{"", 5}, {"vm.", 5}, {"vm.released.", 5}, {"vm.released.main.", 5}}));
    EXPECT_EQ(on().log().origin("node-a/policy").incarnation, 4U);
    EXPECT_EQ(on().log().origin("node-a/polic").incarnation, 0U);
    EXPECT_EQ(on().log().origin("node-a/executor").newest, event(9).time());
    EXPECT_EQ(on().log().origin("node-a/polic").newest, event(9).time()) << "of the whole log";
    EXPECT_EQ(on().log().origins(), (std::vector<std::string>{"node-a/executor", "node-a/policy"}));
    on().restart();
  }
}

TEST_P(EveryEventLog, keeps_reservations_also_without_events) {
  ASSERT_TRUE(append({}, EventLog::Reservation{"node-a/policy", 2, 1024}).ok());
  ASSERT_TRUE(append({event(3, "web1", "node-a/policy", 2)}).ok());
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(on().log().origin("node-a/policy").incarnation, 2U);
    EXPECT_EQ(on().log().origin("node-a/policy").sequence_reserved, 1024U);
    EXPECT_EQ(on().log().origins(), (std::vector<std::string>{"node-a/policy"}));
    on().restart();
  }
}

// As an archive keeps its position in another log.
TEST_P(EveryEventLog, keeps_a_reservation_of_any_name_with_the_events_beside_it) {
  for (const std::uint64_t position : {2, 7}) {
    ASSERT_TRUE(append({event(position)}, EventLog::Reservation{"node-a", 5, position}).ok());
    for (int run = 0; run < 2; ++run) {
      EXPECT_EQ(on().log().origin("node-a").incarnation, 5U);
      EXPECT_EQ(on().log().origin("node-a").sequence_reserved, position);
      EXPECT_EQ(on().log().origins(), (std::vector<std::string>{"node-a", "node-a/executor"}));
      on().restart();
    }
  }
}

TEST_P(EveryEventLog, starts_anew_with_a_later_incarnation) {
  ASSERT_TRUE(append({event(7)}, EventLog::Reservation{"node-a/executor", 1, 100}).ok());
  ASSERT_TRUE(append({}, EventLog::Reservation{"node-a/executor", 2, 50}).ok());
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(on().log().origin("node-a/executor").incarnation, 2U);
    EXPECT_EQ(on().log().origin("node-a/executor").sequence_reserved, 50U);
    EXPECT_EQ(on().log().origin("node-a/executor").tails, Tails{});
    on().restart();
  }
}

TEST_P(EveryEventLog, reads_a_stream_by_its_sequences_also_after_a_restart) {
  std::vector<Event> events;
  for (std::uint64_t sequence : {1, 2, 5, 6, 9}) {
    events.push_back(event(sequence, sequence == 6 ? "db1" : "web1"));
    events.push_back(event(sequence, "web1", "node-a/other"));
    if (sequence == 5) {
      ASSERT_TRUE(append(std::exchange(events, {})).ok());
    }
  }
  ASSERT_TRUE(append(events).ok());
  for (int round = 0; round < 2; ++round) {
    const auto all = stream(range(0, 9));
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(sequences(*all), (Sequences{1, 2, 5, 6, 9}));
    EXPECT_EQ(all->through, 9);
    EXPECT_EQ(sequences(*stream(range(2, 6))), (Sequences{5, 6}));
    EXPECT_EQ(sequences(*stream(range(6, 8))), Sequences{});
    EXPECT_EQ(stream(range(6, 8))->through, 8);
    EXPECT_EQ(sequences(*stream(range(9, 20))), Sequences{}) << "nothing beyond its end";
    EXPECT_EQ(sequences(*stream(range(0, 9, "vm.released.main."))), (Sequences{1, 2, 5, 6, 9}));
    EXPECT_EQ(sequences(*stream(range(0, 9, "migration."))), Sequences{});
    on().restart();
  }
}

TEST_P(EveryEventLog, reads_a_stream_in_parts_of_one_event_at_least) {
  std::vector<Event> events;
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) events.push_back(event(sequence));
  ASSERT_TRUE(append(events).ok());
  const std::size_t size = events[0].bytes().size();
  for (const std::size_t bytes_max : {std::size_t{0}, 3 * size}) {
    Sequences found;
    for (std::uint64_t after = 0; after < 20;) {
      const auto part = stream(range(after, 20), bytes_max);
      ASSERT_TRUE(part.ok()) << part.status();
      ASSERT_GT(part->through, after) << "it gets on";
      EXPECT_LE(part->events.size(), bytes_max == 0 ? 1 : 3);
      for (const std::uint64_t sequence : sequences(*part)) found.push_back(sequence);
      after = part->through;
    }
    ASSERT_EQ(found.size(), 20);
    EXPECT_TRUE(std::ranges::is_sorted(found));
  }
}

TEST_P(EveryEventLog, gives_the_checkpoints_of_a_stream_that_is_to_be_proven) {
  // As in an archive: what commits took, each with its checkpoint behind it, and another node's between them.
  const auto commit = [&](std::uint64_t checkpoint, std::vector<Event> events) {
    events.push_back(stored_event(on().pool, 70 + checkpoint, "web1", "node-b/executor"));
    events.push_back(stored_checkpoint(on().pool, checkpoint, "node-b/log"));
    events.push_back(stored_checkpoint(on().pool, checkpoint, "node-a/log"));
    ASSERT_TRUE(append(std::move(events)).ok());
  };
  commit(1, {event(1), event(2)});
  commit(2, {event(4, "web1", "node-a/other")});
  commit(3, {event(3), event(4), event(7)});
  ASSERT_TRUE(append({event(8)}).ok());  // has none
  const auto proofs = [&](std::uint64_t after, std::uint64_t up_to, std::size_t bytes_max) {
    StreamRange asked = range(after, up_to);
    asked.proofs = true;
    const auto part = stream(asked, bytes_max);
    EXPECT_TRUE(part.ok()) << part.status();
    Sequences found;
    for (const Event& each : part->checkpoints) {
      EXPECT_EQ(each.origin(), "node-a/log");
      found.push_back(each.sequence());
    }
    return found;
  };
  constexpr std::size_t all = 1 << 20;
  EXPECT_EQ(proofs(0, 9, all), (Sequences{1, 3}));
  EXPECT_EQ(proofs(0, 2, all), (Sequences{1}));
  EXPECT_EQ(proofs(2, 3, all), (Sequences{3}));
  EXPECT_EQ(proofs(4, 6, all), Sequences{}) << "nothing is in that part";
  EXPECT_EQ(proofs(1, 9, 1), (Sequences{1})) << "of what the part has";
  EXPECT_EQ(proofs(7, 9, all), Sequences{});
  EXPECT_TRUE(stream(range(0, 9))->checkpoints.empty()) << "nobody asked for them";
}

TEST_P(EveryEventLog, knows_nothing_of_a_stream_that_is_not_in_it) {
  ASSERT_TRUE(append({event(1), event(2)}).ok());
  StreamRange other = range(0, 5);
  other.incarnation = 2;
  EXPECT_TRUE(absl::IsNotFound(stream(other).status()));
  other = range(0, 5);
  other.origin = "node-a/nobody";
  EXPECT_TRUE(absl::IsNotFound(stream(other).status()));
  other.origin = "node-a/executo";  // the beginning of one that is
  EXPECT_TRUE(absl::IsNotFound(stream(other).status()));
}

TEST_P(EveryEventLog, treats_an_empty_append_as_a_barrier) { EXPECT_TRUE(append({}).ok()); }

TEST_P(EveryEventLog, can_be_destroyed_by_a_reply) {
  int answers = 0;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    on().log().append({event(i)}, std::nullopt, Reply<Done>(far_future, [&](absl::StatusOr<Done>) {
                        if (++answers == 1) on().restart();
                      }));
  }
  ASSERT_TRUE(on().scheduler.drive([&] { return answers >= 1; }, on().threaded()));
  EXPECT_FALSE(read(0).events.empty());
}

// ---- the simulated disk --------------------------------------------------------------------------------------------

class SimulatedEventLog : public testing::Test {
 protected:
  void append(MemoryEventLog& log, std::uint64_t sequence) {
    log.append({stored_event(pool_, sequence)}, std::nullopt,
               Reply<Done>(far_future, [this](absl::StatusOr<Done> done) {
                 answers_.push_back(done.status());
               }));
  }

  DrivenScheduler scheduler_;
  EventPool pool_;
  MemoryLogDisk disk_;
  std::vector<absl::Status> answers_;
};

TEST_F(SimulatedEventLog, loses_in_a_crash_what_was_not_synced) {
  {
    MemoryEventLog log(scheduler_, pool_, disk_);
    append(log, 1);
    scheduler_.run_for(absl::Microseconds(200));
    EXPECT_EQ(answers_.size(), 1U);
    append(log, 2);
    scheduler_.run_for(absl::Microseconds(100));
    append(log, 3);
    EXPECT_EQ(log.unsynced(), 2U);
  }
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_EQ(answers_.size(), 1U) << "nobody hears of what was lost";
  EXPECT_EQ(disk_.events.size(), 1U);
  EXPECT_EQ(MemoryEventLog(scheduler_, pool_, disk_).origin("node-a/executor").tails[0].second, 1U);
}

TEST_F(SimulatedEventLog, may_keep_in_a_crash_a_part_of_what_was_not_synced) {
  {
    MemoryEventLog log(scheduler_, pool_, disk_);
    append(log, 1);
    append(log, 2);
    append(log, 3);
    log.crash_keeping(2);
  }
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(disk_.events.size(), 2U);
}

TEST_F(SimulatedEventLog, shares_the_next_sync_among_what_waits_for_it) {
  MemoryEventLog log(scheduler_, pool_, disk_);
  append(log, 1);
  scheduler_.run_for(absl::Microseconds(100));
  append(log, 2);
  append(log, 3);
  scheduler_.run_for(absl::Microseconds(100));
  EXPECT_EQ(answers_.size(), 1U);
  scheduler_.run_for(absl::Microseconds(200));
  EXPECT_EQ(answers_.size(), 3U);
}

TEST_F(SimulatedEventLog, refuses_while_its_disk_is_full_and_goes_on_afterwards) {
  MemoryEventLog log(scheduler_, pool_, disk_);
  log.set_full(true);
  append(log, 1);
  scheduler_.run_for(absl::Seconds(1));
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_TRUE(absl::IsResourceExhausted(answers_[0]));
  EXPECT_TRUE(disk_.events.empty());
  log.set_full(false);
  append(log, 1);
  scheduler_.run_for(absl::Seconds(1));
  EXPECT_TRUE(answers_[1].ok());
  EXPECT_EQ(disk_.events.size(), 1U);
}

}  // namespace
}  // namespace supercloud
