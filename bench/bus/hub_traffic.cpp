// What the bus costs as nodes and clouds grow, with a hub for each and without: the code of the live bus over the simulated network, in virtual time.
//
// Each node says its heartbeat every second (five origins), a telemetry event every two, which nobody subscribes, and a durable one of its tenant
// every ten. A tenant has VMs in two clouds. One node says a price every second.
//
//   own        a node subscribes the durable events of its tenant, and the prices
//   observers  besides, one node of each cloud subscribes the durable events of all
//   all        every node does
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
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

constexpr Duration warm = absl::Seconds(5);
constexpr Duration measured = absl::Seconds(10);
constexpr std::string_view origins[] = {"node", "executor", "policy", "network", "watcher"};
constexpr std::string_view prices = "spot.price_changed.";
constexpr std::string_view durable = "migration.aborted.";

enum class Wish : std::uint8_t { own, observers, all };

struct Shape {
  std::size_t nodes = 0;
  std::size_t clouds = 0;
};
constexpr Shape shapes[] = {{10, 2}, {100, 4}, {1000, 20}, {10'000, 100}};

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

  void subscribe(const std::string& prefix) {
    ++asked_;
    bus_.subscribe(prefix,
                   Reply<Done>(far_future, [this](const absl::StatusOr<Done>&) { ++in_effect_; }));
  }
  // `number` spreads what is said over time.
  void say(std::uint64_t second, std::size_t number, std::string_view tenant, bool sells) {
    Draft beat = pool_.draft(name_);
    auto heartbeat = beat.payload().initNodeHeartbeat();
    auto tails = heartbeat.initTails(static_cast<unsigned>(std::size(origins)));
    for (unsigned i = 0; i < tails.size(); ++i) {
      tails[i].setOrigin(absl::StrCat(name_, "/", std::string(origins[i])));
      tails[i].setIncarnation(1);
      tails[i].setSequence(sequences_[i]);
    }
    publish(std::move(beat), 0);
    if ((second + number) % 2 == 0) {
      Draft telemetry = pool_.draft(name_);
      telemetry.payload().initNodeCapacity();
      publish(std::move(telemetry), 1);
    }
    if ((second + number) % 10 == 0) {
      Draft aborted = pool_.draft(name_, tenant);
      aborted.payload().initMigrationAborted();
      publish(std::move(aborted), 2);
      ++said_;
    }
    if (!sells) return;
    Draft price = pool_.draft(name_);
    price.payload().initSpotPriceChanged();
    publish(std::move(price), 4);
  }

  bool ready() const { return in_effect_ == asked_; }
  bool joined() const { return !bus_.relays().empty(); }
  std::uint64_t said() const { return said_; }  // durable events
  std::uint64_t heard() const { return heard_; }
  std::uint64_t wrong() const { return gaps_ + rejected_; }
  std::size_t remembered() const { return bus_.followed().origins(); }

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
  std::uint64_t said_ = 0, heard_ = 0, gaps_ = 0, rejected_ = 0;
  int asked_ = 0, in_effect_ = 0;
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
  std::size_t remembered() const {
    return bus == nullptr ? 0 : bus->followed().origins() + wide_bus->followed().origins();
  }
  SimulatedNetwork network;
  std::unique_ptr<SimulatedBus> bus, wide_bus;
  std::unique_ptr<Hub> hub;
};

class Traffic {
 public:
  Traffic(Shape shape, bool hubs, Wish wish)
      : shape_(shape), hubs_(hubs), wish_(wish), before_(::mallinfo2().uordblks) {
    options_.gaps = {.origins_max = 65'536};
    hub_options_.gaps = hub_gap_options();
    wide_.set_faults({.delay_min = absl::Milliseconds(10), .delay_max = absl::Milliseconds(80)});
    for (std::size_t cloud = 0; cloud < (hubs ? shape.clouds : 1); ++cloud)
      clouds_.push_back(
          std::make_unique<TrafficCloud>(scheduler_, pool_, wide_, cloud, hub_options_, hubs));
    for (std::size_t node = 0; node < shape.nodes; ++node) add();
  }

  // False: something was missed, or nobody heard the others.
  bool run() {
    bool good = !hubs_ || until([](const TrafficNode& node) { return node.joined(); });
    for (std::size_t node = 0; node < nodes_.size(); ++node) subscribe(node);
    good = until([](const TrafficNode& node) { return node.ready(); }) && good;
    say_for(warm);
    const SimulatedNetwork::Counts near = this->near(), far = wide_.counts();
    say_for(measured);
    const double seconds = absl::ToDoubleSeconds(measured);
    const double per_node = seconds * static_cast<double>(nodes_.size());
    const auto messages = static_cast<double>(this->near().sent - near.sent);
    const auto bytes = static_cast<double>(this->near().bytes - near.bytes);
    const auto messages_far = static_cast<double>(wide_.counts().sent - far.sent);
    const auto bytes_far = static_cast<double>(wide_.counts().bytes - far.bytes);
    scheduler_.run_for(absl::Seconds(2));
    for (std::size_t node = 0; node < nodes_.size(); ++node)
      good = good && nodes_[node]->heard() == owed(node) && nodes_[node]->wrong() == 0;
    const double kib = static_cast<double>(::mallinfo2().uordblks - before_) / 1024;
    std::size_t remembered = 0, hub_remembered = 0;
    for (const auto& node : nodes_) remembered = std::max(remembered, node->remembered());
    for (const auto& cloud : clouds_)
      hub_remembered = std::max(hub_remembered, cloud->remembered());
    const Duration subscribed = time_of_subscription();
    const Duration joined = time_of_node();
    constexpr const char* wishes[] = {"own", "observers", "all"};
    std::printf(
        "%6zu  %6zu  %-9s  %8.1f  %8.2f  %8.1f  %8.1f  %8.0f  %8zu  %8zu  %9.2f  %9.2f%s\n",
        shape_.nodes, hubs_ ? shape_.clouds : 1, hubs_ ? wishes[static_cast<int>(wish_)] : "mesh",
        messages / per_node, bytes / per_node / 1024,
        messages_far / seconds / static_cast<double>(shape_.clouds),
        bytes_far / seconds / 1024 / static_cast<double>(shape_.clouds),
        kib / static_cast<double>(shape_.nodes), remembered, hub_remembered,
        absl::ToDoubleSeconds(subscribed), absl::ToDoubleSeconds(joined), good ? "" : "  WRONG");
    std::fflush(stdout);
    return good;
  }

 private:
  std::size_t cloud_of(std::size_t node) const { return hubs_ ? node % shape_.clouds : 0; }
  // Of two clouds, also where they are not apart.
  std::size_t tenant_of(std::size_t node) const { return node % shape_.clouds / 2; }
  std::string tenant(std::size_t node) const { return absl::StrCat("tenant-", tenant_of(node)); }
  bool observes(std::size_t node) const {
    return wish_ == Wish::all || (wish_ == Wish::observers && node < shape_.clouds);
  }
  void add() {
    const std::size_t node = nodes_.size();
    nodes_.push_back(std::make_unique<TrafficNode>(absl::StrCat("node-", node),
                                                   clouds_[cloud_of(node)]->network, scheduler_,
                                                   pool_, options_));
  }
  void subscribe(std::size_t node) {
    nodes_[node]->subscribe(absl::StrCat(std::string(durable), tenant(node), "."));
    nodes_[node]->subscribe(std::string(prices));
    if (observes(node)) nodes_[node]->subscribe(std::string(durable));
  }
  void say_for(Duration span) {
    for (std::int64_t end = second_ + absl::ToInt64Seconds(span); second_ < end; ++second_) {
      for (std::size_t node = 0; node < nodes_.size(); ++node)
        nodes_[node]->say(static_cast<std::uint64_t>(second_), node, tenant(node), node == 0);
      scheduler_.run_for(absl::Seconds(1));
    }
  }
  std::uint64_t owed(std::size_t node) const {
    std::uint64_t owed = node == 0 ? 0 : static_cast<std::uint64_t>(second_);
    for (std::size_t other = 0; other < nodes_.size(); ++other)
      if (other != node && (observes(node) || tenant_of(other) == tenant_of(node)))
        owed += nodes_[other]->said();
    return owed;
  }
  SimulatedNetwork::Counts near() const {
    SimulatedNetwork::Counts sum;
    for (const auto& cloud : clouds_) {
      sum.sent += cloud->network.counts().sent;
      sum.bytes += cloud->network.counts().bytes;
    }
    return sum;
  }
  template <class Condition>
  bool until(Condition condition) {
    for (int step = 0; step < 6000; ++step) {
      if (std::ranges::all_of(nodes_, [&](const auto& node) { return condition(*node); }))
        return true;
      scheduler_.run_for(absl::Milliseconds(10));
    }
    return false;
  }
  // That nobody had yet.
  Duration time_of_subscription() {
    const Instant began = scheduler_.now();
    nodes_.back()->subscribe("vm.");
    until([](const TrafficNode& node) { return node.ready(); });
    return scheduler_.now() - began;
  }
  // Until one that has just started has what it subscribes in effect everywhere.
  Duration time_of_node() {
    const Instant began = scheduler_.now();
    add();
    subscribe(nodes_.size() - 1);
    until([&](const TrafficNode& node) { return node.ready() && (!hubs_ || node.joined()); });
    return scheduler_.now() - began;
  }

  const Shape shape_;
  const bool hubs_;
  const Wish wish_;
  const std::size_t before_;  // bytes allocated
  VirtualScheduler scheduler_;
  EventPool pool_;
  SimulatedBusOptions options_, hub_options_;
  SimulatedNetwork wide_{scheduler_, Random(1)};
  std::vector<std::unique_ptr<TrafficCloud>> clouds_;
  std::vector<std::unique_ptr<TrafficNode>> nodes_;
  std::int64_t second_ = 0;
};

}  // namespace
}  // namespace supercloud

int main(int argc, char** argv) {
  using supercloud::Wish;
  CLI::App app(
      "Traffic, memory and settling time of the bus by the number of nodes, in the simulator");
  bool tiny = false, observers = false;
  std::size_t only = 0, most = 1000;
  app.add_flag("--tiny", tiny, "Only to see that it works");
  app.add_option("--nodes", only,
                 "Only so many: 10, 100, 1000 or 10000 (a quarter of an hour, 7 GB)");
  app.add_option("--most", most, "Nodes, at most")->capture_default_str();
  app.add_flag("--observers", observers, "Also with 10000: one in each cloud");
  CLI11_PARSE(app, argc, argv);
  std::printf(
      "                           each node          each cloud, beyond        each  origins "
      "remembered      in s, to have in effect\n"
      "%6s  %6s  %-9s  %8s  %8s  %8s  %8s  %8s  %8s  %8s  %9s  %9s\n",
      "nodes", "clouds", "", "msgs/s", "KiB/s", "msgs/s", "KiB/s", "KiB", "node", "hub",
      "a new one", "a node's");
  bool good = true;
  for (const supercloud::Shape shape : supercloud::shapes) {
    if (only != 0 ? shape.nodes != only : shape.nodes > (tiny ? 10 : most)) continue;
    if (shape.nodes <= 100) good = supercloud::Traffic(shape, false, Wish::own).run() && good;
    good = supercloud::Traffic(shape, true, Wish::own).run() && good;
    if (shape.nodes <= 1000 || observers)
      good = supercloud::Traffic(shape, true, Wish::observers).run() && good;
    if (shape.nodes <= 1000) good = supercloud::Traffic(shape, true, Wish::all).run() && good;
  }
  return good ? 0 : 1;
}
