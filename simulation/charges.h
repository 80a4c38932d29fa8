// What a run's ledgers charged, against what happened.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/event.h"

namespace supercloud {

// A sentence for each fault; `history` in the order of time. No ledger charges an hour of an instance, or a migration, twice, whatever
// restarts it has been through. What is charged for a move is what its end says that it sent. Each move that ended before `settled`, and
// sent something, is charged; InfinitePast: nobody is there who had to. Pure.
std::vector<std::string> charge_faults(const std::vector<Event>& history, absl::Time settled);

}  // namespace supercloud
