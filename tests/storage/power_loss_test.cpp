// Power that fails at any moment: what was acknowledged is there afterwards, what was not is there as a whole or not at all, and the log or
// table opens.
//
//   SUPERCLOUD_POWER_LOSS=N   so many seeds, instead of the few that fit into some seconds
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/rocks_event_log.h"
#include "storage/rocks_lease_table.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/power_loss_disk.h"
#include "tests/storage/stored_events.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

constexpr int lives = 6;  // of a disk, each ended by a loss of power

std::uint64_t seeds() {
  const char* text = std::getenv("SUPERCLOUD_POWER_LOSS");
  return text == nullptr ? 8 : std::strtoull(text, nullptr, 10);
}

// A disk with something on it that opens, works and is looked at, again and again.
class PowerLoss {
 public:
  explicit PowerLoss(std::uint64_t seed) : random_(seed), disk_(folder_.path() + "/disk") {}
  virtual ~PowerLoss() = default;

  // What is wrong first; empty: nothing. `lies`: of the disk.
  std::string run(bool lies, bool keep_foreign) {
    disk_.keep_foreign(keep_foreign);
    for (int life = 0; life <= lives; ++life) {
      disk_.lie(lies);
      const bool last = life == lives;
      // While it opens, while it works, or when all is quiet.
      if (!last && random_.below(8) == 0) disk_.fail_after(random_.below(40));
      const absl::Status opened = open();
      if (!opened.ok() && !disk_.failed())
        return absl::StrCat("life ", life, ": ", opened.ToString());
      if (opened.ok() && !disk_.failed()) {
        if (std::string wrong = look(); !wrong.empty())
          return absl::StrCat("life ", life, ": ", wrong);
      }
      if (last) break;
      if (opened.ok()) {
        if (!disk_.failed() && random_.below(6) != 0) disk_.fail_after(random_.below(90));
        work();
      }
      disk_.fail_now();
      close();
      disk_.restore(random_);
    }
    close();
    return "";
  }

 protected:
  virtual absl::Status open() = 0;
  virtual void close() = 0;
  virtual void work() = 0;
  virtual std::string look() = 0;

  std::string path() const { return folder_.path() + "/disk/node/deep"; }

  TemporaryFolder folder_;
  DrivenScheduler scheduler_;
  EventPool pool_;
  Random random_;
  PowerLossDisk disk_;
};

// Every second one forgets what is old.
class LogUnderPowerLoss final : public PowerLoss {
 public:
  explicit LogUnderPowerLoss(std::uint64_t seed) : PowerLoss(seed) {
    if (seed % 2 == 0) retention_.events = 40;
  }
  ~LogUnderPowerLoss() override { close(); }

 private:
  static constexpr std::string_view origin = "node-a/executor";
  struct Append {
    std::vector<std::string> events;  // their bytes
    bool acknowledged = false;
  };

  absl::Status open() override {
    auto opened = RocksEventLog::open(
        scheduler_, pool_,
        {.path = path(), .node = "node-a", .retention = retention_, .env = disk_.env()});
    if (!opened.ok()) return opened.status();
    log_ = *std::move(opened);
    return absl::OkStatus();
  }
  void close() override { log_.reset(); }

  Event event() {
    Draft draft = pool_.draft("web1");
    const std::uint64_t bytes = random_.below(60) == 0 ? 300'000 : random_.below(3000);
    draft.payload().initVmReleased().setNode(std::string(bytes, 'x'));
    Envelope envelope;
    envelope.origin = origin;
    envelope.incarnation = 1;
    envelope.sequence = ++sequence_;
    envelope.time = {(1'700'000'000'000'000U + sequence_) << 12U};
    return *std::move(draft).seal(envelope);
  }

  // Several that wait together, as they share a sync.
  void work() override {
    const std::uint64_t rounds = random_.below(30);
    for (std::uint64_t round = 0; round < rounds && !disk_.failed(); ++round) {
      std::size_t answered = 0;
      const std::size_t calls = 1 + random_.below(4);
      for (std::size_t call = 0; call < calls; ++call) {
        const std::size_t at = appended_.size();
        appended_.emplace_back();
        std::vector<Event> events;
        for (std::uint64_t i = random_.below(6); i > 0; --i) {
          events.push_back(event());
          appended_[at].events.push_back(bytes_of(events.back()));
        }
        std::optional<EventLog::Reservation> reserve;
        if (random_.below(3) == 0) {
          asked_ = std::max(asked_, sequence_) + random_.below(1000);
          reserve = EventLog::Reservation{std::string(origin), 1, asked_};
        }
        const std::uint64_t reserved = reserve ? asked_ : 0;
        log_->append(std::move(events), reserve,
                     Reply<Done>(far_future, [&, at, reserved](const absl::StatusOr<Done>& done) {
                       ++answered;
                       appended_[at].acknowledged = done.ok();
                       if (done.ok()) reserved_ = std::max(reserved_, reserved);
                     }));
      }
      ASSERT_TRUE(scheduler_.drive([&] { return answered == calls; }, true)) << "no answer came";
    }
  }

  std::string look() override {
    std::vector<std::string> found;
    std::uint64_t begins = 0;
    for (std::uint64_t from = 0;;) {
      const auto page = scheduler_.wait<LogPage>(
          [&](Reply<LogPage> reply) { log_->read(from, Pattern::of(">"), 1000, std::move(reply)); },
          true);
      if (!page.ok()) return page.status().ToString();
      for (const Event& each : page->events) found.push_back(bytes_of(each));
      from = page->next;
      begins = page->begins;
      if (page->end) break;
    }
    if (begins != 0 && found.size() < retention_.events)
      return absl::StrCat("it has forgotten all but ", found.size(), " events");
    // All that is there was appended, in that order; of each call all or nothing, and all of it where it was acknowledged, unless it is
    // before the log's beginning.
    std::vector<Append> there;
    std::size_t at = found.size();
    for (auto append = appended_.rbegin(); append != appended_.rend(); ++append) {
      if (at == 0 && begins != 0) break;
      const std::size_t size =
          begins != 0 ? std::min(at, append->events.size()) : append->events.size();
      const bool has =
          size <= at &&
          std::equal(append->events.end() - static_cast<std::ptrdiff_t>(size), append->events.end(),
                     found.begin() + static_cast<std::ptrdiff_t>(at - size));
      if (!has && append->acknowledged)
        return absl::StrCat("an acknowledged append is missing before event ", at + 1);
      if (!has) continue;
      at -= size;
      there.push_back(
          {{append->events.end() - static_cast<std::ptrdiff_t>(size), append->events.end()}, true});
    }
    if (at != 0) return absl::StrCat("event ", at, " is not what was appended");
    std::ranges::reverse(there);
    appended_ = std::move(there);
    return look_at_origin(found.size());
  }

  std::string look_at_origin(std::size_t events) {
    const OriginState state = log_->origin(origin);
    if (state.sequence_reserved < reserved_) return "an acknowledged reservation is missing";
    std::optional<std::uint64_t> tail;
    for (const auto& [prefix, sequence] : state.tails)
      if (prefix.empty()) tail = sequence;
    if (events == 0) return "";
    const auto stream = scheduler_.wait<StreamPart>(
        [&](Reply<StreamPart> reply) {
          log_->read_stream({std::string(origin), 1, {""}, tail.value_or(1) - 1, tail.value_or(1)},
                            1000, std::move(reply));
        },
        true);
    if (!stream.ok()) return stream.status().ToString();
    if (stream->events.size() != 1 || bytes_of(stream->events[0]) != appended_last())
      return "its origin's newest event is another";
    return "";
  }
  std::string appended_last() const {
    for (auto append = appended_.rbegin(); append != appended_.rend(); ++append)
      if (!append->events.empty()) return append->events.back();
    return "";
  }

  Retention retention_;
  std::unique_ptr<RocksEventLog> log_;
  std::vector<Append> appended_;  // in order; those that did not survive a loss of power are gone
  std::uint64_t sequence_ = 0;
  std::uint64_t asked_ = 0;     // reservations grow
  std::uint64_t reserved_ = 0;  // acknowledged
};

class LeasesUnderPowerLoss final : public PowerLoss {
 public:
  using PowerLoss::PowerLoss;
  ~LeasesUnderPowerLoss() override { close(); }

 private:
  static constexpr std::size_t keys = 5;
  using Known = std::optional<LeaseRecord>;  // nullopt: no record

  absl::Status open() override {
    auto opened =
        open_rocks_lease_table(scheduler_, {.path = path(), .cluster = "test", .env = disk_.env()});
    if (!opened.ok()) return opened.status();
    table_ = *std::move(opened);
    return absl::OkStatus();
  }
  void close() override { table_.reset(); }

  static std::string key(std::size_t i) { return absl::StrCat("vm/main/web", i); }

  // One swap of each of some records at a time: they share a sync.
  void work() override {
    const auto opened = scheduler_.wait<Session>(
        [&](Reply<Session> reply) { table_->open_session({"node-a", "disk"}, std::move(reply)); },
        true);
    if (!opened.ok()) return;
    session_ = opened->id;
    const std::uint64_t rounds = random_.below(30);
    for (std::uint64_t round = 0; round < rounds && !disk_.failed(); ++round) {
      std::size_t calls = 0;
      std::size_t answered = 0;
      for (std::size_t i = 0; i < keys; ++i) {
        if (random_.below(2) == 0) continue;
        ++calls;
        tried_[i] = attempt(i);
        table_->swap(*tried_[i],
                     Reply<SwapResult>(far_future, [&, i](absl::StatusOr<SwapResult> result) {
                       ++answered;
                       if (!result.ok()) return;
                       if (!result->won) refused_ = result->why;
                       known_[i] = std::move(result->record);
                       tried_[i].reset();
                     }));
      }
      ASSERT_TRUE(scheduler_.drive([&] { return answered == calls; }, true)) << "no answer came";
    }
  }

  Swap attempt(std::size_t i) {
    Swap swap{.key = key(i), .session = session_, .swap_id = absl::StrCat("swap", ++swaps_)};
    swap.value = absl::StrCat("value", swaps_, std::string(random_.below(2000), 'v'));
    if (!known_[i]) {
      swap.claim = absl::StrCat("address/10.0.0.", i);
      return swap;
    }
    swap.epoch = known_[i]->epoch;
    swap.revision = known_[i]->revision;
    const std::uint64_t way = random_.below(5);
    swap.kind = way == 0 ? SwapKind::REMOVE : way == 1 ? SwapKind::RESTART : SwapKind::DESIRE;
    return swap;
  }

  std::string look() override {
    if (!refused_.empty()) return absl::StrCat("a swap was refused: ", refused_);
    if (!session_.empty()) {
      const auto renewed = scheduler_.wait<Done>(
          [&](Reply<Done> reply) { table_->renew(session_, std::move(reply)); }, true);
      if (!renewed.ok()) return absl::StrCat("the session is gone: ", renewed.status().ToString());
    }
    for (std::size_t i = 0; i < keys; ++i) {
      auto read = scheduler_.wait<LeaseRecord>(
          [&](Reply<LeaseRecord> reply) { table_->read(key(i), std::move(reply)); }, true);
      if (!read.ok() && !absl::IsNotFound(read.status())) return read.status().ToString();
      const Known now = read.ok() ? Known(*std::move(read)) : std::nullopt;
      if (!same(now, known_[i]) && !(tried_[i] && won(*tried_[i], known_[i], now)))
        return absl::StrCat(key(i),
                            " is neither as it was acknowledged nor as it was tried to be: ",
                            now ? absl::StrCat("revision ", now->revision) : "no record");
      known_[i] = now;
      tried_[i].reset();
    }
    return "";
  }
  static bool same(const Known& a, const Known& b) {
    if (!a || !b) return !a && !b;
    return a->epoch == b->epoch && a->revision == b->revision && a->value == b->value &&
           a->swap_id == b->swap_id && a->claim == b->claim && a->holder == b->holder;
  }
  // Whether `now` is what the swap would have made of `before`.
  static bool won(const Swap& swap, const Known& before, const Known& now) {
    switch (swap.kind) {
      case SwapKind::REMOVE:
        return !now;
      case SwapKind::DEFINE:
        return now && now->swap_id == swap.swap_id && now->value == swap.value;
      case SwapKind::RESTART:
        return now && now->swap_id == swap.swap_id && now->epoch == before->epoch + 1;
      default:
        return now && now->revision == before->revision + 1 && now->value == swap.value;
    }
  }

  std::unique_ptr<LeaseTable> table_;
  SessionId session_;  // acknowledged
  std::vector<Known> known_ = std::vector<Known>(keys);
  std::vector<std::optional<Swap>> tried_ =
      std::vector<std::optional<Swap>>(keys);  // and not answered
  std::string refused_;
  std::uint64_t swaps_ = 0;
};

template <class Thing>
class UnderPowerLoss : public testing::Test {};
using Things = testing::Types<LogUnderPowerLoss, LeasesUnderPowerLoss>;
class Names {
 public:
  template <class Thing>
  // NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's
  static std::string GetName(int index) {
    return index == 0 ? "EventLog" : "LeaseTable";
  }
};
TYPED_TEST_SUITE(UnderPowerLoss, Things, Names);

TYPED_TEST(UnderPowerLoss, what_was_acknowledged_is_there_and_nothing_is_there_by_half) {
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed)
    EXPECT_EQ(TypeParam(seed).run(false, false), "") << "seed " << seed;
}

// With every folder above it, whoever made that.
TEST(NewLog, is_there_after_a_loss_of_power_once_it_has_acknowledged_something) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const TemporaryFolder folder;
    PowerLossDisk disk(folder / "disk");
    DrivenScheduler scheduler;
    EventPool pool;
    const RocksEventLogOptions options{
        .path = folder / "disk/made/by/nobody/log", .node = "node-a", .env = disk.env()};
    auto log = RocksEventLog::open(scheduler, pool, options);
    ASSERT_TRUE(log.ok()) << log.status();
    const auto done = scheduler.wait<Done>(
        [&](Reply<Done> reply) {
          (*log)->append({stored_event(pool, 1)}, std::nullopt, std::move(reply));
        },
        true);
    ASSERT_TRUE(done.ok()) << done.status();
    disk.fail_now();
    log->reset();
    Random random(seed);
    disk.restore(random);
    log = RocksEventLog::open(scheduler, pool, options);
    ASSERT_TRUE(log.ok()) << log.status();
    const auto page = scheduler.wait<LogPage>(
        [&](Reply<LogPage> reply) { (*log)->read(0, Pattern::of(">"), 9, std::move(reply)); },
        true);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_EQ(page->events.size(), 1U) << "seed " << seed;
  }
}

// So the first test can fail; and the commit numbers beside the database say that it is the disk which lost them.
TYPED_TEST(UnderPowerLoss, what_a_disk_loses_that_only_says_it_syncs_is_said_to_be_lost) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const std::string wrong = TypeParam(seed).run(true, true);
    if (wrong.empty()) continue;
    ++lost;
    EXPECT_NE(wrong.find("DATA_LOSS"), std::string::npos) << "seed " << seed << ": " << wrong;
  }
  EXPECT_GE(lost, 6);
}

}  // namespace
}  // namespace supercloud
