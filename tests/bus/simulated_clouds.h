// Clouds on simulated networks of their own, each with a hub, and the network on which the hubs have each other.
#pragma once

#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/hub.h"
#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/virtual_scheduler.h"
#include "tests/bus/bus_process.h"
#include "tests/bus/older_hub_bus.h"

namespace supercloud {

inline std::vector<std::uint64_t> range(std::uint64_t from, std::uint64_t to) {
  std::vector<std::uint64_t> numbers(to + 1 - from);
  std::iota(numbers.begin(), numbers.end(), from);
  return numbers;
}

class SimulatedClouds {
 public:
  // Cloud i has hub "hub-i", with these options on both buses; those of `older` clouds are of an older build.
  explicit SimulatedClouds(std::size_t clouds, std::uint64_t seed = 7,
                           SimulatedBusOptions options = {}, std::set<std::size_t> older = {})
      : wide(scheduler, Random(seed)), hub_options_(std::move(options)), older_(std::move(older)) {
    hub_options_.gaps = hub_gap_options();
    hub_options_.repair = RepairTimes();
    for (std::size_t cloud = 0; cloud < clouds; ++cloud) {
      networks.push_back(std::make_unique<SimulatedNetwork>(scheduler, Random(seed + 1 + cloud)));
      hubs_.emplace_back();
      start_hub(cloud);
    }
  }

  static std::string hub_name(std::size_t cloud) { return absl::StrCat("hub-", cloud); }
  void kill_hub(std::size_t cloud) { hubs_.at(cloud).reset(); }
  void start_hub(std::size_t cloud) {
    hubs_.at(cloud) = std::make_unique<HubProcess>(*this, cloud);
  }
  Hub& hub(std::size_t cloud) { return hubs_.at(cloud)->hub; }
  SimulatedBus& hub_bus(std::size_t cloud) { return hubs_.at(cloud)->bus; }
  SimulatedBus& wide_bus(std::size_t cloud) { return hubs_.at(cloud)->wide_bus; }

  std::unique_ptr<BusProcess> start(std::size_t cloud, const std::string& name, TestStreams logged,
                                    SimulatedBusOptions options = {}) {
    auto process =
        std::make_unique<BusProcess>(name, std::make_unique<EventPool>(), std::move(logged));
    options.on_fatal = [p = process.get()](absl::Status why) {
      p->fatal.push_back(std::move(why));
    };
    options.on_slow_subscriber = [p = process.get()](const std::string& slow,
                                                     std::uint64_t backlog) {
      p->slow[slow] += backlog;
    };
    process->bus = std::make_unique<SimulatedBus>(name, *networks.at(cloud), scheduler,
                                                  *process->pool, options);
    process->bus->start(*process, process->streams.past());
    return process;
  }
  std::unique_ptr<BusProcess> start(std::size_t cloud, const std::string& name) {
    return start(cloud, name, TestStreams(name));
  }

  // All hubs have each other, and the processes have theirs.
  bool joined(const std::vector<BusProcess*>& processes) {
    for (const auto& hub : hubs_)
      if (hub != nullptr && hub->wide_bus.relays().size() + 1 < hubs_.size()) return false;
    for (BusProcess* process : processes)
      if (dynamic_cast<SimulatedBus&>(*process->bus).relays().empty()) return false;
    return true;
  }

  // A condition may publish, and each event makes several steps: so not after each of these.
  bool run_until(const std::function<bool()>& condition, Duration limit = absl::Seconds(20)) {
    const Instant end = scheduler.now() + limit;
    while (!condition()) {
      if (scheduler.now() > end) return false;
      scheduler.run_until(scheduler.now() + absl::Microseconds(100));
    }
    return true;
  }

  VirtualScheduler scheduler;
  SimulatedNetwork wide;
  std::vector<std::unique_ptr<SimulatedNetwork>> networks;

 private:
  struct HubProcess {
    HubProcess(SimulatedClouds& clouds, std::size_t cloud)
        : bus(hub_name(cloud), *clouds.networks.at(cloud), clouds.scheduler, pool,
              told(clouds.hub_options_)),
          wide_bus(hub_name(cloud), clouds.wide, clouds.scheduler, pool, told(clouds.hub_options_)),
          older_bus(bus, pool),
          older_wide_bus(wide_bus, pool),
          older(clouds.older_.contains(cloud)),
          hub(clouds.scheduler, pool, older ? static_cast<RelayingBus&>(older_bus) : bus,
              older ? static_cast<RelayingBus&>(older_wide_bus) : wide_bus,
              {.name = hub_name(cloud)}) {}
    SimulatedBusOptions told(SimulatedBusOptions options) {
      options.on_slow_subscriber = [this](const std::string& slow, std::uint64_t backlog) {
        hub.on_slow_subscriber(slow, backlog);
      };
      return options;
    }
    EventPool pool;
    SimulatedBus bus, wide_bus;
    OlderHubBus older_bus, older_wide_bus;
    const bool older;
    Hub hub;
  };
  SimulatedBusOptions hub_options_;
  std::set<std::size_t> older_;
  std::vector<std::unique_ptr<HubProcess>> hubs_;
};

}  // namespace supercloud
