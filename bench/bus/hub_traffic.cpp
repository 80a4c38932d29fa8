// What the bus costs as clouds grow, with a hub for each and without: the code of the live bus over the simulated network, in virtual time.
//
// Each node says its heartbeat every second (five origins), a telemetry event every two, and a durable one every ten; it subscribes to the
// durable ones of all clouds, and to the telemetry of none.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/hub.h"
#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/topic.h"
#include "core/virtual_scheduler.h"

namespace supercloud {
namespace {

constexpr std::size_t cloud_nodes = 100;
constexpr Duration measured = absl::Seconds(10);
constexpr std::string_view origins[] = {"node", "executor", "policy", "network", "log"};

class TrafficNode final : public BusReceiver {
 public:
  TrafficNode(std::string name, SimulatedNetwork& network, VirtualScheduler& scheduler,
              EventPool& pool, SimulatedBusOptions options)
      : name_(std::move(name)), pool_(pool), bus_(name_, network, scheduler, pool, options) {
    bus_.start(*this, {});
  }
  void on_event(Event) override { ++heard_; }
  void on_gap(const BusGap&) override { ++gaps_; }
  void on_request(std::string, std::string, Reply<std::string>) override {}
  void on_rejected(std::string, std::string) override { ++rejected_; }
  void on_peer(std::string, bool) override {}

  void subscribe() {
    bus_.subscribe("migration.",
                   Reply<Done>(far_future, [this](const absl::StatusOr<Done>&) { ready_ = true; }));
  }
  void say(std::uint64_t second) {
    Draft beat = pool_.draft(name_);
    auto heartbeat = beat.payload().initNodeHeartbeat();
    auto tails = heartbeat.initTails(static_cast<unsigned>(std::size(origins)));
    for (unsigned i = 0; i < tails.size(); ++i) {
      tails[i].setOrigin(absl::StrCat(name_, "/", std::string(origins[i])));
      tails[i].setIncarnation(1);
      tails[i].setSequence(sequences_[i]);
    }
    publish(std::move(beat), 0);
    if (second % 2 == 0) {
      Draft telemetry = pool_.draft(name_);
      telemetry.payload().initNodeCapacity();
      publish(std::move(telemetry), 1);
    }
    if (second % 10 == 0) {
      Draft durable = pool_.draft(name_);
      durable.payload().initMigrationAborted();
      publish(std::move(durable), 2);
    }
  }

  bool ready() const { return ready_; }
  bool joined() const { return !bus_.relays().empty(); }
  std::uint64_t heard() const { return heard_; }
  std::uint64_t wrong() const { return gaps_ + rejected_; }

 private:
  void publish(Draft draft, std::size_t origin) {
    if (!draft.set_topic().ok()) return;
    const std::string name = absl::StrCat(name_, "/", std::string(origins[origin]));
    Envelope envelope{.origin = name, .incarnation = 1};
    for (std::uint64_t& previous : envelope.previous) previous = sequences_[origin];
    envelope.sequence = ++sequences_[origin];
    const absl::StatusOr<Event> event = std::move(draft).seal(envelope);
    if (event.ok()) bus_.publish(*event);
  }

  const std::string name_;
  EventPool& pool_;
  SimulatedBus bus_;
  std::uint64_t sequences_[std::size(origins)] = {};
  std::uint64_t heard_ = 0, gaps_ = 0, rejected_ = 0;
  bool ready_ = false;
};

struct TrafficCloud {
  TrafficCloud(VirtualScheduler& scheduler, EventPool& pool, SimulatedNetwork& wide,
               std::size_t number, const SimulatedBusOptions& options, bool with_hub)
      : network(scheduler, Random(number)) {
    if (!with_hub) return;
    const std::string name = absl::StrCat("hub-", number);
    bus = std::make_unique<SimulatedBus>(name, network, scheduler, pool, options);
    wide_bus = std::make_unique<SimulatedBus>(name, wide, scheduler, pool, options);
    hub = std::make_unique<Hub>(scheduler, pool, *bus, *wide_bus, HubOptions{.name = name});
  }
  SimulatedNetwork network;
  std::unique_ptr<SimulatedBus> bus, wide_bus;
  std::unique_ptr<Hub> hub;
};

// False: something was missed, or nobody heard the others.
bool measure(std::size_t nodes, bool hubs) {
  const std::size_t before = ::mallinfo2().uordblks;
  VirtualScheduler scheduler;
  EventPool pool;
  SimulatedBusOptions options;
  options.gaps = hub_gap_options();
  SimulatedNetwork wide(scheduler, Random(1));
  wide.set_faults({.delay_min = absl::Milliseconds(10), .delay_max = absl::Milliseconds(80)});
  const std::size_t clouds = hubs ? (nodes + cloud_nodes - 1) / cloud_nodes : 1;
  std::vector<std::unique_ptr<TrafficCloud>> all_clouds;
  for (std::size_t cloud = 0; cloud < clouds; ++cloud)
    all_clouds.push_back(
        std::make_unique<TrafficCloud>(scheduler, pool, wide, cloud, options, hubs));
  std::vector<std::unique_ptr<TrafficNode>> all;
  for (std::size_t node = 0; node < nodes; ++node)
    all.push_back(std::make_unique<TrafficNode>(
        absl::StrCat("node-", node), all_clouds[node % clouds]->network, scheduler, pool, options));
  const auto until = [&](auto condition) {
    for (int step = 0; step < 6000; ++step) {
      bool all_good = true;
      for (const auto& node : all) all_good = all_good && condition(*node);
      if (all_good) return true;
      scheduler.run_for(absl::Milliseconds(10));
    }
    return false;
  };
  bool good = !hubs || until([](const TrafficNode& node) { return node.joined(); });
  const Instant began = scheduler.now();
  for (const auto& node : all) node->subscribe();
  good = until([](const TrafficNode& node) { return node.ready(); }) && good;
  const Duration settled = scheduler.now() - began;
  const auto sent = [&] {
    std::uint64_t sum = 0;
    for (const auto& cloud : all_clouds) sum += cloud->network.counts().sent;
    return sum;
  };
  std::uint64_t near = 0, far = 0;
  const int seconds = static_cast<int>(absl::ToInt64Seconds(measured));
  for (int second = 0; second < 2 * seconds; ++second) {
    if (second == seconds) near = sent(), far = wide.counts().sent;  // the first ones warm up
    for (const auto& node : all) node->say(static_cast<std::uint64_t>(second));
    scheduler.run_for(absl::Seconds(1));
  }
  near = sent() - near;
  far = wide.counts().sent - far;
  scheduler.run_for(absl::Seconds(2));
  for (const auto& node : all)
    good = good && node->heard() == 2 * (nodes - 1) && node->wrong() == 0;
  const std::size_t bytes = ::mallinfo2().uordblks - before;
  std::printf("%6zu  %6zu  %-5s  %14.1f  %16.1f  %14.1f  %12.2f%s\n", nodes, clouds,
              hubs ? "hubs" : "mesh",
              static_cast<double>(near) / seconds / static_cast<double>(nodes),
              static_cast<double>(far) / seconds,
              static_cast<double>(bytes) / 1024 / static_cast<double>(nodes),
              absl::ToDoubleSeconds(settled), good ? "" : "  WRONG");
  std::fflush(stdout);
  return good;
}

}  // namespace
}  // namespace supercloud

int main(int argc, char** argv) {
  CLI::App app(
      "Traffic, memory and settling time of the bus by the number of nodes, in the simulator");
  bool tiny = false;
  std::size_t most = 1000;
  app.add_flag("--tiny", tiny, "Only to see that it works");
  app.add_option("--most", most, "Nodes, at most")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::printf("%6s  %6s  %-5s  %14s  %16s  %14s  %12s\n", "nodes", "clouds", "", "messages/s each",
              "between clouds/s", "KiB each", "settled in s");
  bool good = true;
  for (const std::size_t nodes :
       {std::size_t{10}, std::size_t{100}, std::size_t{300}, std::size_t{1000}}) {
    if (nodes > (tiny ? 10 : most)) continue;
    for (const bool hubs : {false, true}) good = supercloud::measure(nodes, hubs) && good;
  }
  return good ? 0 : 1;
}
