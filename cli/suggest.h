// The half sentence that follows "there is no X": what there is instead.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace supercloud {

// "did you mean web1 or web2?", or "there are a, b and c", or `when_none` if nothing is known; no full stop.
std::string suggest(std::string_view asked, const std::vector<std::string>& known,
                    std::string_view when_none);

}  // namespace supercloud
