// What some instance types cost on demand, for traces that do not say it.
#pragma once

#include <optional>
#include <string_view>

#include "core/units.h"

namespace supercloud {

// Linux in us-east-1 of AWS, of the generation's own time (2014 to 2021), per hour; empty: not known here.
std::optional<Money> known_on_demand_price(std::string_view instance_type);

}  // namespace supercloud
