#include "actors/spot/price_names.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t zone_bytes_max = 64, cloud_bytes_max = 32;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

bool is_zone_word(std::string_view zone) {
  return !zone.empty() && zone.size() <= zone_bytes_max &&
         std::all_of(zone.begin(), zone.end(),
                     [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

bool is_cloud_word(std::string_view cloud) {
  return is_zone_word(cloud) && is_lower(cloud.front()) && cloud.size() <= cloud_bytes_max;
}

// Words joined by "-", the region's number, and then the zone's own letter, after one more "-" or a local place's name.
std::string_view region_in_name(std::string_view zone) {
  if (!is_zone_word(zone) || !is_lower(zone.front())) return {};
  std::size_t end = 0;
  while (end < zone.size() && !is_digit(zone[end])) ++end;
  while (end < zone.size() && is_digit(zone[end])) ++end;
  const std::string_view region = zone.substr(0, end);
  const std::string_view rest = zone.substr(end);
  if (region.find('-') == std::string_view::npos) return {};
  const bool letter = rest.size() == 1 && is_lower(rest[0]);
  return letter || (rest.size() > 1 && rest[0] == '-' && rest.back() != '-') ? region
                                                                             : std::string_view();
}

std::string_view region_of_zone(std::string_view zone) {
  const std::string_view region = region_in_name(zone);
  return region.empty() ? zone : region;
}

// A family and its generation, then a size: "m3.medium", "c4.2xlarge", "r5ad.metal".
std::string instance_type_in(std::string_view file_name) {
  const auto letter = [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); };
  for (const absl::string_view word :
       absl::StrSplit(absl_view(file_name), absl::ByAnyChar("_ ,+"))) {
    const std::vector<absl::string_view> parts = absl::StrSplit(word, '.');
    if (parts.size() < 2 || parts[0].size() < 2 || parts[0].size() > 8) continue;
    if (!absl::ascii_islower(static_cast<unsigned char>(parts[0][0])) ||
        !std::all_of(parts[0].begin(), parts[0].end(), letter) ||
        std::none_of(parts[0].begin(), parts[0].end(), is_digit))
      continue;
    static constexpr absl::string_view sizes[] = {"nano",   "micro", "small",
                                                  "medium", "large", "metal"};
    if (std::find(std::begin(sizes), std::end(sizes), parts[1]) != std::end(sizes) ||
        absl::EndsWith(parts[1], "xlarge"))
      return absl::StrCat(parts[0], ".", parts[1]);
  }
  return "";
}

bool is_wanted(const std::vector<std::string>& wanted, std::string_view name) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
}

}  // namespace supercloud
