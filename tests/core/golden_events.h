// The events of a golden log (tests/storage/golden/README.md).
#pragma once

#include <vector>

#include "core/event.h"

namespace supercloud {

// Of node "node-a", in the order of a log: one of every type that this build knows, each field of it filled in; then what only a newer build
// could have written: one of a type that none knows, and one of a known type with more fields in each of its structs.
std::vector<Event> golden_events(EventPool& pool);

}  // namespace supercloud
