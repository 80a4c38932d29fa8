// Where a cluster has several clouds: their hubs, as simulation/cluster.h tells it.
#include <utility>

#include "simulation/cluster.h"

namespace supercloud {

void SimulatedCluster::add_hubs() {
  if (options_.clouds < 2) return;
  deliveries_.set_clouds([this](const std::string& node) {
    return CloudNetworks::hub_name(networks_.cloud_of(node));
  });
  Random random = random_.fork();
  const std::int64_t drift_max = options_.fence.drift_ppm;
  for (std::size_t cloud = 0; cloud < options_.clouds; ++cloud) {
    HubMachineOptions hub;
    hub.bus = options_.bus;
    hub.drift_ppm = random.between(-drift_max, drift_max);
    hub.wall_offset = absl::Milliseconds(random.between(-200, 200));
    if (options_.adjust_hub) options_.adjust_hub(hub);
    hubs_.push_back(std::make_unique<HubMachine>(scheduler_, networks_, pool_, deliveries_, cloud,
                                                 std::move(hub)));
  }
}

}  // namespace supercloud
