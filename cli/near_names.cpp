#include "cli/near_names.h"

#include <algorithm>
#include <utility>

namespace supercloud {
namespace {

constexpr std::size_t names_max = 5;

// How many letters have to be added, left out or changed to make one of the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> near_names(std::string_view wanted,
                                    const std::vector<std::string>& names) {
  std::vector<std::pair<std::size_t, std::string>> ranked;
  for (const std::string& name : names) {
    const bool begins =
        !wanted.empty() && !name.empty() && (name.starts_with(wanted) || wanted.starts_with(name));
    const std::size_t letters = distance(wanted, name);
    if (begins || letters <= std::max<std::size_t>(1, std::max(wanted.size(), name.size()) / 2))
      ranked.emplace_back(begins ? 0 : letters, name);
  }
  std::sort(ranked.begin(), ranked.end());
  ranked.erase(std::unique(ranked.begin(), ranked.end()), ranked.end());
  std::vector<std::string> near;
  for (auto& [letters, name] : ranked)
    if (near.size() < names_max) near.push_back(std::move(name));
  return near;
}

}  // namespace supercloud
