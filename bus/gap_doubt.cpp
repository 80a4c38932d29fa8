// What the gap detector does where a connection may have lost anything.
#include <algorithm>
#include <map>
#include <utility>

#include "bus/gap_detector.h"

namespace supercloud {

bool GapDetector::doubtful(std::string_view name, const Origin& origin) const {
  if (!doubts_) return false;
  const auto publisher =
      publishers_.find(origin.relay.empty() ? node_of(name) : std::string_view(origin.relay));
  return publisher != publishers_.end() && publisher->second.doubtful;
}

bool GapDetector::unsure(std::string_view name, const Origin& origin,
                         std::uint64_t sequence) const {
  const bool in_doubt = doubtful(name, origin);
  std::uint64_t sure = std::max(origin.delivered, origin.asked_through);
  if (!in_doubt && origin.unsure_to <= sure) return false;
  sure = std::max(sure, followed_since(origin));
  if (!in_doubt && origin.unsure_to <= sure) return false;
  return sequence > sure && sequence - sure > 1;
}

void GapDetector::doubt(std::string_view node) {
  const auto publisher = publishers_.find(node);
  // Where nothing is in effect, nothing is owed; without repair nothing would be won.
  if (!options_.repair || publisher == publishers_.end()) return;
  publisher->second.doubtful = true;
  publisher->second.gone = 0;
  publisher->second.renewed = publisher->second.effective;
  publisher->second.renewed_until = far_future;
  doubts_ = true;
}

void GapDetector::cleared(std::string_view node, absl::Span<const OriginTail> tails, Instant now) {
  now_ = now;
  const auto publisher = publishers_.find(node);
  if (publisher == publishers_.end() || !std::exchange(publisher->second.doubtful, false)) return;
  doubts_ = std::any_of(publishers_.begin(), publishers_.end(),
                        [](const auto& entry) { return entry.second.doubtful; });
  for (const OriginTail& tail : tails) {
    if (!cares_for(node, publisher->second, tail.origin)) continue;
    const bool relayed = node_of(tail.origin) != node;
    const ToldBySlot told = relayed ? told_of(publisher->second, tail) : ToldBySlot();
    if (relayed && told.empty()) continue;
    Origin& origin = find_or_make(tail.origin, tail.incarnation, relayed ? node : "");
    if (tail.incarnation > origin.incarnation)
      begin_incarnation(tail.origin, origin, tail.incarnation);
    if (tail.incarnation != origin.incarnation) continue;
    std::uint64_t newest = relayed ? 0 : tail.sequence;
    for (const auto& [slot, under] : told) {
      follow(tail.origin, origin, publisher->second, slot, under);
      Chain& chain = origin.chains[slot];
      // A relay may have told it for the last time: what no log has is a gap all the same.
      expect(chain, under.sequence, now);
      const std::uint64_t said = std::max(under.sequence, under.came_by);
      if (said > chain.seen) newest = std::max(newest, said);
    }
    origin.known = std::max(origin.known, newest);
    origin.unsure_to = std::max(relayed ? origin.unsure_to : 0, newest);
  }
  for (const std::string& name : in_care_of(node, publisher->second)) {
    Origin& origin = origins_.find(name)->second;
    // What is held and follows what arrived needs no question; the rest waits for its answer.
    if (!ask(name, origin)) release(name, origin);
    note_waiting(name, origin);
  }
  publisher->second.renewed_until = now + young_max;
}

}  // namespace supercloud
