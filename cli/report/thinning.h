// Fewer points of a step line than a screen could tell apart, for pages that must not grow with their trace.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/units.h"

namespace supercloud {

using MoneySteps =
    std::vector<std::pair<absl::Time, Money>>;  // in order; each value is held until the next

// What holds within [from, to]: the value in force at `from`, if one was, stands there; what came after `to` is left out.
MoneySteps within(const MoneySteps& steps, absl::Time from, absl::Time to);

// At most `limit` of the steps, themselves if they are no more. Of each of limit/4 equal spans of time the first, the last, the
// least and the greatest are kept: drawn at limit/4 pixels or fewer nothing differs, and no extreme is lost.
MoneySteps thinned(const MoneySteps& steps, std::size_t limit);

}  // namespace supercloud
