// How close the bus is to bare ZeroMQ, and its log to a file written by hand: each row measures both in turn, and says whether its bar is met.
//
//   bus_bars [--quick | --tiny] [--only TEXT] [--json FILE]
//
// A ratio is what ours takes beside the floor: 1 is as good, 2 takes twice as long. Beside it the processor time of one delivered message, of its
// publisher and its subscriber; of both sides, over the whole row. Exit code 1: something was lost, or did not answer.
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/bus/file_lane.h"
#include "bench/bus/memory.h"
#include "bench/bus/raw_lane.h"
#include "bench/bus/replay_lane.h"
#include "bench/bus/settings.h"
#include "cli/measure/bus_lane.h"
#include "cli/measure/child.h"
#include "cli/measure/disk_lane.h"
#include "cli/measure/paired.h"
#include "nlohmann/json.hpp"

namespace supercloud {
namespace {

struct Row {
  std::string name, unit;
  double bar = 0, goal = 0;
};

// Processor time of all messages that a lane delivered.
struct Processor {
  double publisher_seconds = 0, subscribers_seconds = 0;
  double delivered = 0;

  void add(const Burst& burst, int deliveries) {
    publisher_seconds += burst.publisher_cpu_seconds;
    subscribers_seconds += burst.subscribers_cpu_seconds;
    delivered += deliveries;
  }
  double publisher_us() const { return delivered == 0 ? 0 : publisher_seconds / delivered * 1e6; }
  double subscriber_us() const {
    return delivered == 0 ? 0 : subscribers_seconds / delivered * 1e6;
  }
  std::string to_string() const {
    return absl::StrFormat("%.2f + %.2f", publisher_us(), subscriber_us());
  }
  nlohmann::json to_json() const {
    return {{"publisher", publisher_us()}, {"subscriber", subscriber_us()}};
  }
};
struct Processors {
  Processor ours, floor;
};

class Table {
 public:
  explicit Table(BarSettings settings) : settings_(std::move(settings)) {
    std::cout << absl::StrFormat("%-44s %10s %10s  %-8s %6s  %-17s %5s  %-12s %5s  %-12s  %s\n", "",
                                 "ours", "floor", "unit", "ratio", "95 %", "bar", "", "goal", "",
                                 "CPU us, publisher + subscriber (floor)");
  }
  bool wanted(const std::string& name) const { return settings_.wanted(name); }
  int messages(int most) const { return settings_.messages(most); }

  void add(const Row& row, const std::function<absl::StatusOr<double>()>& ours,
           const std::function<absl::StatusOr<double>()>& floor,
           const Processors* processors = nullptr) {
    absl::Status wrong;
    const auto checked = [&wrong](const std::function<absl::StatusOr<double>()>& measure) {
      return [&wrong, &measure] {
        const absl::StatusOr<double> took = measure();
        wrong.Update(took.status());
        return took.ok() ? *took : 0.0;
      };
    };
    const Paired paired = measure_pairs(settings_.pairs, checked(ours), checked(floor));
    if (!wrong.ok()) return fail(row.name, wrong);
    std::cout
        << absl::StrFormat(
               "%-44s %10.2f %10.2f  %-8s %6.2f  %5.2f to %-8.2f %5.2f  %-12s %5.2f  %-12s  %s\n",
               row.name, paired.ours * 1e6, paired.floor * 1e6, row.unit, paired.ratio, paired.low,
               paired.high, row.bar, std::string(verdict(paired, row.bar)), row.goal,
               std::string(verdict(paired, row.goal)),
               processors == nullptr ? ""
                                     : absl::StrCat(processors->ours.to_string(), " (",
                                                    processors->floor.to_string(), ")"))
        << std::flush;
    rows_.push_back({{"name", row.name},
                     {"unit", row.unit},
                     {"ours", paired.ours * 1e6},
                     {"floor", paired.floor * 1e6},
                     {"ratio", paired.ratio},
                     {"low", paired.low},
                     {"high", paired.high},
                     {"bar", row.bar},
                     {"bar_is", verdict(paired, row.bar)},
                     {"goal", row.goal},
                     {"goal_is", verdict(paired, row.goal)}});
    if (processors != nullptr) {
      rows_.back()["cpu_us_per_delivery"] = {{"ours", processors->ours.to_json()},
                                             {"floor", processors->floor.to_json()}};
    }
  }
  void state(const std::string& name, double value, const std::string& unit) {
    std::cout << absl::StrFormat("%-44s %10.2f %10s  %-8s %6s  stated\n", name, value, "", unit, "")
              << std::flush;
    rows_.push_back({{"name", name}, {"unit", unit}, {"stated", value}});
  }
  void fail(const std::string& name, const absl::Status& why) {
    failed_ = true;
    std::cerr << name << ": " << why << "\n";
  }
  bool failed() const { return failed_; }
  std::string json() const { return nlohmann::json{{"rows", rows_}}.dump(2); }

 private:
  const BarSettings settings_;
  std::vector<nlohmann::json> rows_;
  bool failed_ = false;
};

// Both lanes of a shape, open; null after a failure, which the table has been told.
struct Lanes {
  std::unique_ptr<Lane> ours, floor;
};
Lanes open_lanes(Table& table, const std::string& name, const LaneShape& shape) {
  Lanes lanes{bus_lane(shape), raw_lane(shape)};
  for (Lane* lane : {lanes.ours.get(), lanes.floor.get()})
    if (const absl::Status opened = lane->open(); !opened.ok()) {
      table.fail(name, opened);
      return {};
    }
  return lanes;
}

using Measure = std::function<double(const Burst&)>;  // of one message, in seconds

void bursts(Table& table, const Row& row, const LaneShape& shape, int messages, int times,
            const Measure& measure) {
  if (!table.wanted(row.name)) return;
  const Lanes lanes = open_lanes(table, row.name, shape);
  if (lanes.ours == nullptr) return;
  Processors processors;
  const auto run = [&](Lane& lane, Processor& processor) {
    return [&lane, &processor, &shape, &measure, messages, times]() -> absl::StatusOr<double> {
      double sum = 0;
      for (int i = 0; i < times; ++i) {
        const absl::StatusOr<Burst> burst = lane.send(messages);
        if (!burst.ok()) return burst.status();
        sum += measure(*burst);
        processor.add(*burst, messages * shape.subscribers);
      }
      return sum / messages / times;
    };
  };
  table.add(row, run(*lanes.ours, processors.ours), run(*lanes.floor, processors.floor),
            &processors);
}

std::string over(const LaneShape& shape) {
  return absl::StrCat(shape.bytes < 1024 ? absl::StrCat(shape.bytes, " B") : "4 KiB",
                      shape.curve ? ", tcp with CURVE" : ", ipc");
}

// For every message one of the bus's rates has to be at least `part` of the floor's: it takes at most 1 / part of its time.
constexpr double at_least(double part) { return 1 / part; }

void bus_rows(Table& table) {
  const auto wall = [](const Burst& burst) { return burst.seconds; };
  for (const bool curve : {false, true}) {
    const LaneShape shape{.subscribers = 1, .bytes = 256, .curve = curve};
    bursts(table, {absl::StrCat("round trip, ", over(shape)), "us", 1.25, 1.1}, shape, 1,
           table.messages(400), wall);
  }
  for (const bool curve : {false, true})
    for (const std::size_t bytes : {std::size_t{256}, std::size_t{4096}}) {
      const LaneShape one{.subscribers = 1, .bytes = bytes, .curve = curve};
      bursts(table, {absl::StrCat("1 to 1, ", over(one)), "us/event", at_least(0.8), at_least(1)},
             one, table.messages(burst_max()), 1, wall);
      const LaneShape eight{.subscribers = 8, .bytes = bytes, .curve = curve};
      const Row row{absl::StrCat("1 to 8, CPU, ", over(eight)), "us/deliv.", at_least(0.8),
                    at_least(1)};
      bursts(table, row, eight, table.messages(5'000), 1, [](const Burst& burst) {
        return (burst.publisher_cpu_seconds + burst.subscribers_cpu_seconds) / 8;
      });
    }
}

void disk_rows(Table& table) {
  // With a node's key, as over tcp, each commit is signed; the floor is the same.
  for (const auto& [together, signs] : {std::pair(64, false), {64, true}, {1, false}, {1, true}}) {
    Row row = together == 1 ? Row{"durable, one at a time", "us", 1.5, 1.2}
                            : Row{"durable, 64 in flight", "us/64", at_least(0.7), at_least(0.9)};
    if (signs) row.name += ", signed";
    if (!table.wanted(row.name)) continue;
    const auto ours = log_lane({}, signs);
    if (!ours.ok()) {
      table.fail(row.name, ours.status());
      continue;
    }
    const auto floor = file_lane();
    Processors processors;
    const auto run = [together = together](DiskLane& lane, Processor& processor) {
      return [&lane, &processor, together] {
        Burst burst{.publisher_cpu_seconds = -own_cpu_seconds()};
        const absl::StatusOr<double> seconds = lane.store(together);
        burst.publisher_cpu_seconds += own_cpu_seconds();
        processor.add(burst, together);
        return seconds;
      };
    };
    table.add(row, run(**ours, processors.ours), run(*floor, processors.floor), &processors);
  }
}

// Beside no floor but the bar itself: half a million events a second, 2 us for each.
void replay_row(Table& table) {
  const Row row{"replay of a log, ipc", "us/event", 1, 0.25};
  if (!table.wanted(row.name)) return;
  const int events = table.messages(50'000);
  const auto lane = replay_lane(events);
  if (const absl::Status opened = lane->open(); !opened.ok()) return table.fail(row.name, opened);
  Processors processors;
  table.add(
      row,
      [&]() -> absl::StatusOr<double> {
        Burst burst{.publisher_cpu_seconds = -lane->publisher_cpu_seconds(),
                    .subscribers_cpu_seconds = -own_cpu_seconds()};
        const absl::StatusOr<double> seconds = lane->replay();
        if (!seconds.ok()) return seconds.status();
        burst.publisher_cpu_seconds += lane->publisher_cpu_seconds();
        burst.subscribers_cpu_seconds += own_cpu_seconds();
        processors.ours.add(burst, events);
        return *seconds / events;
      },
      [] { return 1 / 0.5e6; }, &processors);
}

// They have no bar: they are stated.
void memory_rows(Table& table) {
  const std::string name = "memory, ipc";
  if (!table.wanted(name)) return;
  const absl::StatusOr<BusMemory> memory =
      measure_bus_memory(table.messages(16), table.messages(4000));
  if (!memory.ok()) return table.fail(name, memory.status());
  table.state(name + ", per connected peer", memory->per_peer / 1024, "KiB");
  table.state(name + ", per idle subscription, publisher",
              memory->per_subscription_publisher / 1024, "KiB");
  table.state(name + ", per idle subscription, subscriber",
              memory->per_subscription_subscriber / 1024, "KiB");
}

int run(int count, char** arguments) {
  CLI::App app("How close the bus is to bare ZeroMQ, and its log to a file written by hand");
  BarSettings settings;
  add_settings(app, settings);
  CLI11_PARSE(app, count, arguments);
  Table table(settings);
  // First: a member that comes of a process which has sent much finds room in what that left.
  memory_rows(table);
  bus_rows(table);
  replay_row(table);
  disk_rows(table);
  if (!settings.json.empty()) std::ofstream(settings.json) << table.json() << "\n";
  return table.failed() ? 1 : 0;
}

}  // namespace
}  // namespace supercloud

int main(int count, char** arguments) { return supercloud::run(count, arguments); }
