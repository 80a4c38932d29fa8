// The process that a policy in a shared object runs in: it loads the object and speaks the wire form of policy_wire.h, as any other
// policy's process does.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace supercloud {

// Serves the policy in `file` to the node at `endpoint`, until this process is killed. Returns only with what made it impossible.
absl::Status host_policy(const std::string& file, const std::string& endpoint);

}  // namespace supercloud
