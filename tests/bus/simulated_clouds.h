// Clouds on simulated networks of their own, each with a hub, and the network on which the hubs have each other.
#pragma once

#include <map>
#include <memory>
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

namespace supercloud {

class SimulatedClouds {
 public:
  // Cloud i has hub "hub-i". `keys_of`: of all; none: there are no keys.
  explicit SimulatedClouds(std::size_t clouds, std::uint64_t seed = 7, Proofs::KeysOf keys_of = {})
      : wide(scheduler, Random(seed)), keys_of_(std::move(keys_of)) {
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
    options.on_slow_subscriber = [p = process.get()](std::uint64_t events) {
      p->dropped += events;
    };
    options.keys_of = keys_of_;
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
              {.gaps = hub_gap_options(), .repair = RepairTimes(), .keys_of = clouds.keys_of_}),
          wide_bus(
              hub_name(cloud), clouds.wide, clouds.scheduler, pool,
              {.gaps = hub_gap_options(), .repair = RepairTimes(), .keys_of = clouds.keys_of_}),
          hub(clouds.scheduler, pool, bus, wide_bus, {.name = hub_name(cloud)}) {}
    EventPool pool;
    SimulatedBus bus, wide_bus;
    Hub hub;
  };
  const Proofs::KeysOf keys_of_;
  std::vector<std::unique_ptr<HubProcess>> hubs_;
};

}  // namespace supercloud
