// A log of each kind, and how a test works with it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/event_log.h"
#include "storage/rocks_event_log.h"
#include "storage/simulated/memory_event_log.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/stored_events.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {

class LogHarness {
 public:
  virtual ~LogHarness() = default;
  virtual EventLog& log() = 0;
  virtual void restart() = 0;
  virtual bool threaded() const = 0;

  Retention retention;  // from the next restart on
  DrivenScheduler scheduler;
  EventPool pool;
};

class MemoryLogHarness final : public LogHarness {
 public:
  MemoryLogHarness() { restart(); }
  EventLog& log() override { return *log_; }
  void restart() override {
    log_.reset();
    log_ = std::make_unique<MemoryEventLog>(scheduler, pool, disk_,
                                            MemoryEventLogOptions{.retention = retention});
  }
  bool threaded() const override { return false; }

 private:
  MemoryLogDisk disk_;
  std::unique_ptr<MemoryEventLog> log_;
};

class RocksLogHarness final : public LogHarness {
 public:
  RocksLogHarness() { restart(); }
  EventLog& log() override { return *log_; }
  void restart() override {
    log_.reset();
    auto opened = RocksEventLog::open(scheduler, pool,
                                      {.path = path(), .node = "node-a", .retention = retention});
    ASSERT_TRUE(opened.ok()) << opened.status();
    log_ = *std::move(opened);
  }
  bool threaded() const override { return true; }
  std::string path() const { return folder_ / "log"; }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<RocksEventLog> log_;
};

template <class Harness>
std::unique_ptr<LogHarness> make_log_harness() {
  return std::make_unique<Harness>();
}

struct LogHarnessKind {
  std::string name;
  std::unique_ptr<LogHarness> (*make)();
};
inline const auto log_harnesses =
    testing::Values(LogHarnessKind{"memory", make_log_harness<MemoryLogHarness>},
                    LogHarnessKind{"rocks", make_log_harness<RocksLogHarness>});

class EveryEventLog : public testing::TestWithParam<LogHarnessKind> {
 protected:
  void SetUp() override { harness_ = GetParam().make(); }

  LogHarness& on() { return *harness_; }
  Event event(std::uint64_t sequence, const std::string& subject = "web1",
              const std::string& origin = "node-a/executor", std::uint64_t incarnation = 1) {
    return stored_event(on().pool, sequence, subject, origin, incarnation);
  }
  absl::StatusOr<Done> append(std::vector<Event> events,
                              std::optional<EventLog::Reservation> reserve = std::nullopt) {
    return on().scheduler.wait<Done>(
        [&](Reply<Done> reply) {
          on().log().append(std::move(events), std::move(reserve), std::move(reply));
        },
        on().threaded());
  }
  LogPage read(std::uint64_t from, const std::string& pattern = ">", std::size_t limit = 1000) {
    auto page = on().scheduler.wait<LogPage>(
        [&](Reply<LogPage> reply) {
          on().log().read(from, Pattern::of(pattern), limit, std::move(reply));
        },
        on().threaded());
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? *std::move(page) : LogPage{};
  }
  std::uint64_t seek(LogBeginning beginning, const std::string& pattern = ">") {
    const auto from = on().scheduler.wait<std::uint64_t>(
        [&](Reply<std::uint64_t> reply) {
          on().log().seek(std::move(beginning), Pattern::of(pattern), std::move(reply));
        },
        on().threaded());
    EXPECT_TRUE(from.ok()) << from.status();
    return from.value_or(0);
  }
  absl::StatusOr<StreamPart> stream(StreamRange range, std::size_t bytes_max = 1 << 20) {
    return on().scheduler.wait<StreamPart>(
        [&](Reply<StreamPart> reply) {
          on().log().read_stream(std::move(range), bytes_max, std::move(reply));
        },
        on().threaded());
  }
  // Of node-a/executor:1.
  static StreamRange range(std::uint64_t after, std::uint64_t up_to, std::string prefix = "") {
    return {"node-a/executor", 1, {std::move(prefix)}, after, up_to};
  }
  template <class Page>
  static std::vector<std::uint64_t> sequences(const Page& page) {
    std::vector<std::uint64_t> found;
    for (const Event& event : page.events) found.push_back(event.sequence());
    return found;
  }

 private:
  std::unique_ptr<LogHarness> harness_;
};

using Sequences = std::vector<std::uint64_t>;
using Tails = std::vector<std::pair<std::string, std::uint64_t>>;

}  // namespace supercloud
