// What a cluster must look like once faults have ended and every deadline has passed.
#pragma once

#include "simulation/cluster.h"

namespace supercloud {

// Reports to the cluster's checker: every migration ended; each VM runs where its lease is, and nothing of it is left elsewhere.
void demand_convergence(SimulatedCluster& cluster, const std::vector<Event>& history);

}  // namespace supercloud
