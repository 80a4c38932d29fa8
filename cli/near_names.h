// Names like the one that was asked for: what matches nothing is never answered with silence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace supercloud {

// At most `limit` of `known`, nearest first (edit distance, a beginning in common counts as near); equal ones in the order given.
// Empty: nothing is near.
std::vector<std::string> near_names(std::string_view asked, const std::vector<std::string>& known, std::size_t limit = 3);

// "did you mean web1 or web2?", or "there are a, b, c and 4 more", or what to say when there are none; no full stop.
std::string suggest(std::string_view asked, const std::vector<std::string>& known, std::string_view when_none);

}  // namespace supercloud
