// Events as others read them: CloudEvents 1.0 in the structured JSON form, and the messages of an event stream
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
//   id               the event's id, "node/actor:incarnation:sequence"
//   source           its origin, "node/actor"
//   type             the first two tokens of its topic: "vm.started"
//   subject          the fourth: a VM, a node, a place
//   data             its payload, as core/json.h writes it
//   correlationid    the id of the first event of the chain (root); causationid: of the one that it followed from, if any
//   migrationid, epoch, tenant, reconstructed: where the event has them
#pragma once

#include <string>
#include <string_view>

#include "actors/reading/reading.h"
#include "core/event.h"

namespace supercloud {

// Its payload type's "domain.event"; of a type that this build does not know, what the topic says.
std::string cloud_event_type(const Event& event);
// One line.
std::string cloud_event_json(const Event& event);

inline constexpr std::string_view gap_type = "gap";
// The same envelope, of type "gap"; `id` is unique under `source`.
std::string gap_json(const MissedEvents& missed, std::string_view id, std::string_view source,
                     absl::Time time);

// `id` and `type` have no line ends, `json` is one line.
std::string stream_message(std::string_view id, std::string_view type, std::string_view json);
inline constexpr std::string_view stream_keep_alive = ":\n\n";

}  // namespace supercloud
