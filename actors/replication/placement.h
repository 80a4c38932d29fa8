// Which nodes keep a copy of a VM's disk: a pure choice, the same wherever and whenever it is made from the same facts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "actors/migration/node_directory.h"
#include "core/lease_table.h"

namespace supercloud {

// What the holder knows of a copy that it feeds already.
struct CopyFacts {
  bool caught_up = false;
  bool down = false;  // not connected for longer than a reconnect takes
};

struct Placement {
  std::vector<std::string> nodes;  // sorted, the holder not among them
  std::string heir;                // one of them, or empty
};

// To the heir, and to as many others as the VM asks: nodes of the in-sync set first, then those that have caught up, then by name, with
// other places than the holder's before its own. Constraints count as for running: data must not lie where the VM must not be. What is
// down does not count, but one of the in-sync set is kept, for it may return.
Placement place_replicas(const LeaseRecord& record, schema::VmSpec::Reader spec,
                         const NodeDirectory& nodes,
                         const std::map<std::string, CopyFacts>& copies);

}  // namespace supercloud
