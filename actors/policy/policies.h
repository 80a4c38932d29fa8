// The policies that come with the project, and the registry in which a VM's spec finds them by name.
//
//   stay          never moves
//   cheapest      moves to the cheapest place that is allowed, as a paid hour ends; before that only away from a place that the
//                 cloud is about to take: it has said so, or the price there is above the bid. Ignores what a move costs.
//   threshold-N   as cheapest, but an hour's end is worth a move only if the price here is above that there by more than N % of the
//                 latter: 10, 20, 50, 100. (With 0 it is cheapest.)
//   smart-spot    weighs what a move is expected to save against what it costs: actors/policy/smart_spot.h
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "actors/policy/policy.h"
#include "core/message.h"

namespace supercloud {

// One policy object serves all VMs of a node that name it.
using PolicyRegistry = std::map<std::string, std::function<std::unique_ptr<Policy>()>>;

PolicyRegistry built_in_policies();

// Pure: the same world gives the same decision, byte for byte.
Message<schema::Decision> decide_stay(schema::World::Reader world);
Message<schema::Decision> decide_cheapest(schema::World::Reader world);
Message<schema::Decision> decide_threshold(schema::World::Reader world, int percent);

}  // namespace supercloud
