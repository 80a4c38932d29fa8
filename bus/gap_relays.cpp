// The third part of the gap detector: what is in the care of publishers that relay.
#include <algorithm>
#include <utility>

#include "bus/gap_detector.h"

namespace supercloud {

void GapDetector::relays(std::string_view node, bool does) {
  auto found = publishers_.find(node);
  if (found == publishers_.end()) {
    if (!does) return;
    found = publishers_.emplace(std::string(node), Publisher{}).first;
  }
  found->second.relays = does;
}

bool GapDetector::is_relay(std::string_view node) const {
  const auto found = publishers_.find(node);
  return found != publishers_.end() && found->second.relays;
}

bool GapDetector::cares_for(std::string_view node, const Publisher& publisher,
                            std::string_view origin) const {
  const std::string_view of = node_of(origin);
  return of == node || (publisher.relays && publishers_.find(of) == publishers_.end());
}

std::vector<std::string> GapDetector::in_care_of(std::string_view node,
                                                 const Publisher& publisher) const {
  std::vector<std::string> names;
  std::string lead(node);
  lead += '/';
  auto next = publisher.relays ? origins_.begin() : origins_.lower_bound(lead);
  for (; next != origins_.end(); ++next) {
    const bool own = next->second.relay.empty() && node_of(next->first) == node;
    if (!own && !publisher.relays) break;
    if (own || next->second.relay == node) names.push_back(next->first);
  }
  return names;
}

std::vector<OriginTail> GapDetector::standing(std::string_view node) const {
  std::vector<OriginTail> all;
  const std::string lead = node.empty() ? std::string() : std::string(node) + "/";
  for (auto next = origins_.lower_bound(lead);
       next != origins_.end() && std::string_view(next->first).starts_with(lead); ++next) {
    const auto& [name, origin] = *next;
    if (origin.relay.empty() && is_relay(node_of(name))) continue;  // what it says itself
    const std::string_view of =
        origin.relay.empty() ? node_of(name) : std::string_view(origin.relay);
    if (publishers_.find(of) == publishers_.end()) continue;  // it is forgotten
    OriginTail tail{.origin = name, .incarnation = origin.incarnation};
    tail.sequence = std::max({origin.delivered, origin.known, origin.asked_through});
    for (const Chain& chain : origin.chains) {
      tail.sequence = std::max({tail.sequence, chain.seen, chain.expected});
      tail.passed = std::max(tail.passed, chain.since);
    }
    const std::uint64_t since = followed_since(origin);
    if (since == BusGap::unknown) continue;
    tail.since = since;
    all.push_back(std::move(tail));
  }
  return all;
}

bool GapDetector::knows_node_of(std::string_view name, std::string_view relay) const {
  const auto publisher = publishers_.find(relay);
  // One that is new may be one that was forgotten.
  if (publisher == publishers_.end() || publisher->second.forgot) return false;
  const std::string_view lead = name.substr(0, node_of(name).size() + 1);
  for (auto next = origins_.lower_bound(lead);
       next != origins_.end() && std::string_view(next->first).starts_with(lead); ++next)
    if (next->first != name && next->second.relay == relay) return true;
  return false;
}

void GapDetector::follow_since(std::string_view name, Origin& origin, const Publisher& publisher,
                               std::uint64_t since) {
  for (const std::size_t slot : publisher.effective) {
    Chain& chain = chain_of(origin, slot);
    if (std::exchange(chain.adopted, false)) {
      if (chain.first_previous > since)
        report(name, origin, slot, since, chain.first_previous, gap_too_late_now);
      chain.since = std::min(chain.since, since);
    }
    if (chain.tracked) continue;
    chain.tracked = true;
    repairs_.erase(std::exchange(origin.repair, 0));
    origin.asked_through = 0;
    chain.seen = chain.since = std::max(chain.seen, since);
  }
}

}  // namespace supercloud
