// How a command, or a gateway, comes onto the bus of a cluster.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bus/zmq_bus.h"
#include "cli/cluster_target.h"

namespace supercloud {

// A client named after `kind` and this process, with the living nodes as seeds and, over tcp, the key and the trust file of the target.
// Unavailable: no process of the cluster runs; FailedPrecondition: its bus has keys, and the target names none; else what is wrong with them.
absl::StatusOr<ZmqBusOptions> client_options(const ClusterTarget& target, std::string_view kind);

// What to tell whose key a node does not let in.
absl::Status shut_out(const ClusterTarget& target, const Credentials& credentials,
                      std::string_view node);

}  // namespace supercloud
