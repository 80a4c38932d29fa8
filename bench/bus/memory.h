// What a member of the bus keeps in memory for those it has to do with, over ipc.
#pragma once

#include "absl/status/statusor.h"

namespace supercloud {

// Resident bytes more.
struct BusMemory {
  double per_peer =
      0;  // of a member, for each other member that it is connected with in both directions
  double per_subscription_publisher = 0,
         per_subscription_subscriber = 0;  // that nothing is published for
};

// Forks: the caller has no threads yet.
absl::StatusOr<BusMemory> measure_bus_memory(int peers, int subscriptions);

}  // namespace supercloud
