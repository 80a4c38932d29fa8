// The node's session with the lease table, as actors see it.
#pragma once

#include <optional>

#include "core/lease_table.h"

namespace supercloud {

// Thread-bound. Outlives the actors that were given it.
class SessionView {
 public:
  virtual ~SessionView() = default;
  // Empty when none is valid by this node's own clock: what was won under an earlier one then counts no more.
  virtual std::optional<SessionId> current() const = 0;
};

}  // namespace supercloud
