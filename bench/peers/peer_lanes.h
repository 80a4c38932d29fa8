// The bus's peers, measured as it is: the same messages, the same questions, a process for each subscriber, and one more for the server.
#pragma once

#include <memory>

#include "bench/peers/peer_server.h"
#include "bench/peers/peer_store.h"
#include "bench/peers/peer_wire.h"
#include "cli/measure/bus_lane.h"
#include "cli/measure/disk_lane.h"

namespace supercloud {

// Forks: the caller has no threads yet. `singly`: bursts will be of one message. Each message is numbered, and whoever gets one out of its place says so.
std::unique_ptr<Lane> peer_lane(const ServerProgram& program, const ServerPlan& plan,
                                Connect connect, const LaneShape& shape, bool singly);

// Of records of 256 bytes, which are read back when the time has been taken. The first `store` connects.
std::unique_ptr<DiskLane> peer_disk_lane(const ServerProgram& program, const ServerPlan& plan,
                                         OpenStore open);

}  // namespace supercloud
