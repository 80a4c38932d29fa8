#include "bus/interest.h"

#include <algorithm>
#include <utility>

#include "bus/subscriber.h"
#include "core/topic.h"

namespace supercloud {

void Interest::set(const Prefixes& wanted) {
  Prefixes whole;
  for (const std::string& prefix : wanted)
    if (relayed_prefix(prefix)) whole.emplace(leading_tokens(prefix, 3));
  for (auto next = wanted_.begin(); next != wanted_.end();) {
    if (whole.contains(next->first)) {
      ++next;
      continue;
    }
    const std::string gone = next->first;
    next = wanted_.erase(next);
    beyond_.let_go(gone);
  }
  for (const std::string& prefix : whole) {
    if (wanted_.contains(prefix)) continue;
    const std::uint64_t asked = ++asked_;
    wanted_[prefix].asked = asked;
    auto done = [this, alive = std::weak_ptr<char>(alive_), prefix,
                 asked](const absl::StatusOr<Done>&) {
      if (alive.expired()) return;
      const auto found = wanted_.find(prefix);
      if (found == wanted_.end() || found->second.asked != asked) return;
      found->second.in_effect = true;
      told_in_effect_(prefix);
    };
    beyond_.want(prefix, Reply<Done>(far_future, std::move(done)));
  }
}

bool Interest::in_effect(std::string_view prefix) const {
  if (!relayed_prefix(prefix)) return true;
  const auto found = wanted_.find(leading_tokens(prefix, 3));
  return found != wanted_.end() && found->second.in_effect;
}

bool Interest::in_effect_up_to(std::uint64_t asked) const {
  return std::all_of(wanted_.begin(), wanted_.end(), [asked](const auto& entry) {
    return entry.second.in_effect || entry.second.asked > asked;
  });
}

}  // namespace supercloud
