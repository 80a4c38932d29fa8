// Targets that are kept ready for a VM (VmSpec.prepared), as its holder asks for them.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "core/actor.h"

namespace supercloud {

// Asks each node that the VM names, but this one, to keep a target for it for so long from now on; zero: none any more. `told` gets what
// each of them says.
void ask_for_standbys(Context& context, schema::VmSpec::Reader spec, Duration time,
                      Duration deadline, const std::function<void(const absl::Status&)>& told);

}  // namespace supercloud
