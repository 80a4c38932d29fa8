// What every event log forgets, and what it never does, over memory and RocksDB; and what RocksDB does with it.
#include "storage/retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "storage/rocks_folder.h"
#include "tests/storage/every_event_log.h"
#include "tests/storage/faulty_file_system.h"

namespace supercloud {
namespace {

using Positions = std::vector<std::uint64_t>;

// Of a type that is kept, in place of vm.released.
Event defined(EventPool& pool, std::uint64_t sequence, const std::string& subject,
              std::uint64_t incarnation = 1) {
  Draft draft = pool.draft(subject);
  draft.payload().initVmDefined();
  Envelope envelope;
  envelope.origin = "node-a/executor";
  envelope.incarnation = incarnation;
  envelope.sequence = sequence;
  envelope.time = stored_event(pool, sequence).time();
  return *std::move(draft).seal(envelope);
}

class EveryRetainedLog : public EveryEventLog {
 protected:
  void keep(const Retention& retention) {
    on().retention = retention;
    on().restart();
  }
  // One append each: sequence = position. Those of `latest` are of a type that is kept.
  void fill(std::uint64_t from, std::uint64_t to, const Positions& latest = {},
            const std::string& subject = "web1") {
    for (std::uint64_t i = from; i <= to; ++i) {
      const bool kept = std::ranges::find(latest, i) != latest.end();
      ASSERT_TRUE(append({kept ? defined(on().pool, i, subject) : event(i)}).ok());
    }
  }
  static Positions upward(Positions begin, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t i = from; i <= to; ++i) begin.push_back(i);
    return begin;
  }
};

INSTANTIATE_TEST_SUITE_P(Over, EveryRetainedLog, log_harnesses,
                         [](const auto& kind) { return kind.param.name; });

TEST_P(EveryRetainedLog, keeps_everything_by_itself) {
  fill(1, 50);
  EXPECT_EQ(sequences(read(0)), upward({}, 1, 50));
  EXPECT_EQ(read(0).begins, 0);
}

TEST_P(EveryRetainedLog, keeps_so_many_events_and_says_where_it_begins_also_after_a_restart) {
  keep({.events = 10});
  fill(1, 30);
  for (int run = 0; run < 2; ++run) {
    const LogPage page = read(0);
    EXPECT_EQ(page.begins, 21);
    EXPECT_EQ(sequences(page), upward({}, 21, 30));
    EXPECT_EQ(page.next, 31);
    EXPECT_TRUE(page.end);
    EXPECT_EQ(sequences(read(15, ">", 3)), (Positions{21, 22, 23}))
        << "from what is gone, it jumps";
    EXPECT_EQ(sequences(read(25)), upward({}, 25, 30));
    on().restart();
  }
  fill(31, 31);
  EXPECT_EQ(sequences(read(0)), upward({}, 22, 31)) << "goes on where it was";
}

TEST_P(EveryRetainedLog, keeps_so_many_bytes_counted_over_restarts) {
  const std::uint64_t size = event(1).bytes().size();
  keep({.bytes = 10 * size});
  for (std::uint64_t i = 1; i <= 30; ++i) {
    fill(i, i);
    if (i % 7 == 0) on().restart();
  }
  EXPECT_EQ(sequences(read(0)), upward({}, 21, 30));
}

TEST_P(EveryRetainedLog, keeps_so_long_by_the_times_of_events_and_the_schedulers_clock) {
  keep({.age = absl::Minutes(32)});
  const absl::Time start = on().scheduler.clock().wall();
  const auto at_minute = [&](double minute) {
    on().scheduler.run_for(start + absl::Minutes(minute) - on().scheduler.clock().wall());
  };
  const auto say = [&](std::uint64_t sequence) {
    Draft draft = on().pool.draft("web1");
    draft.payload().initVmReleased();
    Envelope envelope;
    envelope.origin = "node-a/executor";
    envelope.incarnation = 1;
    envelope.sequence = sequence;
    envelope.time = HybridTime::at(start + absl::Minutes(sequence));
    ASSERT_TRUE(append({*std::move(draft).seal(envelope)}).ok());
  };
  for (std::uint64_t minute = 1; minute <= 20; ++minute) {
    at_minute(static_cast<double>(minute));
    say(minute);
  }
  at_minute(33.5);
  say(21);
  EXPECT_EQ(sequences(read(0)), upward({}, 1, 21)) << "a 32nd more, before it begins to forget";
  at_minute(42.5);
  EXPECT_EQ(read(0).begins, 0) << "with the next append";
  say(22);
  EXPECT_EQ(sequences(read(0)), upward({}, 11, 22));
  EXPECT_EQ(read(0).begins, 11);
}

TEST_P(EveryRetainedLog, keeps_the_newest_of_each_topic_whose_type_is_marked_so) {
  keep({.events = 5});
  fill(1, 6, {2, 4});
  fill(7, 12, {8}, "db1");
  fill(13, 30, {});
  for (int run = 0; run < 2; ++run) {
    const LogPage page = read(0);
    EXPECT_EQ(page.begins, 26);
    EXPECT_EQ(sequences(page), upward({4, 8}, 26, 30)) << "of web1 the second, of db1 the only one";
    EXPECT_EQ(sequences(read(5)), upward({8}, 26, 30));
    EXPECT_EQ(sequences(read(0, "vm.defined.>")), (Positions{4, 8}));
    EXPECT_EQ(sequences(read(0, ">", 1)), Positions{4});
    on().restart();
  }
  fill(31, 31, {31});
  fill(32, 40, {});
  EXPECT_EQ(sequences(read(0, "vm.defined.>")), (Positions{8, 31})) << "the newer takes its place";
}

TEST_P(EveryRetainedLog, keeps_of_a_topic_the_newest_by_time_where_an_archive_had_it_sooner) {
  keep({.events = 2});
  ASSERT_TRUE(append({defined(on().pool, 9, "web1", 2)}).ok());
  ASSERT_TRUE(append({defined(on().pool, 3, "web1", 2)}).ok());
  for (std::uint64_t i = 1; i <= 6; ++i)
    ASSERT_TRUE(append({event(i, "db1", "node-b/executor")}).ok());
  EXPECT_EQ(sequences(read(0, "vm.defined.>")), Positions{9});
}

TEST_P(EveryRetainedLog, goes_on_with_what_there_is_of_a_stream) {
  keep({.events = 5});
  fill(1, 6, {4});
  std::vector<Event> together;
  for (std::uint64_t i = 7; i <= 20; ++i) {
    together.push_back(event(i));
    together.push_back(event(i, "web1", "node-a/other"));
  }
  ASSERT_TRUE(append(together).ok());
  ASSERT_TRUE(append({event(21)}).ok());
  for (int run = 0; run < 2; ++run) {
    // Of the two origins' events in one commit, in its middle, the last ones stayed.
    const auto all = stream(range(0, 30));
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(sequences(*all), (Positions{4, 19, 20, 21}));
    EXPECT_EQ(all->through, 30);
    EXPECT_EQ(sequences(*stream(range(4, 30))), (Positions{19, 20, 21}));
    EXPECT_EQ(sequences(*stream(range(5, 12))), Positions{});
    EXPECT_EQ(stream(range(5, 12))->through, 12);
    EXPECT_EQ(sequences(*stream(range(19, 20))), Positions{20});
    Positions parts;
    for (std::uint64_t after = 0; after < 30;) {
      const auto part = stream(range(after, 30), 0);
      ASSERT_TRUE(part.ok()) << part.status();
      ASSERT_GT(part->through, after);
      for (const std::uint64_t sequence : sequences(*part)) parts.push_back(sequence);
      after = part->through;
    }
    EXPECT_EQ(parts, (Positions{4, 19, 20, 21}));
    on().restart();
  }
}

TEST_P(EveryRetainedLog, answers_of_a_stream_that_it_has_forgotten_with_nothing) {
  fill(1, 3);
  keep({.events = 4});
  for (std::uint64_t i = 1; i <= 20; ++i)
    ASSERT_TRUE(append({event(i, "web1", "node-a/other")}).ok());
  on().restart();
  const auto part = stream(range(0, 3));
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_TRUE(part->events.empty());
  EXPECT_EQ(part->through, 3);
}

TEST_P(EveryRetainedLog, never_forgets_what_was_said_last_and_reserved) {
  keep({.events = 3});
  ASSERT_TRUE(
      append({event(5, "db1", "node-a/policy", 7)}, EventLog::Reservation{"node-a/policy", 7, 900})
          .ok());
  const OriginState before = on().log().origin("node-a/policy");
  fill(1, 40);
  for (int run = 0; run < 2; ++run) {
    const OriginState state = on().log().origin("node-a/policy");
    EXPECT_EQ(state.incarnation, 7);
    EXPECT_EQ(state.sequence_reserved, 900);
    EXPECT_EQ(state.tails, before.tails);
    EXPECT_EQ(state.newest, event(40).time());
    on().restart();
  }
}

TEST_P(EveryRetainedLog, keeps_its_last_event_however_old) {
  keep({.age = absl::Microseconds(1)});
  fill(1, 3);
  on().scheduler.run_for(absl::Hours(24 * 365 * 90));
  for (int run = 0; run < 3; ++run) {
    ASSERT_TRUE(append({}, EventLog::Reservation{"node-a/executor", 1, 100}).ok());
    EXPECT_EQ(sequences(read(0)), Positions{3});
    on().restart();
  }
  EXPECT_EQ(on().log().origin("node-a/executor").newest, event(3).time());
  fill(4, 4);
  EXPECT_EQ(read(0).next, 5) << "no position twice";
}

TEST_P(EveryRetainedLog, forgets_in_steps_beside_appends_what_it_had_before_there_were_limits) {
  std::vector<Event> events;
  for (std::uint64_t i = 1; i <= 5000; ++i) events.push_back(event(i));
  ASSERT_TRUE(append(events).ok());
  keep({.events = 100});
  std::uint64_t began = 1;
  int appends = 0;
  for (std::uint64_t i = 5001; began + 100 < i; ++i, ++appends) {
    ASSERT_TRUE(append({event(i)}).ok());
    const LogPage page = read(0, ">", 1);
    ASSERT_LE(page.begins, began + RetainedPast::step_min);
    ASSERT_GT(page.begins, began);
    began = page.begins;
    if (appends == 2) on().restart();
  }
  EXPECT_EQ(appends, 5);
}

// A limit that is taken away brings nothing back, and one can be set again.
TEST_P(EveryRetainedLog, begins_with_what_it_keeps_of_before_for_who_has_not_had_it) {
  keep({.events = 10});
  fill(1, 30, {4, 8}, "web2");
  fill(31, 31, {31}, "web3");
  for (int run = 0; run < 2; ++run) {
    const auto from = [&](std::uint64_t stood) {
      return sequences(read(seek({.behind = {{"node-a/executor", 1, stood}}, .since = {}})));
    };
    EXPECT_EQ(from(7), upward({8}, 22, 31));
    EXPECT_EQ(from(31), Positions{});
    const Positions late = from(28);
    EXPECT_LE(late.size(), 4U);
    EXPECT_TRUE(std::ranges::find(late, 29U) != late.end());
    const LogBeginning since{.behind = {}, .since = event(8).time()};
    EXPECT_EQ(sequences(read(seek(since))), upward({8}, 22, 31));
    on().restart();
  }
}

TEST_P(EveryRetainedLog, takes_other_limits_at_each_start) {
  keep({.events = 10});
  fill(1, 20);
  keep({});
  fill(21, 60);
  EXPECT_EQ(sequences(read(0)), upward({}, 11, 60));
  keep({.bytes = 5 * event(1).bytes().size()});
  fill(61, 61);
  EXPECT_EQ(sequences(read(0)), upward({}, 57, 61));
}

// ---- RocksDB -------------------------------------------------------------------------------------------------------

class RetainedRocksLog : public testing::Test {
 protected:
  std::unique_ptr<RocksEventLog> open(const Retention& retention) {
    auto opened = RocksEventLog::open(
        scheduler_, pool_,
        {.path = path_, .node = "node-a", .retention = retention, .env = disk_.env.get()});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  absl::Status append(EventLog& log, std::vector<Event> events) {
    return scheduler_
        .wait<Done>([&](Reply<Done> reply) { log.append(events, std::nullopt, std::move(reply)); },
                    true)
        .status();
  }
  Event wide(std::uint64_t sequence) {
    Draft draft = pool_.draft("web1");
    std::string node(4000, ' ');
    for (char& c : node) c = static_cast<char>('a' + random_.below(26));
    draft.payload().initVmReleased().setNode(node);
    Envelope envelope;
    envelope.origin = "node-a/executor";
    envelope.incarnation = 1;
    envelope.sequence = sequence;
    envelope.time = stored_event(pool_, sequence).time();
    return *std::move(draft).seal(envelope);
  }
  LogPage read(EventLog& log, std::uint64_t from = 0) {
    auto page = scheduler_.wait<LogPage>(
        [&](Reply<LogPage> reply) { log.read(from, Pattern::of(">"), 9000, std::move(reply)); },
        true);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? *std::move(page) : LogPage{};
  }
  std::uint64_t bytes_on_disk() const {
    std::uint64_t sum = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_, error))
      if (const auto size = entry.file_size(error); entry.is_regular_file(error) && !error)
        sum += size;
    return sum;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "log";
  FaultyDisk disk_;
  DrivenScheduler scheduler_;
  EventPool pool_;
  Random random_{1};
};

// 240 MB are said, 8 MB of them kept: the folder never holds much more than the write-ahead log and what RocksDB has yet to compact.
TEST_F(RetainedRocksLog, gives_the_space_back) {
  auto log = open({.bytes = 8 << 20});
  ASSERT_NE(log, nullptr);
  std::uint64_t most = 0;
  std::uint64_t sequence = 0;
  for (int round = 0; round < 240; ++round) {
    std::vector<Event> events;
    for (int i = 0; i < 250; ++i) events.push_back(wide(++sequence));
    ASSERT_TRUE(append(*log, std::move(events)).ok());
    most = std::max(most, bytes_on_disk());
  }
  RecordProperty("megabytes_at_most", static_cast<int>(most >> 20));
  EXPECT_LT(most, std::uint64_t{160} << 20);
  EXPECT_LE(sequence - read(*log).begins, (8 << 20) / 4000);
}

TEST_F(RetainedRocksLog, is_refused_as_newer_by_a_program_that_does_not_know_what_is_missing) {
  auto log = open({.events = 5});
  ASSERT_NE(log, nullptr);
  const auto older = [&] {
    log.reset();
    auto folder = RocksFolder::open({.path = path_,
                                     .kind = "event log",
                                     .format = 1,
                                     .owner = "node-a",
                                     .families = {{"events", true}, {"origins"}, {"streams", true}},
                                     .env = disk_.env.get()});
    return folder.status();
  };
  ASSERT_TRUE(append(*log, {stored_event(pool_, 1)}).ok());
  EXPECT_TRUE(older().ok()) << older();
  log = open({.events = 5});
  ASSERT_NE(log, nullptr);
  for (std::uint64_t i = 2; i <= 9; ++i) ASSERT_TRUE(append(*log, {stored_event(pool_, i)}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(older())) << older();
  EXPECT_NE(older().message().find("newer supercloud"), std::string::npos) << older();
}

// The disk refuses a sync at each moment of a run in turn, and the process ends there, or goes on.
TEST_F(RetainedRocksLog, forgets_and_appends_together_or_not_at_all_wherever_the_disk_fails) {
  for (const bool restart : {false, true}) {
    std::vector<std::uint64_t> there;  // acknowledged
    std::uint64_t sequence = 0;
    auto log = open({.events = 8});
    ASSERT_NE(log, nullptr);
    for (const Event& old : read(*log).events) sequence = std::max(sequence, old.sequence());
    for (int syncs = 0; syncs < 12; ++syncs) {
      disk_.faults->syncs_left = syncs % 6;
      for (int tries = 0; tries < 4; ++tries)
        if (append(*log, {stored_event(pool_, ++sequence)}).ok()) there.push_back(sequence);
      if (restart) log.reset();
      disk_.faults->syncs_left = -1;
      if (restart) log = open({.events = 8});
      ASSERT_NE(log, nullptr);
      // What RocksDB began under the failing disk may fail some more before it goes on by itself.
      bool goes_on = false;
      for (int tries = 0; tries < 20 && !goes_on; ++tries) {
        goes_on = append(*log, {stored_event(pool_, ++sequence)}).ok();
        if (goes_on) there.push_back(sequence);
      }
      ASSERT_TRUE(goes_on);
      const LogPage page = read(*log);
      Positions found;
      for (const Event& event : page.events) found.push_back(event.sequence());
      ASSERT_LE(found.size(), there.size() + (restart ? 12 : 0));
      ASSERT_EQ(found.back(), there.back());
      if (found.size() < 8) {
        EXPECT_EQ(page.begins, 0);
      }
      if (restart) continue;  // what was not acknowledged may be there
      ASSERT_TRUE(std::ranges::equal(
          found,
          std::ranges::subrange(there.end() - static_cast<long>(found.size()), there.end())));
    }
  }
}

}  // namespace
}  // namespace supercloud
