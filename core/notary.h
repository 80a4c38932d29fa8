// Who signs what a node's log takes, so that others can tell whose an event is, wherever they have it from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/topic.h"

namespace supercloud {

// Under which a node publishes its checkpoints.
inline std::string checkpoint_origin(std::string_view node) { return std::string(node) + "/log"; }
// Whether `event` claims to be a checkpoint of the node that bears `origin`.
inline bool is_checkpoint_of(const Event& event, std::string_view origin) {
  return event.type() == schema::Payload::BUS_CHECKPOINT &&
         node_of(event.origin()) == node_of(origin);
}

class Notary {
 public:
  virtual ~Notary() = default;
  // The checkpoint (core/schema/event.capnp, Checkpoint) of the events of one group commit: it ends with it.
  virtual Draft checkpoint(const std::vector<Event>& commit) = 0;
};

}  // namespace supercloud
