#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/virtual_scheduler.h"
#include "tests/bus/bus_world.h"

namespace supercloud {
namespace {

class SimulatedWorld final : public BusWorld {
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
  bool run_until(const std::function<bool()>& condition, Duration limit) override {
    const Instant end = scheduler_.now() + limit;
    while (!condition()) {
      if (scheduler_.now() > end || !scheduler_.step()) return false;
    }
    return true;
  }
  Scheduler& scheduler() override { return scheduler_; }
  void cut(std::string_view from, std::string_view to) override { network_.block(from, to); }
  void mend(std::size_t) override { network_.heal(); }
  void send_garbage(BusProcess& to) override {
    for (const char* garbage :
         {"", "x", "rubbish that is longer than a word or two of eight bytes"}) {
      SimulatedBus::send_garbage(network_, "stranger", to.name, garbage);
    }
  }

 private:
  std::unique_ptr<BusProcess> open(const std::string& name, TestStreams logged,
                                   SimulatedBusOptions options) {
    auto process =
        std::make_unique<BusProcess>(name, std::make_unique<EventPool>(), std::move(logged));
    options.on_fatal = [p = process.get()](absl::Status why) {
      p->fatal.push_back(std::move(why));
    };
    options.on_slow_subscriber = [p = process.get()](const std::string& slow,
                                                     std::uint64_t backlog) {
      p->slow[slow] += backlog;
    };
    process->bus =
        std::make_unique<SimulatedBus>(name, network_, scheduler_, *process->pool, options);
    process->bus->start(*process, process->streams.past());
    return process;
  }

  VirtualScheduler scheduler_;
  SimulatedNetwork network_{scheduler_, Random(7)};
};

}  // namespace

std::unique_ptr<BusWorld> make_simulated_world() { return std::make_unique<SimulatedWorld>(); }

}  // namespace supercloud
