// The policies that come with the project, and the registry in which a VM's spec finds them by name.
//
//   stay       never moves
//   cheapest   moves to the cheapest place that is allowed, as a paid hour ends; before that only away from a place that the
//              cloud is about to take: it has said so, or the price there is above the bid. Ignores what a move costs.
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

// "stay" and "cheapest".
PolicyRegistry built_in_policies();

// Pure: the same world gives the same decision, byte for byte.
Message<schema::Decision> decide_stay(schema::World::Reader world);
Message<schema::Decision> decide_cheapest(schema::World::Reader world);

}  // namespace supercloud
