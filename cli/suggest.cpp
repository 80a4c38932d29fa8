#include "cli/suggest.h"

#include "cli/near_names.h"

namespace supercloud {
namespace {

std::string join(const std::vector<std::string>& names, std::string_view last) {
  std::string joined;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) joined += i + 1 == names.size() ? last : std::string_view(", ");
    joined += names[i];
  }
  return joined;
}

}  // namespace

std::string suggest(std::string_view asked, const std::vector<std::string>& known,
                    std::string_view when_none) {
  if (known.empty()) return std::string(when_none);
  if (const std::vector<std::string> near = near_names(asked, known); !near.empty())
    return "did you mean " + join(near, " or ") + "?";
  constexpr std::size_t shown = 8;
  if (known.size() <= shown)
    return (known.size() == 1 ? "there is " : "there are ") + join(known, " and ");
  const std::vector<std::string> first(known.begin(), known.begin() + shown);
  return "there are " + join(first, ", ") + " and " + std::to_string(known.size() - shown) +
         " more";
}

}  // namespace supercloud
