#include "cli/near_names.h"

#include <algorithm>
#include <utility>

namespace supercloud {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string join(const std::vector<std::string>& names, std::string_view last) {
  std::string joined;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) joined += i + 1 == names.size() ? std::string(last) : ", ";
    joined += names[i];
  }
  return joined;
}

}  // namespace

std::vector<std::string> near_names(std::string_view asked, const std::vector<std::string>& known, std::size_t limit) {
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const std::string& name : known) {
    const bool begins = !asked.empty() && name.compare(0, asked.size(), asked) == 0;
    const std::size_t distance = begins ? 1 : edit_distance(asked, name);
    // A third of the letters may be wrong, two always.
    if (distance <= std::max<std::size_t>(2, asked.size() / 3) && distance < std::max(asked.size(), name.size()))
      near.emplace_back(distance, name);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (auto& [distance, name] : near)
    if (names.size() < limit && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  return names;
}

std::string suggest(std::string_view asked, const std::vector<std::string>& known, std::string_view when_none) {
  if (known.empty()) return std::string(when_none);
  if (const std::vector<std::string> near = near_names(asked, known); !near.empty())
    return "did you mean " + join(near, " or ") + "?";
  constexpr std::size_t shown = 8;
  if (known.size() <= shown) return (known.size() == 1 ? "there is " : "there are ") + join(known, " and ");
  const std::vector<std::string> first(known.begin(), known.begin() + shown);
  return "there are " + join(first, ", ") + " and " + std::to_string(known.size() - shown) + " more";
}

}  // namespace supercloud
