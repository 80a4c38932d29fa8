// The custody seam: whether an event is where it has to be beside this node's log, for publishers that wait for that.
#pragma once

#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/event.h"

namespace supercloud {

// Thread-bound to the node's scheduler. Outlives the node; one node only, and only until it leaves.
class Custody {
 public:
  using Kept = absl::AnyInvocable<void(absl::Status) &&>;

  virtual ~Custody() = default;
  // Whether who waits for such an event waits for more than the log.
  virtual bool holds(schema::Payload::Which type, std::string_view topic) const = 0;
  // For one event more. ResourceExhausted: too many wait already.
  virtual absl::Status room() const = 0;
  // The event is in this node's log. `kept` runs once, perhaps inside this call. OK: it has the copies that it needs, and who holds has taken it.
  // Unavailable: the node left before that was known; the event is in its log all the same, and may have copies.
  virtual void keep(Event event, Kept kept) = 0;
  // The node leaves: what waits, and what comes yet, is answered Unavailable.
  virtual void leave() = 0;
};

}  // namespace supercloud
