// Where a cluster has several clouds: their hubs, as simulation/cluster.h tells it.
#include <utility>

#include "simulation/cluster.h"
#include "simulation/lying_hub.h"

namespace supercloud {

void SimulatedCluster::add_hubs() {
  if (options_.clouds < 2) return;
  deliveries_.set_clouds([this](const std::string& node) {
    return CloudNetworks::hub_name(networks_.cloud_of(node));
  });
  Random random = random_.fork();
  const std::int64_t drift_max = options_.fence.drift_ppm;
  const std::size_t liar = random.below(options_.clouds);
  for (std::size_t cloud = 0; cloud < options_.clouds; ++cloud) {
    HubMachineOptions hub;
    if (options_.hub_lies && cloud == liar)
      hub.cloud_in_place = hub.wide_in_place = lying_relay(random.next());
    hub.bus = options_.bus;
    if (ClusterKeys* known = keys()) hub.bus.keys_of = known->keys_of();
    hub.drift_ppm = random.between(-drift_max, drift_max);
    hub.wall_offset = absl::Milliseconds(random.between(-200, 200));
    if (options_.adjust_hub) options_.adjust_hub(hub);
    hubs_.push_back(std::make_unique<HubMachine>(scheduler_, networks_, pool_, deliveries_, cloud,
                                                 std::move(hub)));
  }
}

}  // namespace supercloud
