#include "actors/migration/ways.h"

#include <algorithm>
#include <utility>

namespace supercloud {
namespace {

// Longer than a hypervisor tries: it can say what it has waited for.
constexpr Duration try_max = absl::Seconds(3);

}  // namespace

const Ways::Known* Ways::known(const std::string& endpoint) {
  std::erase_if(known_, [this](const auto& way) { return way.second.until <= context_.now(); });
  const auto found = known_.find(endpoint);
  return found == known_.end() ? nullptr : &found->second;
}

void Ways::reach(const std::string& endpoint, Told told) {
  if (const Known* kept = known(endpoint)) return told(kept->way);
  try_way(endpoint, false, std::move(told));
}

void Ways::measure(const std::string& endpoint, Told told) {
  if (const Known* kept = known(endpoint); kept != nullptr && kept->way.bytes_per_second > 0)
    return told(kept->way);
  try_way(endpoint, true, std::move(told));
}

void Ways::measure_again(const std::string& endpoint, Told told) {
  const Known* kept = known(endpoint);
  const Known before = kept == nullptr ? Known{} : *kept;
  try_way(endpoint, true,
          [this, endpoint, before, told = std::move(told)](const absl::StatusOr<Way>& way) {
            if (!way.ok()) return told(way);
            Way both = *way;
            if (way->bytes_per_second == 0 || before.way.bytes_per_second == 0) {
              // It may not be filled again just now.
              both.bytes_per_second = before.twice ? before.way.bytes_per_second : 0;
              both.at_least = before.way.at_least;
              return told(both);
            }
            both.bytes_per_second = std::max(before.way.bytes_per_second, way->bytes_per_second);
            both.at_least = before.way.at_least || way->at_least;
            known_[endpoint] = {both, context_.now() + kept_for, /*twice=*/true};
            told(both);
          });
}

void Ways::keep(const std::string& endpoint, const Way& way) {
  // No rate takes the place of one.
  if (const auto kept = known_.find(endpoint);
      kept != known_.end() && way.bytes_per_second == 0 && kept->second.way.bytes_per_second > 0) {
    kept->second.way.round_trip = way.round_trip;
    return;
  }
  known_[endpoint] = {way, context_.now() + kept_for};
}

void Ways::try_way(const std::string& endpoint, bool measure, Told told) {
  hypervisor_.try_way(endpoint, measure,
                      context_.reply<Way>(try_max, [this, endpoint, told = std::move(told)](
                                                       const absl::StatusOr<Way>& way) {
                        if (way.ok()) keep(endpoint, *way);
                        told(way);
                      }));
}

}  // namespace supercloud
