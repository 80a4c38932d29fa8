// The other half of the gap detector: what is known to be missing, when it is asked for, and what becomes of the answers.
#include <algorithm>
#include <utility>

#include "bus/gap_detector.h"

namespace supercloud {
void GapDetector::tails(std::string_view node, schema::Heartbeat::Reader heartbeat, Instant now) {
  now_ = now;
  const auto publisher = publishers_.find(node);
  for (const auto tail : heartbeat.getTails()) {
    const std::string_view name = text(tail.getOrigin());
    if (node_of(name) != node) {
      take_relayed_tail(node, tail, now);
      continue;
    }
    const auto heard = origins_.find(name);
    // Never heard of: all of it may have been lost, if a subscription was in effect.
    if (heard == origins_.end() &&
        (publisher == publishers_.end() || publisher->second.effective.empty()))
      continue;
    // A heartbeat may have been relayed itself.
    const std::string relay = heard == origins_.end() ? std::string() : heard->second.relay;
    Origin& origin = find_or_make(name, tail.getIncarnation(), relay);
    if (tail.getIncarnation() < origin.incarnation) continue;
    if (tail.getIncarnation() > origin.incarnation)
      begin_incarnation(name, origin, tail.getIncarnation());
    const auto expect_under = [&](std::string_view prefix, std::uint64_t sequence) {
      const auto slot = slots_.find(prefix);
      if (slot == slots_.end()) return;
      Chain& chain = chain_of(origin, slot->second);
      if (origin.stood == BusGap::unknown && relay.empty() && !chain.tracked && sequence > 0 &&
          publisher != publishers_.end() && publisher->second.effective.contains(slot->second)) {
        report(name, origin, slot->second, 0, sequence, gap_let_go);
        chain.tracked = true;
        chain.seen = chain.since = chain.begun = sequence;
      }
      expect(chain, sequence, now);
    };
    expect_under("", tail.getSequence());
    for (const auto prefix : tail.getPrefixes())
      expect_under(text(prefix.getPrefix()), std::min(prefix.getSequence(), tail.getSequence()));
    if (options_.onward && relay.empty()) take_told(name, origin, tail);
    note_waiting(name, origin);
  }
}

void GapDetector::expect(Chain& chain, std::uint64_t sequence, Instant now) {
  if (!chain.tracked || sequence <= std::max(chain.seen, chain.expected)) return;
  if (chain.expected == 0) chain.expected_by = now + options_.hold;
  chain.expected = sequence;
}

bool GapDetector::lacks_expected(const Origin& origin, const Chain& chain) {
  // What is held is there, whatever it waits for.
  return chain.expected > chain.seen && !origin.held.contains(chain.expected);
}

Instant GapDetector::due(const Origin& origin) const {
  Instant earliest = far_future;
  if (origin.repair != 0) return earliest;  // its answer comes
  const bool waits = lowest_untold(origin);
  if (waits) {  // the others wait for it
    earliest = origin.held.begin()->second.since + std::max(options_.hold, relay_word_max);
  } else {
    for (const auto& [sequence, held] : origin.held)
      earliest = std::min(earliest, held.since + options_.hold);
  }
  for (const Chain& chain : origin.chains) {
    const bool asked = waits && chain.expected <= origin.asked_through;
    if (lacks_expected(origin, chain) && !asked) earliest = std::min(earliest, chain.expected_by);
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
  now_ = now;
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
  if (due(origin) > now) return;
  if (lowest_untold(origin)) {
    const Held& lowest = origin.held.begin()->second;
    // Then its relay may be gone. Nothing was told of it, so it had said nothing when that began.
    if (lowest.since + relay_word_max <= now)
      follow_untold(name, origin, match(lowest.event.topic()), lowest.event);
    else if (!options_.repair)
      return report_expected(name, origin, now, BusGap::unknown, gap_no_repair);
  }
  if (options_.repair) {
    // What is held and lacks nothing any more goes on.
    if (!ask(name, origin)) settle(name, origin, 0, gap_not_in_log);
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
    if (lacks_expected(origin, chain)) add(chain, chain.expected);
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
  origin.unanswered_through = std::min(origin.unanswered_through, repair.range.after);
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
                                   std::uint64_t through, Instant now, std::string_view why,
                                   absl::Span<const std::uint64_t> refused) {
  Repair repair;
  Origin* origin = answered(id, repair);
  if (origin == nullptr) return absl::OkStatus();
  absl::Status status;
  const std::string relay = origin->relay;
  // What is older has been told.
  origin->refused.erase(origin->refused.begin(), origin->refused.upper_bound(origin->delivered));
  origin->refused.insert(refused.begin(), refused.end());
  while (origin->refused.size() > refused_max) origin->refused.erase(origin->refused.begin());
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
  origin->unanswered_through = repair.up_to;
  origin->unanswered = std::string(why);
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
    // expire() asks for what is before it. What was answered may be held behind it.
    if (untold(origin, matches, lowest)) {
      through = std::min(through, lowest.sequence() - 1);
      break;
    }
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
    if (!told || options_.onward) {
      report(name, origin, slot, chain.seen, expected, why);
      reported = prefix;
      covered = expected;
      covered_since = chain.since;
    }
    chain.seen = expected;
    note_said(name, chain, expected, true);
  }
}

}  // namespace supercloud
