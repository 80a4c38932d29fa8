// How often VMs may move to save money: `moves_per_day` of the VM itself, moves a day and moves at once of all VMs. Whatever policy
// wants a move, these hold it back; nothing holds back a flight, or a VM that may not be where it is. A user's own moves count, too.
//
// They are held to by what a node knows: the moves that were made since it came, and those that it has read in logs and archives. Who lived
// on a machine that was rented and given back has left its past there, and in the archives. Pure.
#pragma once

#include <string>

#include "core/message.h"

namespace supercloud {

// Whether a move would only save money: nothing takes the VM from where it is, and it is allowed there.
bool only_saves(schema::World::Reader world);

// Why the VM may not move now, as a clause; empty: it may.
std::string spent_budget(schema::World::Reader world);

// The decision, to stay instead, for that reason.
Message<schema::Decision> held_back(schema::Decision::Reader decision, const std::string& spent);

}  // namespace supercloud
