// What a person may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace supercloud {

// Those of `names` that are like `wanted` (few letters differ, or one begins with the other), best first, at most five.
std::vector<std::string> near_names(std::string_view wanted, const std::vector<std::string>& names);

}  // namespace supercloud
