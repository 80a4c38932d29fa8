// JSON for any event, request or decision, through its schema.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/event.h"

namespace supercloud {

// One line. Integers of 64 bits are strings, as JavaScript has no such numbers.
std::string to_json(const Event& event);
absl::StatusOr<Event> event_from_json(EventPool& pool, std::string_view json);
// What is to be published: `topic` and `payload`, perhaps `epoch` and `migration`. InvalidArgument: no JSON of that; or it says more of an
// event, all of which its publisher does.
absl::StatusOr<Draft> draft_from_json(EventPool& pool, std::string_view json);

}  // namespace supercloud
