// The demo's VMs that decide by the policies in examples/, a program and a shared object.
#pragma once

#include "cli/demo/plan.h"

namespace supercloud {

// Adds a VM for each that can run here, and a note for each that cannot. Starts each once, to hear its hello: blocks for as long.
void add_example_policies(DemoPlan& plan);

}  // namespace supercloud
