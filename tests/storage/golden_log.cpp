// golden_log FOLDER: writes a golden log there, as this build writes logs: tests/storage/golden/README.md.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "absl/strings/escaping.h"
#include "core/json.h"
#include "storage/rocks_event_log.h"
#include "tests/core/golden_events.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/stored_events.h"

namespace supercloud {
namespace {

int write_golden_log(const std::filesystem::path& folder) {
  if (!std::filesystem::create_directories(folder)) {
    std::cerr << folder << " is there already: a golden log is never written again\n";
    return 1;
  }
  DrivenScheduler scheduler;
  EventPool pool;
  const std::vector<Event> events = golden_events(pool);
  // In two lives of the log: what the second finds there goes into a table, what it writes stays in RocksDB's write-ahead log.
  const std::size_t half = events.size() / 2;
  for (const bool first : {true, false}) {
    const std::vector<Event> part(first ? events.begin() : events.begin() + half,
                                  first ? events.begin() + half : events.end());
    const Event& last = part.back();
    const EventLog::Reservation reserve{std::string(last.origin()), last.incarnation(),
                                        last.sequence() + 1024};
    auto log = RocksEventLog::open(scheduler, pool, {.path = folder / "log", .node = "node-a"});
    const absl::Status done =
        !log.ok()
            ? log.status()
            : scheduler
                  .wait<Done>(
                      [&](Reply<Done> reply) { (*log)->append(part, reserve, std::move(reply)); },
                      true)
                  .status();
    if (!done.ok()) {
      std::cerr << done << "\n";
      return 1;
    }
  }
  std::ofstream hex(folder / "events.hex");
  std::ofstream json(folder / "events.json");
  for (const Event& event : events) {
    hex << absl::BytesToHexString(bytes_of(event)) << "\n";
    json << to_json(event) << "\n";
  }
  // What says that a process has it, and RocksDB's own diaries.
  std::filesystem::remove(folder / "log" / "lock");
  std::filesystem::remove(folder / "log" / "rocks" / "LOCK");
  for (const auto& entry : std::filesystem::directory_iterator(folder / "log" / "rocks"))
    if (entry.path().filename().string().starts_with("LOG")) std::filesystem::remove(entry);
  return hex && json ? 0 : 1;
}

}  // namespace
}  // namespace supercloud

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "golden_log FOLDER\n";
    return 2;
  }
  return supercloud::write_golden_log(argv[1]);
}
