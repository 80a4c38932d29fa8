// The VMs of a replay: guests that do nothing, for moves cost what the model says.
#pragma once

#include <string>

#include "core/message.h"
#include "core/schema/types.capnp.h"
#include "simulation/replay/model.h"

namespace supercloud {

// "vm1" for number 1. `described`: whose labels, budgets and price of downtime it has; null: none, and the model's.
Message<schema::VmSpec> replay_vm(const ReplayModel& model, int number, const std::string& policy,
                                  const Message<schema::VmSpec>* described = nullptr);

}  // namespace supercloud
