#include "cli/report/place_labels.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "actors/spot/price_feed.h"
#include "core/text.h"

namespace supercloud {

std::vector<std::string> place_labels(const std::vector<std::string>& ids) {
  std::vector<std::optional<PlaceName>> places;
  for (const std::string& id : ids) {
    absl::StatusOr<PlaceName> place = PlaceName::parse(id);
    places.push_back(place.ok() ? std::optional(*std::move(place)) : std::nullopt);
  }
  const auto differ = [&](std::string PlaceName::* field) {
    const std::string* seen = nullptr;
    return std::any_of(places.begin(), places.end(), [&](const std::optional<PlaceName>& place) {
      if (!place) return false;
      if (!seen) seen = &((*place).*field);
      return (*place).*field != *seen;
    });
  };
  const bool clouds = differ(&PlaceName::cloud), regions = differ(&PlaceName::region);
  const bool types = differ(&PlaceName::instance_type);

  std::vector<std::string> labels;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!places[i]) {
      labels.push_back(ids[i]);
      continue;
    }
    const PlaceName& place = *places[i];
    std::vector<std::string> words;
    if (clouds) words.push_back(place.cloud);
    // "us-east-1a" says its region.
    if (regions && !absl::StartsWith(absl_view(place.zone), absl_view(place.region)))
      words.push_back(place.region);
    words.push_back(place.zone);
    if (types) words.push_back(place.instance_type);
    if (!place.spot) words.emplace_back("on-demand");
    labels.push_back(absl::StrJoin(words, " "));
  }
  return labels;
}

}  // namespace supercloud
