// Deliberately broken parts of the system, each against one rule of docs/choreography.md: with any of them in a cluster, the
// simulator's checkers must find out. Nothing of this is in the program: a breakage stands in for a decision or a seam.
#pragma once

#include <functional>
#include <vector>

#include "simulation/run.h"

namespace supercloud {

struct Breakage {
  const char* name;  // a test's, too
  const char* rule;  // that it breaks
  const char*
      caught;  // the beginning of the invariant that must be seen broken; others may be as well
  // The circumstances under which it shows soon: which faults, how many machines.
  std::function<void(RunOptions&)> circumstances;
  // Puts the broken part into a machine.
  std::function<void(MachineOptions&)> put_in;
  // The same into a hub's machine; empty: hubs are whole.
  std::function<void(HubMachineOptions&)> put_in_hub;
};

// Decisions of the executor: wrappers of next_step().
std::vector<Breakage> broken_decisions();
// Keeper, disk, network and hypervisor: stand-ins for seams.
std::vector<Breakage> broken_parts();
// What stands between a bus and a node.
std::vector<Breakage> broken_buses();
// Logs of archives.
std::vector<Breakage> broken_archives();
// What hubs pass on.
std::vector<Breakage> broken_hubs();
// What followers and listeners hand out.
std::vector<Breakage> broken_followers();

// Circumstances.
FaultOptions no_faults();

}  // namespace supercloud
