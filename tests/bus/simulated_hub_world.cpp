#include <string>
#include <utility>

#include "tests/bus/bus_world.h"
#include "tests/bus/simulated_clouds.h"

namespace supercloud {
namespace {

class SimulatedHubWorld final : public BusWorld {
 public:
  using BusWorld::start;
  std::unique_ptr<BusProcess> start(std::string name, TestStreams logged) override {
    return clouds_.start(cloud_of(name), name, std::move(logged));
  }
  std::unique_ptr<BusProcess> start_narrow(std::string name) override {
    SimulatedBusOptions options;
    options.high_water_mark = 10;
    return clouds_.start(cloud_of(name), name, TestStreams(name), options);
  }
  bool run_until(const std::function<bool()>& condition, Duration limit) override {
    return clouds_.run_until(condition, limit);
  }
  bool meet(BusProcess& a, BusProcess& b) override {
    return run_until(
        [&] {
          return clouds_.joined({&a, &b}) && clouds_.hub_bus(cloud_of(a.name)).has(a.name) &&
                 clouds_.hub_bus(cloud_of(b.name)).has(b.name);
        },
        absl::Seconds(20));
  }
  Scheduler& scheduler() override { return clouds_.scheduler; }
  // On the last leg of their way.
  void cut(std::string_view, std::string_view to) override {
    network_of(to).block(SimulatedClouds::hub_name(cloud_of(to)), to);
  }
  void mend(std::size_t) override {
    clouds_.scheduler.run_for(absl::Milliseconds(20));  // until they are lost
    for (const auto& network : clouds_.networks) network->heal();
  }
  void send_garbage(BusProcess& to) override {
    for (const char* garbage :
         {"", "x", "rubbish that is longer than a word or two of eight bytes"})
      SimulatedBus::send_garbage(network_of(to.name), "stranger", to.name, garbage);
  }

 private:
  static std::size_t cloud_of(std::string_view process) { return process == "a" ? 0 : 1; }
  SimulatedNetwork& network_of(std::string_view process) {
    return *clouds_.networks[cloud_of(process)];
  }

  SimulatedClouds clouds_{2};
};

}  // namespace

std::unique_ptr<BusWorld> make_simulated_hub_world() {
  return std::make_unique<SimulatedHubWorld>();
}

}  // namespace supercloud
