#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/hub.h"
#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/virtual_scheduler.h"
#include "tests/bus/bus_world.h"

namespace supercloud {
namespace {

class SimulatedHubWorld final : public BusWorld {
 public:
  using BusWorld::start;
  std::unique_ptr<BusProcess> start(std::string name, TestStreams logged) override {
    return open(name, std::move(logged), SimulatedBusOptions());
  }
  std::unique_ptr<BusProcess> start_narrow(std::string name) override {
    SimulatedBusOptions options;
    options.high_water_mark = 10;
    return open(name, TestStreams(name), options);
  }
  // A condition may publish, and each event makes several steps: so not after each of these.
  bool run_until(const std::function<bool()>& condition, Duration limit) override {
    const Instant end = scheduler_.now() + limit;
    while (!condition()) {
      if (scheduler_.now() > end) return false;
      scheduler_.run_until(scheduler_.now() + absl::Microseconds(100));
    }
    return true;
  }
  // When the hubs have each other, and them.
  bool meet(BusProcess& a, BusProcess& b) override {
    return run_until(
        [&] {
          return hears_hub(a) && hears_hub(b) && left_.wide_bus.relays().size() == 1 &&
                 right_.wide_bus.relays().size() == 1;
        },
        absl::Seconds(20));
  }
  Scheduler& scheduler() override { return scheduler_; }
  // On the last leg of their way.
  void cut(std::string_view, std::string_view to) override {
    cloud_of(to).network.block(hub_of(to), to);
  }
  void mend(std::size_t) override {
    scheduler_.run_for(absl::Milliseconds(20));  // until they are lost
    left_.network.heal();
    right_.network.heal();
  }
  void send_garbage(BusProcess& to) override {
    for (const char* garbage :
         {"", "x", "rubbish that is longer than a word or two of eight bytes"}) {
      SimulatedBus::send_garbage(cloud_of(to.name).network, "stranger", to.name, garbage);
    }
  }

 private:
  struct Cloud {
    Cloud(VirtualScheduler& scheduler, SimulatedNetwork& wide, std::string hub_name)
        : network(scheduler, Random(7)),
          bus(hub_name, network, scheduler, pool),
          wide_bus(hub_name, wide, scheduler, pool),
          hub(scheduler, pool, bus, wide_bus, {.name = hub_name}) {}
    EventPool pool;
    SimulatedNetwork network;
    SimulatedBus bus, wide_bus;
    Hub hub;
  };

  Cloud& cloud_of(std::string_view process) { return process == "a" ? left_ : right_; }
  static std::string hub_of(std::string_view process) {
    return process == "a" ? "hub-left" : "hub-right";
  }
  bool hears_hub(const BusProcess& process) {
    return !dynamic_cast<SimulatedBus&>(*process.bus).relays().empty() &&
           cloud_of(process.name).bus.has(process.name);
  }
  std::unique_ptr<BusProcess> open(const std::string& name, TestStreams logged,
                                   SimulatedBusOptions options) {
    auto process =
        std::make_unique<BusProcess>(name, std::make_unique<EventPool>(), std::move(logged));
    options.on_fatal = [p = process.get()](absl::Status why) {
      p->fatal.push_back(std::move(why));
    };
    options.on_slow_subscriber = [p = process.get()](std::uint64_t events) {
      p->dropped += events;
    };
    process->bus = std::make_unique<SimulatedBus>(name, cloud_of(name).network, scheduler_,
                                                  *process->pool, options);
    process->bus->start(*process, process->streams.past());
    return process;
  }

  VirtualScheduler scheduler_;
  SimulatedNetwork wide_{scheduler_, Random(7)};
  Cloud left_{scheduler_, wide_, "hub-left"}, right_{scheduler_, wide_, "hub-right"};
};

}  // namespace

std::unique_ptr<BusWorld> make_simulated_hub_world() {
  return std::make_unique<SimulatedHubWorld>();
}

}  // namespace supercloud
