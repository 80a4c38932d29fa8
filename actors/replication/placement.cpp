#include "actors/replication/placement.h"

#include <algorithm>
#include <tuple>

namespace supercloud {

Placement place_replicas(const LeaseRecord& record, schema::VmSpec::Reader spec,
                         const NodeDirectory& nodes,
                         const std::map<std::string, CopyFacts>& copies) {
  Placement placement;
  if (record.hand_over_open()) {
    placement.heir = record.heir->node;
    placement.nodes.push_back(placement.heir);
  }
  const NodeFacts* holder = nodes.find(record.holder);
  const std::string home = holder == nullptr ? std::string() : holder->place;
  // not in sync, down, not caught up, at the holder's place, name
  std::vector<std::tuple<bool, bool, bool, bool, std::string>> ranked;
  const auto rank = [&](const std::string& name, const std::string& place) {
    if (name == record.holder || name == placement.heir) return;
    const bool in_sync =
        std::find(record.in_sync.begin(), record.in_sync.end(), name) != record.in_sync.end();
    const auto copy = copies.find(name);
    const bool down = copy != copies.end() && copy->second.down;
    const bool caught_up = copy != copies.end() && copy->second.caught_up;
    ranked.emplace_back(!in_sync, down, !caught_up, !home.empty() && place == home, name);
  };
  for (const auto& [name, facts] : nodes.nodes()) {
    // Who left in order may soon be back, with what it has: as long as its copy is not down, nothing is lost by waiting.
    const bool gone = facts.ended || (facts.left && !copies.contains(name));
    if (gone || facts.endpoint.empty() || !constraint_failures(spec, facts).empty()) continue;
    rank(name, facts.place);
  }
  // A restarted replicator has not heard of every node yet: what is fed already was judged by its predecessor.
  for (const auto& [name, copy] : copies) {
    if (nodes.find(name) == nullptr) rank(name, {});
  }
  std::sort(ranked.begin(), ranked.end());
  std::size_t counted = 0;
  for (const auto& [stranger, down, behind, near, name] : ranked) {
    if (down && !stranger) {
      placement.nodes.push_back(name);
    } else if (counted < spec.getReplicas()) {
      placement.nodes.push_back(name);
      if (!down) ++counted;
    }
  }
  std::sort(placement.nodes.begin(), placement.nodes.end());
  return placement;
}

}  // namespace supercloud
