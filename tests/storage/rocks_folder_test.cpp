// What a folder says of itself, and to whom it is open.
#include "storage/rocks_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "storage/rocks_event_log.h"
#include "storage/rocks_lease_table.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/stored_events.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

bool says(const absl::Status& status, const std::string& part) {
  return status.message().find(part) != std::string::npos;
}

class LogFolder : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<RocksEventLog>> open(const std::string& node = "node-a") {
    return RocksEventLog::open(scheduler_, pool_, {.path = path_, .node = node});
  }
  absl::StatusOr<std::unique_ptr<RocksEventLog>> open_read_only() {
    return RocksEventLog::open_read_only(scheduler_, pool_, {.path = path_});
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
  std::size_t count(EventLog& log) {
    const auto page = scheduler_.wait<LogPage>(
        [&](Reply<LogPage> reply) { log.read(0, Pattern::of(">"), 1000, std::move(reply)); }, true);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? page->events.size() : 0;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "deep/down/log";
  DrivenScheduler scheduler_;
  EventPool pool_;
};

TEST_F(LogFolder, is_made_of_what_another_log_had_and_goes_on_from_there) {
  const std::vector<Event> events = {stored_event(pool_, 1), stored_event(pool_, 2),
                                     stored_event(pool_, 3, "web2")};
  LogImage image;
  for (const Event& event : events) {
    image.events.push_back(event.bytes());
    image.origins.add(event);
  }
  const RocksEventLogOptions options{.path = path_, .node = "node-a"};
  ASSERT_TRUE(RocksEventLog::make(options, image).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(RocksEventLog::make(options, image)));
  auto log = open_read_only();
  ASSERT_TRUE(log.ok()) << log.status();
  const auto late = scheduler_.wait<std::uint64_t>(
      [&](Reply<std::uint64_t> reply) {
        (*log)->seek({.behind = {}, .since = events[2].time()}, Pattern::of(">"), std::move(reply));
      },
      true);
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_EQ(*late, 1) << "nobody has indexed it";
  log->reset();
  log = open();
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ((*log)->origin("node-a/executor").sequence_reserved, 3U);
  EXPECT_EQ((*log)->origin("node-a/executor").newest, events[2].time());
  ASSERT_TRUE(append(**log, 4).ok());
  log->reset();
  log = open_read_only();
  ASSERT_TRUE(log.ok()) << log.status();
  const auto page = scheduler_.wait<LogPage>(
      [&](Reply<LogPage> reply) { (*log)->read(0, Pattern::of(">"), 1000, std::move(reply)); },
      true);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->events.size(), 4U);
  for (std::size_t i = 0; i < events.size(); ++i)
    EXPECT_EQ(bytes_of(page->events[i]), bytes_of(events[i]));
}

// Regression: a look for the tail of an origin that is gone went through all that others have said since.
TEST_F(LogFolder, looks_no_further_for_an_origin_than_its_newest_event) {
  {
    const auto log = open();
    ASSERT_TRUE(log.ok()) << log.status();
    ASSERT_TRUE(append(**log, 1).ok());
    ASSERT_TRUE(append(**log, 2).ok());
  }
  {
    const auto folder =
        RocksFolder::open({.path = path_,
                           .kind = "event log",
                           .format = 2,
                           .owner = "node-a",
                           .families = {{"events", true}, {"origins"}, {"streams", true}}});
    ASSERT_TRUE(folder.ok()) << folder.status();
    RocksChanges trap;
    trap.put(0, to_big_endian(3), "whoever looks at this notices that it is no event");
    ASSERT_TRUE((*folder)->commit(trap).ok());
  }
  const auto log = open();
  ASSERT_TRUE(log.ok()) << log.status();
  const auto ask = [&](std::uint64_t after, const std::string& prefix) {
    return scheduler_.wait<StreamPart>(
        [&](Reply<StreamPart> reply) {
          (*log)->read_stream({"node-a/executor", 1, {prefix}, after, 9}, 1 << 20,
                              std::move(reply));
        },
        true);
  };
  for (const std::uint64_t after : {0, 1, 2}) {
    const auto part = ask(after, "vm.");
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ(part->events.size(), 2 - after);
    EXPECT_EQ(part->through, 9U);
  }
  const auto nothing = ask(0, "spot.");
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_EQ(nothing->through, 9U);
  EXPECT_TRUE(absl::IsDataLoss(
      scheduler_
          .wait<LogPage>(
              [&](Reply<LogPage> reply) { (*log)->read(0, Pattern::of(">"), 9, std::move(reply)); },
              true)
          .status()))
      << "it is there";
}

TEST_F(LogFolder, admits_one_writer_and_names_the_process) {
  auto first = open();
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = open();
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_TRUE(says(second.status(), path_)) << second.status();
  EXPECT_TRUE(says(second.status(), "process " + std::to_string(::getpid()))) << second.status();
  ASSERT_TRUE(append(**first, 1).ok()) << "the first does not notice";
  first->reset();
  EXPECT_TRUE(open().ok());
}

TEST_F(LogFolder, keeps_its_identity) {
  std::string identity;
  for (int run = 0; run < 2; ++run) {
    const auto log = open();
    ASSERT_TRUE(log.ok()) << log.status();
    if (run == 0) identity = (*log)->identity();
    EXPECT_EQ((*log)->identity(), identity);
  }
  EXPECT_EQ(identity.size(), 32U);
}

TEST_F(LogFolder, is_refused_to_another_node) {
  ASSERT_TRUE(open().ok());
  const auto other = open("node-b");
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status()));
  EXPECT_TRUE(says(other.status(), "'node-a'") && says(other.status(), "'node-b'"))
      << other.status();
}

TEST_F(LogFolder, is_refused_as_something_else) {
  ASSERT_TRUE(open().ok());
  const auto table = open_rocks_lease_table(scheduler_, {.path = path_});
  EXPECT_TRUE(absl::IsFailedPrecondition(table.status())) << table.status();
  EXPECT_TRUE(says(table.status(), "event log")) << table.status();
}

TEST_F(LogFolder, is_refused_when_a_newer_program_wrote_it) {
  {
    // What a newer one may look like: another family, another format.
    auto newer = RocksFolder::open({.path = path_,
                                    .kind = "event log",
                                    .format = 3,
                                    .format_made = 3,
                                    .families = {{"events", true}, {"origins"}, {"indices"}}});
    ASSERT_TRUE(newer.ok()) << newer.status();
  }
  for (const bool reader : {false, true}) {
    const auto older = reader ? open_read_only() : open();
    EXPECT_TRUE(absl::IsFailedPrecondition(older.status())) << older.status();
    EXPECT_TRUE(says(older.status(), "format 3") && says(older.status(), "use a newer supercloud"))
        << older.status();
  }
}

TEST_F(LogFolder, is_refused_where_it_cannot_be_made) {
  std::ofstream(folder_ / "file") << "no folder";
  const auto log = RocksEventLog::open(scheduler_, pool_, {.path = folder_ / "file/log"});
  ASSERT_FALSE(log.ok());
  EXPECT_TRUE(says(log.status(), "file/log")) << log.status();
}

TEST_F(LogFolder, that_is_not_there_is_not_made_for_a_reader) {
  EXPECT_TRUE(absl::IsNotFound(open_read_only().status()));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(LogFolder, can_be_read_while_its_writer_lives) {
  auto writer = open();
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (std::uint64_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(append(**writer, i).ok());
    auto reader = open_read_only();
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(count(**reader), i);
    EXPECT_EQ((*reader)->origin("node-a/executor").tails[0].second, i);
    EXPECT_TRUE(absl::IsFailedPrecondition(append(**reader, 99)));
  }
  writer->reset();
  auto reader = open_read_only();
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(count(**reader), 20U);
}

TEST_F(LogFolder, has_everything_that_was_answered_when_its_process_is_killed) {
  int answers[2];
  ASSERT_EQ(::pipe(answers), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(answers[0]);
    DrivenScheduler scheduler;
    EventPool pool;
    auto log = RocksEventLog::open(scheduler, pool, {.path = path_, .node = "node-a"});
    if (!log.ok()) ::_exit(1);
    for (std::uint64_t i = 1;; ++i) {
      const auto done = scheduler.wait<Done>(
          [&](Reply<Done> reply) {
            (*log)->append({stored_event(pool, i)}, std::nullopt, std::move(reply));
          },
          true);
      if (!done.ok() || ::write(answers[1], "a", 1) != 1) ::_exit(1);
    }
  }
  ::close(answers[1]);
  std::size_t answered = 0;
  char byte = 0;
  while (answered < 50 && ::read(answers[0], &byte, 1) == 1) ++answered;
  ::kill(child, SIGKILL);
  while (::read(answers[0], &byte, 1) == 1) ++answered;
  ::close(answers[0]);
  ::waitpid(child, nullptr, 0);
  ASSERT_GE(answered, 50U);
  auto log = open();
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_GE(count(**log), answered);
  EXPECT_LE(count(**log), answered + 1);
}

TEST_F(LogFolder, takes_no_more_calls_than_its_queue_holds) {
  auto log = RocksEventLog::open(scheduler_, pool_, {.path = path_, .queue_max = 2});
  ASSERT_TRUE(log.ok()) << log.status();
  int answers = 0;
  int refused = 0;
  for (std::uint64_t i = 1; i <= 200; ++i) {
    (*log)->append({stored_event(pool_, i)}, std::nullopt,
                   Reply<Done>(far_future, [&](absl::StatusOr<Done> done) {
                     ++answers;
                     if (absl::IsResourceExhausted(done.status())) ++refused;
                   }));
  }
  ASSERT_TRUE(scheduler_.drive([&] { return answers == 200; }, true));
  EXPECT_GT(refused, 0);
  EXPECT_EQ(count(**log), static_cast<std::size_t>(200 - refused));
}

}  // namespace
}  // namespace supercloud
