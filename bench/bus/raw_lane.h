// What the bus is measured beside: bare ZeroMQ sockets.
#pragma once

#include <memory>

#include "cli/measure/bus_lane.h"

namespace supercloud {

std::unique_ptr<Lane> raw_lane(const LaneShape& shape);

}  // namespace supercloud
