#include "simulation/told_holds.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {

void ToldHolds::heard(const Event& event, bool frozen) {
  const bool left = event.type() == schema::Payload::NODE_LEFT;
  if (!left && event.type() != schema::Payload::BUS_HOLDING) return;
  const std::string node(node_of(event.origin()));
  if (!left && event.origin() != node + "/node") return;
  std::set<std::pair<std::string, std::string>> named;
  if (!left)
    for (const auto hold : event.payload().getBusHolding().getHolds())
      named.emplace(absl::StrCat(node, "/", std::string(text(hold.getActor()))),
                    text(hold.getPattern()));
  std::erase_if(told_, [&](const auto& each) {
    return node_of(each.first.first) == node && !named.contains(each.first);
  });
  const Instant now = world_.now();
  if (frozen || now < from_) return;
  for (const auto& key : named) {
    const auto [told, fresh] = told_.try_emplace(key, Told{Pattern::of(key.second), 0, Instant()});
    if (!fresh && now - told->second.last < apart) continue;
    ++told->second.times;
    told->second.last = now;
  }
}

void ToldHolds::forget() {
  told_.clear();
  from_ = world_.now() + restarts;
}

std::set<std::string> ToldHolds::holders_of(std::string_view topic) const {
  std::set<std::string> found;
  for (const auto& [key, told] : told_)
    if (told.times >= times_min && world_.now() - told.last <= lately &&
        told.pattern.matches(topic))
      found.insert(key.first);
  return found;
}

}  // namespace supercloud
