// The bus beside other buses: raw ZeroMQ (or a file written by hand), ours, and each peer that is on this machine, measured in turn.
//
//   peer_bars [--quick | --tiny] [--only TEXT] [--json FILE] [--servers FOLDER]
//
// A ratio is what a row takes beside the floor, or beside ours: 2 takes twice as long. Exit code 1: something was lost, or did not answer. A peer that is
// not there is a row that says so.
#include <algorithm>
#include <filesystem>
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
#include "bench/bus/raw_lane.h"
#include "bench/bus/settings.h"
#include "bench/peers/peer_lanes.h"
#include "bench/peers/peers.h"
#include "cli/measure/bus_lane.h"
#include "cli/measure/disk_lane.h"
#include "cli/measure/paired.h"
#include "nlohmann/json.hpp"

namespace supercloud {
namespace {

// Of one message, or of one that was delivered; in seconds.
struct Taken {
  double value = 0;  // what the row is about
  double publisher_cpu = 0, subscriber_cpu = 0, server_cpu = 0;
  bool has_cpu = false;
};

struct Entrant {
  std::string name;
  std::function<absl::StatusOr<Taken>()> measure;
};

double median_of(const std::vector<Taken>& all, double Taken::* what) {
  std::vector<double> values;
  for (const Taken& each : all) values.push_back(each.*what);
  return median(std::move(values)) * 1e6;
}

class PeerTable {
 public:
  explicit PeerTable(BarSettings settings) : settings_(std::move(settings)) {
    std::cout << absl::StrFormat("%-56s %10s %-8s %8s %-18s %8s %-18s %s\n", "", "median", "",
                                 "/ floor", "95 %", "/ ours", "95 %",
                                 "CPU us/delivery: publisher subscriber server")
              << std::flush;  // else those that are forked would have it too
  }
  const BarSettings& settings() const { return settings_; }

  // The first is the floor, the second is ours.
  void race(const std::string& row, const std::string& unit, const std::vector<Entrant>& entrants) {
    std::vector<std::vector<Taken>> taken(entrants.size());
    std::vector<std::function<double()>> ways;
    for (std::size_t i = 0; i < entrants.size(); ++i)
      ways.emplace_back([&, i] {
        const auto measured = entrants[i].measure();
        if (!measured.ok()) fail(name_of(row, entrants[i].name), measured.status());
        if (measured.ok()) taken[i].push_back(*measured);
        return measured.ok() ? measured->value : 0.0;
      });
    const auto values = measure_rounds(settings_.pairs, ways);
    for (std::size_t i = 0; i < entrants.size(); ++i)
      if (!values[i].empty())
        tell(name_of(row, entrants[i].name), unit, taken[i],
             i == 0 ? Paired{} : pair_up(values[i], values[0]),
             i == 1 ? Paired{} : pair_up(values[i], values[1]));
  }
  void absent(const std::string& row, const std::string& peer, const std::string& why) {
    const std::string name = name_of(row, peer);
    std::cout << absl::StrFormat("%-56s not measured: %s\n", name, why) << std::flush;
    rows_.push_back({{"name", name}, {"absent", why}});
  }
  void fail(const std::string& name, const absl::Status& why) {
    failed_ = true;
    std::cerr << name << ": " << why << "\n";
  }
  bool failed() const { return failed_; }
  std::string json() const { return nlohmann::json{{"rows", rows_}}.dump(2); }

  static std::string name_of(const std::string& row, const std::string& entrant) {
    return absl::StrCat(row, ": ", entrant);
  }

 private:
  static std::string ratio(const Paired& paired) {
    return paired.ratio <= 0
               ? absl::StrFormat("%8s %-18s", "", "")
               : absl::StrFormat("%8.2f %6.2f to %-8.2f", paired.ratio, paired.low, paired.high);
  }
  static nlohmann::json as_json(const Paired& paired) {
    return {{"ratio", paired.ratio}, {"low", paired.low}, {"high", paired.high}};
  }
  void tell(const std::string& name, const std::string& unit, const std::vector<Taken>& taken,
            const Paired& to_floor, const Paired& to_ours) {
    const double value = median_of(taken, &Taken::value);
    nlohmann::json row{{"name", name}, {"unit", unit}, {"median", value}};
    if (to_floor.ratio > 0) row["to_floor"] = as_json(to_floor);
    if (to_ours.ratio > 0) row["to_ours"] = as_json(to_ours);
    std::string cpu;
    if (taken.front().has_cpu) {
      const double publisher = median_of(taken, &Taken::publisher_cpu),
                   subscriber = median_of(taken, &Taken::subscriber_cpu),
                   server = median_of(taken, &Taken::server_cpu);
      cpu = absl::StrFormat("%8.2f %8.2f %8.2f", publisher, subscriber, server);
      row["cpu"] = {{"publisher", publisher}, {"subscriber", subscriber}, {"server", server}};
    }
    std::cout << absl::StrFormat("%-56s %10.2f %-8s %s %s %s\n", name, value, unit, ratio(to_floor),
                                 ratio(to_ours), cpu)
              << std::flush;
    rows_.push_back(std::move(row));
  }

  const BarSettings settings_;
  std::vector<nlohmann::json> rows_;
  bool failed_ = false;
};

// Those of the peers that can be measured here; the others' rows say why they are not.
class Field {
 public:
  Field(PeerTable& table, std::string row, std::vector<std::string> always)
      : table_(table), row_(std::move(row)) {
    for (const std::string& name : always) wanted_ = wanted_ || wants(name);
  }
  void add(std::vector<Peer> peers, const std::filesystem::path& servers,
           const std::function<void(const Peer&, const ServerProgram&)>& take) {
    for (const Peer& peer : peers) {
      if (!wants(peer.name)) continue;
      wanted_ = true;
      const auto program = find_server(peer.program, servers);
      if (!program.ok())
        table_.absent(row_, peer.name, std::string(program.status().message()));
      else if (!peer.connect && !peer.open_store)
        table_.absent(row_, peer.name, absl::StrCat("built without ", peer.library));
      else
        take(peer, *program);
    }
  }
  bool wanted() const { return wanted_; }

 private:
  bool wants(const std::string& name) const {
    return table_.settings().wanted(PeerTable::name_of(row_, name));
  }

  PeerTable& table_;
  const std::string row_;
  bool wanted_ = false;
};

constexpr const char* floor_name = "raw ZeroMQ, ipc";
constexpr const char* ours_name = "ours, ipc";
constexpr const char* floor_file_name = "a file, fdatasync";
constexpr const char* ours_stored_name = "ours, synced";

enum class About { time, cpu };

// `times` bursts of so many messages, in the mean.
absl::StatusOr<Taken> burst(Lane& lane, About about, int subscribers, int messages, int times) {
  Taken taken{.has_cpu = true};
  for (int i = 0; i < times; ++i) {
    const absl::StatusOr<Burst> sent = lane.send(messages);
    if (!sent.ok()) return sent.status();
    const double deliveries = static_cast<double>(subscribers) * messages * times;
    taken.publisher_cpu += sent->publisher_cpu_seconds / deliveries;
    taken.subscriber_cpu += sent->subscribers_cpu_seconds / deliveries;
    taken.server_cpu += sent->server_cpu_seconds / deliveries;
    if (about == About::time) taken.value += sent->seconds / messages / times;
  }
  if (about == About::cpu)
    taken.value = taken.publisher_cpu + taken.subscriber_cpu + taken.server_cpu;
  return taken;
}

void burst_row(PeerTable& table, const std::filesystem::path& servers, const std::string& row,
               About about, const LaneShape& shape, int messages, int times) {
  // All are made before one is opened: they fork, and what is open has threads.
  std::vector<std::pair<std::string, std::unique_ptr<Lane>>> lanes;
  Field field(table, row, {floor_name, ours_name});
  field.add(passing_peers(), servers, [&](const Peer& peer, const ServerProgram& program) {
    lanes.emplace_back(peer.name,
                       peer_lane(program, peer.plan, peer.connect, shape, messages == 1));
  });
  if (!field.wanted()) return;
  lanes.emplace(lanes.begin(), ours_name, bus_lane(shape));
  lanes.emplace(lanes.begin(), floor_name, raw_lane(shape));
  std::vector<Entrant> entrants;
  for (const auto& [name, lane] : lanes) {
    if (const absl::Status opened = lane->open(); !opened.ok()) {
      table.fail(PeerTable::name_of(row, name), opened);
      if (entrants.size() < 2) return;  // beside these the others are measured
      continue;
    }
    entrants.push_back({name, [&measured = *lane, about, &shape, messages, times] {
                          return burst(measured, about, shape.subscribers, messages, times);
                        }});
  }
  table.race(row, about == About::cpu ? "us/deliv." : messages == 1 ? "us" : "us/event", entrants);
}

void bus_rows(PeerTable& table, const std::filesystem::path& servers) {
  burst_row(table, servers, "round trip, 256 B", About::time, {.subscribers = 1, .bytes = 256}, 1,
            table.settings().messages(400));
  const std::pair<std::size_t, const char*> sizes[] = {{256, "256 B"}, {4096, "4 KiB"}};
  for (const auto& [bytes, size] : sizes) {
    burst_row(table, servers, absl::StrCat("1 to 1, ", size), About::time,
              {.subscribers = 1, .bytes = bytes}, table.settings().messages(burst_max()), 1);
    burst_row(table, servers, absl::StrCat("1 to 8, CPU, ", size), About::cpu,
              {.subscribers = 8, .bytes = bytes}, table.settings().messages(5'000), 1);
  }
}

void disk_rows(PeerTable& table, const std::filesystem::path& servers) {
  for (const int together : {1, 64}) {
    const std::string row = together == 1 ? "durable, one at a time" : "durable, 64 in flight";
    std::vector<std::pair<std::string, std::unique_ptr<DiskLane>>> lanes;
    Field field(table, row, {floor_file_name, ours_stored_name});
    field.add(keeping_peers(), servers, [&](const Peer& peer, const ServerProgram& program) {
      lanes.emplace_back(peer.name, peer_disk_lane(program, peer.plan, peer.open_store));
    });
    if (!field.wanted()) continue;
    auto ours = log_lane();
    if (!ours.ok()) {
      table.fail(PeerTable::name_of(row, ours_stored_name), ours.status());
      continue;
    }
    lanes.emplace(lanes.begin(), ours_stored_name, *std::move(ours));
    lanes.emplace(lanes.begin(), floor_file_name, file_lane());
    std::vector<Entrant> entrants;
    for (const auto& [name, lane] : lanes)
      entrants.push_back({name, [&measured = *lane, together]() -> absl::StatusOr<Taken> {
                            const auto seconds = measured.store(together);
                            if (!seconds.ok()) return seconds.status();
                            return Taken{.value = *seconds};
                          }});
    table.race(row, together == 1 ? "us" : "us/64", entrants);
  }
}

int run(int count, char** arguments) {
  CLI::App app("The bus beside other buses on this machine, of which each is measured in turn");
  BarSettings settings;
  add_settings(app, settings);
  std::string servers;
  app.add_option("--servers", servers,
                 "Where the packages of the peers' servers are unpacked; else installed ones");
  CLI11_PARSE(app, count, arguments);
  PeerTable table(settings);
  bus_rows(table, servers);
  disk_rows(table, servers);
  if (!settings.json.empty()) std::ofstream(settings.json) << table.json() << "\n";
  return table.failed() ? 1 : 0;
}

}  // namespace
}  // namespace supercloud

int main(int count, char** arguments) { return supercloud::run(count, arguments); }
