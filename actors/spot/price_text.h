// Prices as text.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/units.h"

namespace supercloud {

// A decimal number of USD, "0.0331" or "3.31e-2", to the nano-dollar, half up: exact, unlike a double. InvalidArgument for
// what is no number, for zero and below, and above `most`.
absl::StatusOr<Money> parse_price(std::string_view text, Money most);

}  // namespace supercloud
