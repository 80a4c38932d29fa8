// How often VMs may move to save money: `moves_per_day` of the VM itself, moves a day and moves at once of all VMs. Whatever policy
// wants a move, these hold it back; nothing holds back a flight. Pure.
#pragma once

#include <string>

#include "core/message.h"

namespace supercloud {

// Why the VM may not move now, as a clause; empty: it may.
std::string spent_budget(schema::World::Reader world);

// The decision, to stay instead, for that reason.
Message<schema::Decision> held_back(schema::Decision::Reader decision, const std::string& spent);

}  // namespace supercloud
