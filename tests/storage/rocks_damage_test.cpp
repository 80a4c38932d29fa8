// Flipped bytes, files cut short or gone: a log or table either opens with everything in it, or says what is wrong, where and what
// to do. Nothing is lost in silence, nothing crashes, and what was refused was left as it is.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "storage/rocks_event_log.h"
#include "storage/rocks_lease_table.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/stored_events.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t events_stored = 60;

struct Damage {
  std::string what;
  void (*apply)(const std::string& file, std::uintmax_t place);
};

void flip(const std::string& file, std::uintmax_t place) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(place));
  const char byte = static_cast<char>(stream.get());
  stream.seekp(static_cast<std::streamoff>(place));
  stream.put(static_cast<char>(byte ^ 0x41));
}
void cut(const std::string& file, std::uintmax_t place) { fs::resize_file(file, place); }
void remove(const std::string& file, std::uintmax_t) { fs::remove(file); }

// Runs `check` over copies of `original`, each damaged in one place. RocksDB's own diary does not count.
template <class Check>
int for_each_damage(const std::string& original, const std::string& copy, Check check) {
  int cases = 0;
  const std::vector<Damage> kinds = {{"flipped", flip}, {"cut", cut}, {"removed", remove}};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(original + "/rocks")) {
    const std::string name = entry.path().filename();
    if (entry.is_regular_file() && !name.starts_with("LOG") && name != "LOCK")
      files.push_back(name);
  }
  for (const std::string& name : files) {
    const std::uintmax_t size = fs::file_size(original + "/rocks/" + name);
    for (const Damage& damage : kinds) {
      const int places = damage.what == "removed" ? 1 : 6;
      for (int i = 0; i < places; ++i) {
        const std::uintmax_t place = size == 0 ? 0 : (size - 1) * static_cast<unsigned>(i) / 5;
        fs::remove_all(copy);
        fs::copy(original, copy, fs::copy_options::recursive);
        damage.apply(copy + "/rocks/" + name, place);
        SCOPED_TRACE(name + " " + damage.what + " at " + std::to_string(place) + " of " +
                     std::to_string(size));
        check();
        ++cases;
      }
    }
  }
  return cases;
}

void expect_clear(const absl::Status& status, const std::string& path) {
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_NE(status.message().find(path), std::string::npos) << status;
  EXPECT_NE(status.message().find("Restore the folder from a copy"), std::string::npos) << status;
}

class DamagedFolder : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<RocksEventLog>> open_log(const std::string& path) {
    return RocksEventLog::open(scheduler_, pool_, {.path = path, .node = "node-a"});
  }
  void append(RocksEventLog& log, std::uint64_t sequence) {
    const auto done = scheduler_.wait<Done>(
        [&](Reply<Done> reply) {
          log.append({stored_event(pool_, sequence)}, std::nullopt, std::move(reply));
        },
        true);
    ASSERT_TRUE(done.ok()) << done.status();
  }
  // A log of which half is in table files and half in the write-ahead log.
  std::string make_log() {
    const std::string path = folder_ / "log";
    for (const bool second : {false, true}) {
      auto log = open_log(path);
      EXPECT_TRUE(log.ok()) << log.status();
      for (std::uint64_t i = 1; i <= events_stored / 2; ++i) {
        append(**log, i + (second ? events_stored / 2 : 0));
      }
    }
    return path;
  }
  // What is wrong, or OK if everything is there.
  absl::Status look(absl::StatusOr<std::unique_ptr<RocksEventLog>> log) {
    if (!log.ok()) return log.status();
    const auto page = scheduler_.wait<LogPage>(
        [&](Reply<LogPage> reply) {
          (*log)->read(0, Pattern::of(">"), events_stored + 10, std::move(reply));
        },
        true);
    if (!page.ok()) return page.status();
    EXPECT_EQ(page->events.size(), events_stored) << "lost in silence";
    for (std::size_t i = 0; i < page->events.size(); ++i) {
      EXPECT_EQ(bytes_of(page->events[i]), bytes_of(stored_event(pool_, i + 1)));
    }
    EXPECT_EQ((*log)->origin("node-a/executor").tails[0].second, events_stored);
    return absl::OkStatus();
  }

  TemporaryFolder folder_;
  DrivenScheduler scheduler_;
  EventPool pool_;
};

TEST_F(DamagedFolder, of_a_log_is_opened_whole_or_refused) {
  const std::string original = make_log();
  ASSERT_TRUE(look(open_log(original)).ok());
  fs::remove_all(original);
  make_log();
  const std::string copy = folder_ / "copy";
  int refused = 0;
  const int cases = for_each_damage(original, copy, [&] {
    const absl::Status found = look(open_log(copy));
    if (found.ok()) return;
    ++refused;
    expect_clear(found, copy);
    // Not made worse, nor whole, by having been looked at.
    expect_clear(look(open_log(copy)), copy);
  });
  EXPECT_GT(cases, 50);
  EXPECT_GT(refused, 20);
}

TEST_F(DamagedFolder, of_a_log_is_read_whole_or_refused_by_readers) {
  const std::string original = make_log();
  const std::string copy = folder_ / "copy";
  const int cases = for_each_damage(original, copy, [&] {
    const absl::Status found =
        look(RocksEventLog::open_read_only(scheduler_, pool_, {.path = copy}));
    if (!found.ok()) expect_clear(found, copy);
  });
  EXPECT_GT(cases, 50);
}

TEST_F(DamagedFolder, of_a_table_is_opened_whole_or_refused) {
  const std::string original = folder_ / "leases";
  const std::string copy = folder_ / "copy";
  constexpr int leases = 20;
  SessionId session;
  for (int half = 0; half < 2; ++half) {
    auto table = open_rocks_lease_table(scheduler_, {.path = original});
    ASSERT_TRUE(table.ok()) << table.status();
    session = scheduler_
                  .wait<Session>(
                      [&](Reply<Session> reply) {
                        (*table)->open_session({"a", "disk"}, std::move(reply));
                      },
                      true)
                  ->id;
    for (int i = half * leases / 2; i < (half + 1) * leases / 2; ++i) {
      const auto result = scheduler_.wait<SwapResult>(
          [&](Reply<SwapResult> reply) {
            (*table)->swap({.key = "vm/main/web" + std::to_string(i),
                            .kind = SwapKind::DEFINE,
                            .session = session,
                            .swap_id = "swap-" + std::to_string(i)},
                           std::move(reply));
          },
          true);
      ASSERT_TRUE(result.ok() && result->won);
    }
  }
  int refused = 0;
  for_each_damage(original, copy, [&] {
    auto table = open_rocks_lease_table(scheduler_, {.path = copy});
    if (!table.ok()) {
      ++refused;
      expect_clear(table.status(), copy);
      return;
    }
    const auto records = scheduler_.wait<std::vector<LeaseRecord>>(
        [&](Reply<std::vector<LeaseRecord>> reply) { (*table)->list({}, std::move(reply)); }, true);
    ASSERT_TRUE(records.ok()) << records.status();
    EXPECT_EQ(records->size(), static_cast<std::size_t>(leases)) << "lost in silence";
    for (const LeaseRecord& record : *records) EXPECT_TRUE(record.session_alive);
  });
  EXPECT_GT(refused, 20);
}

TEST_F(DamagedFolder, without_a_witness_is_opened_whole) {
  const std::string path = make_log();
  for (const bool removed : {true, false}) {
    if (removed) {
      fs::remove(path + "/synced");
    } else {
      flip(path + "/synced", 3);
    }
    EXPECT_TRUE(look(open_log(path)).ok());
  }
}

TEST_F(DamagedFolder, whose_write_ahead_log_is_torn_where_nothing_was_synced_is_opened_whole) {
  const std::string path = make_log();
  for (const auto& entry : fs::directory_iterator(path + "/rocks")) {
    if (entry.path().extension() != ".log" || entry.file_size() == 0) continue;
    std::ofstream(entry.path(), std::ios::app | std::ios::binary) << std::string(100, '\x5a');
  }
  EXPECT_TRUE(look(open_log(path)).ok());
}

}  // namespace
}  // namespace supercloud
