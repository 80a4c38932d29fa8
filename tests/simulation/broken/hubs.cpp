// Hubs that do not pass on what was said.
#include <memory>
#include <utility>
#include <vector>

#include "simulation/changed_relay.h"
#include "simulation/lying_hub.h"
#include "tests/simulation/broken/breakage.h"

namespace supercloud {
namespace {

// To the members of its cloud.
std::function<void(HubMachineOptions&)> passes(
    std::function<ChangedRelay::Change(EventPool& pool)> change) {
  return [change = std::move(change)](HubMachineOptions& hub) {
    hub.cloud_in_place = [change](RelayingBus& real, EventPool& pool) {
      return std::make_unique<ChangedRelay>(real, change(pool));
    };
  };
}

// And tells nobody, for its own heartbeats do not get there either.
ChangedRelay::Change nothing(EventPool&) {
  return [](const Event&, const ChangedRelay::Pass&) {};
}

// The own stream of a hub is its heartbeats, one a second.
ChangedRelay::Change one_in_seven_untold(EventPool&) {
  return [](const Event& event, const ChangedRelay::Pass& pass) {
    const bool own = event.type() == schema::Payload::NODE_HEARTBEAT;
    if (!own && event.sequence() % 7 != 3) pass(event);
  };
}

void lies(HubMachineOptions& hub) { hub.cloud_in_place = hub.wide_in_place = lying_relay(7); }

void nothing_in_machines(MachineOptions&) {}

}  // namespace

std::vector<Breakage> broken_hubs() {
  constexpr const char* rule = "5 of the failure model";
  const auto clouds = [](RunOptions& run) {
    run.cluster.clouds = 2;
    run.faults = no_faults();
    run.faults.commands = true;
  };
  return {
      {"hub_that_passes_nothing", rule, "5:", clouds, nothing_in_machines, passes(nothing)},
      {"hub_that_drops_events_and_tells_nobody", rule, "5:", clouds, nothing_in_machines,
       passes(one_in_seven_untold)},
      {"hub_that_lies", rule, "5:", clouds, nothing_in_machines, lies},
  };
}

}  // namespace supercloud
