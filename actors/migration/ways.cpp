#include "actors/migration/ways.h"

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

void Ways::try_way(const std::string& endpoint, bool measure, Told told) {
  hypervisor_.try_way(endpoint, measure,
                      context_.reply<Way>(try_max, [this, endpoint, told = std::move(told)](
                                                       const absl::StatusOr<Way>& way) {
                        if (way.ok()) known_[endpoint] = {*way, context_.now() + kept_for};
                        told(way);
                      }));
}

}  // namespace supercloud
