// One line for a person, for every type of event.
#pragma once

#include <string>

#include "core/event.h"

namespace supercloud {

// Plain words: "web1 is to go to us-east-1c/spot: the paid hour ends ..." (policy cheapest). No time, no id, no line break.
std::string describe(const Event& event);

// "14:03:07.125  3f2a91bc  migration.proposed.main.web1  " and the words; the id is the event's own short one. `dated`: with the
// date before the time.
std::string event_line(const Event& event, bool dated = false);

}  // namespace supercloud
