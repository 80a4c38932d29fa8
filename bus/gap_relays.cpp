// The third part of the gap detector: what is in the care of publishers that relay.
#include <algorithm>
#include <utility>

#include "bus/gap_detector.h"
#include "bus/subscriber.h"

namespace supercloud {

bool GapDetector::relays(std::string_view node, bool does) {
  const bool known = publishers_.find(node) != publishers_.end();
  if (!does && !known) return false;
  Publisher& publisher = make_publisher(node);
  // It may be one that was forgotten.
  if (!known && relays_forgotten_)
    for (const auto& [prefix, slot] : slots_) publisher.effective.insert(slot);
  return !std::exchange(publisher.relays, does) && does && !publisher.effective.empty();
}

bool GapDetector::is_relay(std::string_view node) const {
  const auto found = publishers_.find(node);
  return found != publishers_.end() && found->second.relays;
}

bool GapDetector::is_neighbour(std::string_view node) const {
  const auto found = publishers_.find(node);
  return found != publishers_.end() && found->second.gone == 0;
}

bool GapDetector::cares_for(std::string_view node, const Publisher& publisher,
                            std::string_view origin) const {
  const std::string_view of = node_of(origin);
  return of == node || (publisher.relays && !is_neighbour(of));
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

GapDetector::Publisher& GapDetector::make_publisher(std::string_view node) {
  auto found = publishers_.find(node);
  if (found == publishers_.end()) {
    found = publishers_.emplace(std::string(node), Publisher{}).first;
    if (!young_) found->second.met = ++stamps_;
  }
  found->second.gone = 0;
  return found->second;
}

void GapDetector::forget(std::string_view node) {
  const auto found = publishers_.find(node);
  if (found == publishers_.end()) return;
  if (!found->second.relays) {
    publishers_.erase(found);
    return;
  }
  found->second.gone = ++stamps_;
  found->second.doubtful = false;  // what waits may be asked for on another way
  std::size_t gone = 0;
  auto longest = found;
  for (auto next = publishers_.begin(); next != publishers_.end(); ++next) {
    if (next->second.gone == 0) continue;
    ++gone;
    if (next->second.gone < longest->second.gone) longest = next;
  }
  if (gone <= relays_gone_max) return;
  publishers_.erase(longest);
  relays_forgotten_ = true;
}

// ---- what a relay tells --------------------------------------------------------------------------------------------

GapDetector::Told GapDetector::Told::under(std::uint64_t sequence, std::uint64_t since,
                                           std::uint64_t begun) {
  Told told{.sequence = sequence, .since = since, .begun = begun};
  told.perhaps = sequence == 0;
  if (sequence <= since) told.came_by = told.perhaps ? since : sequence;
  return told;
}

void GapDetector::Told::add(const Told& other) {
  sequence = std::max(sequence, other.sequence);
  since = std::min(since, other.since);
  begun = std::min(begun, other.begun);
  came_by = std::max(came_by, other.came_by);
  perhaps |= other.perhaps;
  whole |= other.whole;
}

void GapDetector::add_told(ToldBySlot& told, std::size_t slot, const Told& under) {
  const auto [known, is_new] = told.try_emplace(slot, under);
  if (!is_new) known->second.add(under);
}

void GapDetector::add_told(ToldBySlot& told, const Publisher& publisher, std::string_view prefix,
                           Told under) const {
  std::size_t end = 0;
  for (std::size_t tokens = 0; tokens < prefixes_max; ++tokens) {
    const auto slot = slots_.find(prefix.substr(0, end));
    under.whole = end == prefix.size();
    if (slot != slots_.end() && publisher.effective.contains(slot->second))
      add_told(told, slot->second, under);
    const std::size_t dot = prefix.find('.', end);
    if (dot == std::string_view::npos) return;
    end = dot + 1;
  }
}

GapDetector::ToldBySlot GapDetector::told_of(const Publisher& publisher,
                                             const OriginTail& tail) const {
  ToldBySlot told;
  for (const OriginTail::Under& under : tail.under)
    add_told(told, publisher, under.prefix, Told::under(under.sequence, under.since, under.begun));
  if (!tail.under.empty()) return told;
  // Of an older build: whoever was told nothing of it before is owed all.
  for (const std::size_t slot : publisher.effective)
    told[slot] = {.since = tail.since, .came_by = tail.passed, .perhaps = true, .whole = true};
  return told;
}

std::optional<GapDetector::Told> GapDetector::told_under(const OriginTail& tail,
                                                         std::string_view prefix) {
  std::optional<Told> told;
  auto under = std::ranges::lower_bound(tail.under, prefix, {}, &OriginTail::Under::prefix);
  for (; under != tail.under.end() && under->prefix.starts_with(prefix); ++under) {
    const Told part = Told::under(under->sequence, under->since, under->begun);
    if (told)
      told->add(part);
    else
      told = part;
  }
  return told;
}

GapDetector::ToldBySlot GapDetector::told_of(const Publisher& publisher,
                                             schema::Heartbeat::Tail::Reader tail) const {
  ToldBySlot told;
  std::uint64_t followed = 0;
  for (const auto prefix : tail.getPrefixes()) {
    add_told(told, publisher, text(prefix.getPrefix()),
             Told::under(std::min(prefix.getSequence(), tail.getSequence()),
                         std::max(prefix.getSince(), tail.getSince()), prefix.getBegun()));
    followed = std::max(followed, prefix.getSince());
  }
  // An older build's hubs do not say under which prefix it was that others were let pass or came by.
  if (tail.getUnfollowed() <= followed && tail.getPrefixes().size() > 0) return told;
  const Told others{
      .since = tail.getSince(), .came_by = tail.getUnfollowed(), .perhaps = true, .whole = true};
  for (const std::size_t slot : publisher.effective) add_told(told, slot, others);
  return told;
}

void GapDetector::take_relayed_tail(std::string_view node, schema::Heartbeat::Tail::Reader tail,
                                    Instant now) {
  const auto publisher = publishers_.find(node);
  if (publisher == publishers_.end()) return;
  const std::string_view name = text(tail.getOrigin());
  if (tail.getSequence() == 0 && tail.getPrefixes().size() == 0) {
    if (!cares_for(node, publisher->second, name)) return;
    const auto heard = origins_.find(name);
    if (heard == origins_.end() || tail.getIncarnation() <= heard->second.incarnation) return;
    begin_incarnation(name, heard->second, tail.getIncarnation());
    heard->second.lost = true;
    return;
  }
  const ToldBySlot told = told_of(publisher->second, tail);
  if (told.empty()) return;  // nothing of that is subscribed here
  if (!cares_for(node, publisher->second, name)) return;
  Origin& origin = find_or_make(name, tail.getIncarnation(), node);
  if (tail.getIncarnation() < origin.incarnation) return;
  if (tail.getIncarnation() > origin.incarnation)
    begin_incarnation(name, origin, tail.getIncarnation());
  const bool asked = origin.repair != 0;
  bool came_by = false;
  for (const auto& [slot, under] : told) {
    follow(name, origin, publisher->second, slot, under);
    Chain& chain = origin.chains[slot];
    expect(chain, under.sequence, now);
    // Before the relay, or the process of it that is there now, followed it: it is not on its way.
    // It may have been asked for without what is followed only now.
    if (under.came_by <= std::max(chain.seen, origin.asked_through)) continue;
    origin.known = std::max(origin.known, under.came_by);
    came_by = true;
  }
  if ((came_by || (asked && origin.repair == 0)) && !doubtful(name, origin)) ask(name, origin);
  note_waiting(name, origin);
}

void GapDetector::follow(std::string_view name, Origin& origin, const Publisher& publisher,
                         std::size_t slot, const Told& told) {
  const bool renewed = publisher.renewed.contains(slot) && now_ < publisher.renewed_until;
  // Of a part it is not said since when the rest is followed.
  std::uint64_t since = renewed || !told.whole ? told.begun : told.since;
  Chain& chain = chain_of(origin, slot);
  if (std::exchange(chain.adopted, false)) {
    if (chain.first_previous > since)
      report(name, origin, slot, since, chain.first_previous, gap_too_late_now);
    chain.since = std::min(chain.since, since);
  }
  if (!chain.tracked) {
    if (origin.stood > 0) since = begin_again(name, origin, slot, since, told);
    chain.tracked = true;
    repairs_.erase(std::exchange(origin.repair, 0));
    origin.asked_through = 0;
    chain.begun = told.begun;
    chain.partly = true;
    chain.seen = chain.since = std::max(chain.seen, since);
    note_perhaps(name, chain, told.perhaps);
  } else if (chain.partly && since < chain.since) {
    begin_earlier(name, origin, slot, since);
    chain.begun = std::min(chain.begun, told.begun);
  }
  chain.partly &= !told.whole;
  note_said(name, chain, std::min(told.sequence, chain.seen), false);
}

void GapDetector::begin_earlier(std::string_view name, Origin& origin, std::size_t slot,
                                std::uint64_t since) {
  if (origin.stood == BusGap::unknown) return;
  since = std::max(since, origin.stood);
  Chain& chain = origin.chains[slot];
  if (since >= chain.since) return;
  const std::uint64_t began = std::exchange(chain.since, since);
  // Before what was delivered meanwhile nothing can be any more.
  const std::uint64_t late = chain.seen > began ? began : std::min(began, origin.delivered);
  if (late > since) report(name, origin, slot, since, late, gap_too_late_now);
  if (chain.seen > began) return;
  chain.seen = std::max(since, late);
  repairs_.erase(std::exchange(origin.repair, 0));
  origin.asked_through = 0;
}

std::uint64_t GapDetector::begin_again(std::string_view name, const Origin& origin,
                                       std::size_t slot, std::uint64_t since, const Told& told) {
  if (origin.stood != BusGap::unknown) return std::max(since, origin.stood);
  std::uint64_t from = std::max({since, told.sequence, told.came_by});
  for (const auto& [sequence, held] : origin.held) {
    const Matches matches = match(held.event.topic());
    const auto* const end = matches.match + matches.count;
    const auto* const under =
        std::find_if(matches.match, end, [slot](const Match& match) { return match.slot == slot; });
    if (under == end) continue;
    from = std::max(since, std::min(from, held.event.previous(under->tokens)));
    break;
  }
  if (from > since) report(name, origin, slot, since, from, gap_let_go);
  return from;
}

bool GapDetector::untold(const Origin& origin, const Matches& matches, const Event& event) const {
  if (origin.relay.empty()) return false;
  const auto relay = publishers_.find(origin.relay);
  if (relay == publishers_.end()) return false;
  for (std::size_t i = 0; i < matches.count; ++i) {
    const auto [slot, tokens] = matches.match[i];
    const bool tracked = slot < origin.chains.size() && origin.chains[slot].tracked;
    if (!tracked && event.previous(tokens) > 0 && relay->second.effective.contains(slot))
      return true;
  }
  return false;
}

bool GapDetector::lowest_untold(const Origin& origin) const {
  if (origin.relay.empty() || origin.held.empty()) return false;
  const Event& lowest = origin.held.begin()->second.event;
  return untold(origin, match(lowest.topic()), lowest);
}

void GapDetector::follow_untold(std::string_view name, Origin& origin, const Matches& matches,
                                const Event& event) {
  if (!untold(origin, matches, event)) return;
  const Publisher& relay = publishers_.find(origin.relay)->second;
  for (std::size_t i = 0; i < matches.count; ++i) {
    const auto [slot, tokens] = matches.match[i];
    if (relay.effective.contains(slot) && !chain_of(origin, slot).tracked)
      follow(name, origin, relay, slot, {.sequence = event.previous(tokens)});
  }
}

// ---- what is told onward -------------------------------------------------------------------------------------------

std::vector<OriginTail> GapDetector::standing() const {
  std::vector<OriginTail> all;
  for (const auto& [name, origin] : origins_)
    if (std::optional<OriginTail> tail = tail_of(name, origin)) all.push_back(*std::move(tail));
  return all;
}

std::optional<OriginTail> GapDetector::standing_of(std::string_view origin) const {
  const auto found = origins_.find(origin);
  if (found == origins_.end()) return std::nullopt;
  return tail_of(found->first, found->second);
}

std::optional<OriginTail> GapDetector::tail_of(const std::string& name,
                                               const Origin& origin) const {
  const std::string_view of = origin.relay.empty() ? node_of(name) : std::string_view(origin.relay);
  const auto publisher = publishers_.find(of);
  if (publisher == publishers_.end()) return std::nullopt;                    // it is forgotten
  if (origin.relay.empty() && publisher->second.relays) return std::nullopt;  // what it says itself
  OriginTail tail{.origin = name, .incarnation = origin.incarnation, .since = BusGap::unknown};
  tail.sequence = std::max({origin.delivered, origin.known, origin.asked_through});
  for (const Chain& chain : origin.chains)
    tail.sequence = std::max({tail.sequence, chain.seen, chain.expected});
  for (const auto& [prefix, slot] : slots_) {  // sorted, as who takes it needs them
    if (slot >= origin.chains.size() || !relayed_prefix(prefix)) continue;
    const Chain& chain = origin.chains[slot];
    if (!chain.tracked || (chain.said == 0 && !chain.perhaps)) continue;
    const bool told = !chain.perhaps || chain.said > chain.since;
    tail.under.push_back({prefix, told ? chain.said : 0, chain.since, chain.begun});
    tail.since = std::min(tail.since, chain.since);
    tail.passed = std::max({tail.passed, chain.since, chain.said});
  }
  if (tail.under.empty()) return std::nullopt;
  return tail;
}

std::vector<std::string> GapDetector::news() {
  std::vector<std::string> names;
  for (auto next = news_.begin(); next != news_.end();) {
    const auto origin = origins_.find(*next);
    // When the doubt ends, it may turn out to have begun earlier, and under more.
    const bool waits = origin != origins_.end() && !origin->second.relay.empty() &&
                       doubtful(origin->first, origin->second);
    if (waits) {
      ++next;
    } else {
      names.push_back(*next);
      next = news_.erase(next);
    }
  }
  return names;
}

void GapDetector::note_perhaps(std::string_view name, Chain& chain, bool perhaps) {
  if (!options_.onward) return;
  chain.perhaps = perhaps;
  if (perhaps) news_.emplace(name);
}

void GapDetector::note_said(std::string_view name, Chain& chain, std::uint64_t sequence,
                            bool passes) {
  if (!options_.onward || sequence <= chain.said) return;
  if (chain.said == 0 || !passes) news_.emplace(name);
  chain.said = sequence;
}

void GapDetector::note_told(std::string_view name, Origin& origin, std::size_t slot,
                            std::uint64_t tail, bool late) {
  Chain& chain = origin.chains[slot];
  const std::string& prefix = prefixes_[slot];
  if (prefix.empty()) return note_said(name, chain, tail, false);
  const auto told = origin.told.find(prefix);
  if (told != origin.told.end()) return note_said(name, chain, std::min(told->second, tail), false);
  // Of who has been there for longer, and has said no heartbeat yet, or more than there was room for.
  const bool unknown = origin.told_to == 0 ? !late : !origin.told_all;
  note_perhaps(name, chain, unknown && tail > 0);
}

void GapDetector::take_told(std::string_view name, Origin& origin,
                            schema::Heartbeat::Tail::Reader tail) {
  origin.told_to = tail.getSequence();
  for (Chain& chain : origin.chains) chain.perhaps = false;
  const auto said = [&](std::string_view prefix, std::uint64_t sequence) {
    const auto slot = slots_.find(prefix);
    if (slot == slots_.end() || slot->second >= origin.chains.size() || !relayed_prefix(prefix))
      return;
    Chain& chain = origin.chains[slot->second];
    if (chain.tracked && sequence <= chain.seen) note_said(name, chain, sequence, false);
  };
  said("", tail.getSequence());
  std::size_t kept = 0;
  origin.told_all = true;
  for (const auto prefix : tail.getPrefixes()) {
    const std::string_view of = text(prefix.getPrefix());
    auto known = origin.told.find(of);
    if (known == origin.told.end()) {
      if (origin.told.size() < told_max) {
        known = origin.told.emplace(std::string(of), 0).first;
      } else {
        origin.told_all = false;
        said(of, prefix.getSequence());
        continue;
      }
    }
    ++kept;
    if (known->second == prefix.getSequence()) continue;
    known->second = prefix.getSequence();
    said(of, prefix.getSequence());
  }
  if (kept >= origin.told.size()) return;
  std::set<std::string_view> still;
  for (const auto prefix : tail.getPrefixes()) still.insert(text(prefix.getPrefix()));
  std::erase_if(origin.told, [&](const auto& entry) { return !still.contains(entry.first); });
}

}  // namespace supercloud
