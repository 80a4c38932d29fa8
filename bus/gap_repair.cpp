// The other half of the gap detector: what is known to be missing, when it is asked for, and what becomes of the answers.
#include <algorithm>
#include <utility>

#include "bus/gap_detector.h"

namespace supercloud {
namespace {

constexpr Duration relay_word_max = absl::Seconds(3);

}  // namespace

void GapDetector::tails(std::string_view node, schema::Heartbeat::Reader heartbeat, Instant now) {
  std::map<std::string_view, bool> known_nodes;
  for (const auto tail : heartbeat.getTails()) {
    const std::string_view name = text(tail.getOrigin());
    const auto known = publishers_.find(node);
    const bool relayed = node_of(name) != node;
    if (relayed && (known == publishers_.end() || !cares_for(node, known->second, name))) continue;
    const auto heard = origins_.find(name);
    // Never heard of: all of it may have been lost, if a subscription was in effect.
    if (heard == origins_.end() && (known == publishers_.end() || known->second.effective.empty()))
      continue;
    const bool begun =
        relayed && heard == origins_.end() &&
        known_nodes.try_emplace(node_of(name), knows_node_of(name, node)).first->second;
    if (relayed && tail.getSequence() == 0) {  // its log is lost
      if (heard == origins_.end() || tail.getIncarnation() <= heard->second.incarnation) continue;
      begin_incarnation(name, heard->second, tail.getIncarnation());
      heard->second.lost = true;
      continue;
    }
    // A heartbeat may have been relayed itself.
    const std::string relay = relayed                   ? std::string(node)
                              : heard == origins_.end() ? std::string()
                                                        : heard->second.relay;
    Origin& origin = find_or_make(name, tail.getIncarnation(), relay);
    if (tail.getIncarnation() < origin.incarnation) continue;
    if (tail.getIncarnation() > origin.incarnation) {
      begin_incarnation(name, origin, tail.getIncarnation());
    }
    const bool asked = origin.repair != 0;
    if (relayed) follow_since(name, origin, known->second, begun ? 0 : tail.getSince());
    if (asked && origin.repair == 0 && !doubtful(name, origin)) ask(name, origin);
    const auto expect = [&](std::string_view prefix, std::uint64_t sequence) {
      const auto slot = slots_.find(prefix);
      if (slot == slots_.end()) return;
      Chain& chain = chain_of(origin, slot->second);
      if (!chain.tracked || sequence <= std::max(chain.seen, chain.expected)) return;
      if (chain.expected == 0) chain.expected_by = now + options_.hold;
      chain.expected = sequence;
    };
    expect("", tail.getSequence());
    for (const auto prefix : tail.getPrefixes()) {
      expect(text(prefix.getPrefix()), std::min(prefix.getSequence(), tail.getSequence()));
    }
    if (relayed && tail.getUnfollowed() > origin.known) {
      // It may have come by before the relay, or the process of it that is there now, followed it.
      origin.known = tail.getUnfollowed();
      if (!doubtful(name, origin)) ask(name, origin);
    }
    note_waiting(name, origin);
  }
}

Instant GapDetector::due(const Origin& origin) const {
  Instant earliest = far_future;
  if (origin.repair != 0) return earliest;  // its answer comes
  // Its relay says once a second from where on it is owed.
  const bool untold = !origin.relay.empty() && followed_since(origin) == BusGap::unknown;
  const Duration hold = untold ? std::max(options_.hold, relay_word_max) : options_.hold;
  for (const auto& [sequence, held] : origin.held) {
    earliest = std::min(earliest, held.since + hold);
  }
  for (const Chain& chain : origin.chains) {
    if (chain.expected > chain.seen) earliest = std::min(earliest, chain.expected_by);
  }
  return earliest;
}

void GapDetector::note_waiting(std::string_view name, const Origin& origin) {
  const auto found = waiting_.find(name);
  const bool waits = !origin.held.empty() ||
                     std::any_of(origin.chains.begin(), origin.chains.end(),
                                 [](const Chain& chain) { return chain.expected > chain.seen; });
  if (waits && found == waiting_.end()) waiting_.emplace(name);
  if (!waits && found != waiting_.end()) waiting_.erase(found);
}

Instant GapDetector::wake_at() const {
  Instant earliest = far_future;
  for (const std::string& name : waiting_) {
    const auto origin = origins_.find(name);
    // In doubt cleared() goes on.
    if (origin != origins_.end() && !doubtful(name, origin->second))
      earliest = std::min(earliest, due(origin->second));
  }
  return earliest;
}

void GapDetector::expire(Instant now) {
  const std::vector<std::string> names(waiting_.begin(), waiting_.end());
  for (const std::string& name : names) {
    const auto found = origins_.find(name);
    if (found == origins_.end()) {
      waiting_.erase(name);
      continue;
    }
    if (doubtful(name, found->second)) continue;
    expire_origin(name, found->second, now);
    note_waiting(name, found->second);
  }
}

void GapDetector::expire_origin(std::string_view name, Origin& origin, Instant now) {
  if (options_.repair) {
    // What is held and lacks nothing any more goes on.
    if (due(origin) <= now && !ask(name, origin)) settle(name, origin, 0, gap_not_in_log);
    return;
  }
  // Up to the newest one whose time has come, in order of their sequence.
  std::uint64_t up_to = 0;
  for (const auto& [sequence, held] : origin.held) {
    if (held.since + options_.hold <= now) up_to = sequence;
  }
  while (!origin.held.empty() && origin.held.begin()->first <= up_to)
    force_lowest(name, origin, gap_no_repair);
  release(name, origin);
  report_expected(name, origin, now, BusGap::unknown, gap_no_repair);
}

GapDetector::Need GapDetector::need(const Origin& origin) const {
  Need need;
  const auto add = [&](const Chain& chain, std::uint64_t up_to) {
    need.after = std::min(need.after, chain.seen);
    need.up_to = std::max(need.up_to, up_to);
  };
  const std::uint64_t since = std::max(origin.delivered, followed_since(origin));
  if (origin.known > std::max(since, origin.asked_through)) need = {since, origin.known};
  std::vector<std::uint64_t> seen(origin.chains.size());
  for (std::size_t slot = 0; slot < seen.size(); ++slot) {
    const Chain& chain = origin.chains[slot];
    seen[slot] = chain.seen;
    if (chain.expected > chain.seen) add(chain, chain.expected);
  }
  for (const auto& [sequence, held] : origin.held) {
    const Matches matches = match(held.event.topic());
    for (std::size_t i = 0; i < matches.count; ++i) {
      const auto [slot, tokens] = matches.match[i];
      if (slot >= seen.size() || !origin.chains[slot].tracked) continue;
      const std::uint64_t previous = held.event.previous(tokens);
      if (previous > seen[slot]) add(origin.chains[slot], previous);
      seen[slot] = sequence;
    }
  }
  return need;
}

std::uint64_t GapDetector::followed_since(const Origin& origin) {
  std::uint64_t since = BusGap::unknown;
  for (const Chain& chain : origin.chains) {
    if (chain.tracked) since = std::min(since, chain.since);
  }
  return since;
}

bool GapDetector::ask(std::string_view name, Origin& origin) {
  if (origin.repair != 0) return false;
  Need lacks = need(origin);
  if (lacks.up_to == 0) return false;
  // What is older than what was delivered would break the order: nobody needs to be asked for it.
  if (lacks.up_to <= origin.delivered || lacks.up_to <= origin.asked_through) {
    settle(name, origin, lacks.up_to, gap_too_late_now);
    lacks = need(origin);
    // In doubt it is told behind what cleared() asks for.
    if (lacks.up_to <= origin.delivered || lacks.up_to <= origin.asked_through) return true;
  }
  BusRepair repair;
  repair.id = origin.repair = ++last_repair_;
  repair.range.origin = std::string(name);
  repair.range.incarnation = origin.incarnation;
  repair.range.after = std::max({lacks.after, origin.delivered, origin.asked_through});
  // A question that goes on where the last one ended makes one of both.
  if (origin.asked_through == 0 || repair.range.after != origin.asked_through)
    origin.asked_after = repair.range.after;
  repair.range.up_to = lacks.up_to;
  for (const auto& [prefix, slot] : slots_) {  // sorted: a prefix comes before its extensions
    if (slot >= origin.chains.size() || !origin.chains[slot].tracked) continue;
    std::vector<std::string>& prefixes = repair.range.prefixes;
    if (prefixes.empty() || !prefix.starts_with(prefixes.back())) prefixes.push_back(prefix);
  }
  repairs_[repair.id] = {std::string(name), repair.range.up_to};
  outputs_.push(std::move(repair));
  return true;
}

GapDetector::Origin* GapDetector::answered(std::uint64_t id, Repair& repair) {
  const auto found = repairs_.find(id);
  if (found == repairs_.end()) return nullptr;
  repair = std::move(found->second);
  repairs_.erase(found);
  const auto origin = origins_.find(repair.origin);
  if (origin == origins_.end() || origin->second.repair != id) return nullptr;
  origin->second.repair = 0;
  return &origin->second;
}

absl::Status GapDetector::repaired(std::uint64_t id, std::vector<Event> events,
                                   std::uint64_t through, Instant now, std::string_view why) {
  Repair repair;
  Origin* origin = answered(id, repair);
  if (origin == nullptr) return absl::OkStatus();
  absl::Status status;
  const std::string relay = origin->relay;
  for (Event& event : events) {
    // The log has nothing between it and the one before.
    settle(repair.origin, *origin, event.sequence() - 1, why);
    status.Update(arrived(std::move(event), now, relay));
  }
  settle(repair.origin, *origin, std::min(through, repair.up_to), why);
  ask(repair.origin, *origin);
  note_waiting(repair.origin, *origin);
  return status;
}

void GapDetector::unrepaired(std::uint64_t id, std::string_view why) {
  Repair repair;
  Origin* origin = answered(id, repair);
  if (origin == nullptr) return;
  const std::uint64_t asked_through = origin->asked_through;
  settle(repair.origin, *origin, repair.up_to, why);
  if (doubtful(repair.origin, *origin)) {
    // What is held still may follow on what was not answered, and is asked for together with that.
    origin->asked_through = asked_through;
  } else {
    ask(repair.origin, *origin);
  }
  note_waiting(repair.origin, *origin);
}

void GapDetector::settle(std::string_view name, Origin& origin, std::uint64_t through,
                         std::string_view why) {
  origin.asked_through = std::max(origin.asked_through, through);
  release(name, origin);
  while (!origin.held.empty()) {
    const Event& lowest = origin.held.begin()->second.event;
    const Matches matches = match(lowest.topic());
    std::uint64_t newest_missing = 0;
    for (std::size_t i = 0; i < matches.count; ++i) {
      const Chain& chain = chain_of(origin, matches.match[i].slot);
      const std::uint64_t previous = lowest.previous(matches.match[i].tokens);
      if (chain.tracked && previous > chain.seen)
        newest_missing = std::max(newest_missing, previous);
    }
    if (newest_missing > through || unsure(name, origin, lowest.sequence())) break;
    force_lowest(name, origin, why);
    release(name, origin);
  }
  report_expected(name, origin, far_future, through, why);
}

void GapDetector::report_expected(std::string_view name, Origin& origin, Instant now,
                                  std::uint64_t through, std::string_view why) {
  std::string_view reported;
  std::uint64_t covered = 0;
  std::uint64_t covered_since = 0;
  for (const auto& [prefix, slot] : slots_) {  // sorted: a prefix comes before its extensions
    Chain& chain = chain_of(origin, slot);
    if (chain.expected == 0 || chain.expected_by > now || chain.expected > through) continue;
    const std::uint64_t expected = std::exchange(chain.expected, 0);
    if (expected <= chain.seen) continue;
    const bool told = covered >= expected && covered_since <= chain.seen &&
                      prefix.substr(0, reported.size()) == reported;
    if (!told || options_.each_prefix) {
      report(name, origin, slot, chain.seen, expected, why);
      reported = prefix;
      covered = expected;
      covered_since = chain.since;
    }
    chain.seen = expected;
  }
}

}  // namespace supercloud
