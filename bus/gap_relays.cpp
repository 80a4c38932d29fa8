// The third part of the gap detector: what is in the care of publishers that relay.
#include <algorithm>
#include <utility>

#include "bus/gap_detector.h"
#include "bus/subscriber.h"

namespace supercloud {

void GapDetector::relays(std::string_view node, bool does) {
  if (does || publishers_.find(node) != publishers_.end()) make_publisher(node).relays = does;
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

GapDetector::Publisher& GapDetector::make_publisher(std::string_view node) {
  auto found = publishers_.find(node);
  if (found == publishers_.end()) {
    found = publishers_.emplace(std::string(node), Publisher{}).first;
    if (!young_) found->second.met = ++stamps_;
  }
  return found->second;
}

// ---- what a relay tells --------------------------------------------------------------------------------------------

void GapDetector::add_told(std::vector<Told>& told, const Publisher& publisher,
                           std::string_view prefix, Told under) const {
  const auto slot = slots_.find(prefix);
  if (slot == slots_.end() || !publisher.effective.contains(slot->second)) return;
  under.slot = slot->second;
  told.push_back(under);
}

std::vector<GapDetector::Told> GapDetector::told_of(const Publisher& publisher,
                                                    const OriginTail& tail) const {
  std::vector<Told> told;
  for (const OriginTail::Under& under : tail.under)
    add_told(told, publisher, under.prefix,
             {.sequence = under.sequence, .since = under.since, .begun = under.begun});
  if (!tail.under.empty()) return told;
  for (const std::size_t slot : publisher.effective)
    told.push_back({slot, 0, tail.passed, tail.since});
  return told;
}

void GapDetector::take_relayed_tail(std::string_view node, schema::Heartbeat::Tail::Reader tail,
                                    Instant now) {
  const auto publisher = publishers_.find(node);
  if (publisher == publishers_.end()) return;
  std::vector<Told> told;
  for (const auto prefix : tail.getPrefixes())
    add_told(told, publisher->second, text(prefix.getPrefix()),
             {.sequence = std::min(prefix.getSequence(), tail.getSequence()),
              .since = std::max(prefix.getSince(), tail.getSince()),
              .begun = prefix.getBegun()});
  const bool log_lost = tail.getSequence() == 0;
  if (tail.getPrefixes().size() == 0 && !log_lost)
    told = told_of(publisher->second,
                   {.origin = {}, .since = tail.getSince(), .passed = tail.getUnfollowed()});
  if (told.empty() && !log_lost) return;  // nothing of that is subscribed here
  const std::string_view name = text(tail.getOrigin());
  if (!cares_for(node, publisher->second, name)) return;
  if (log_lost) {
    const auto heard = origins_.find(name);
    if (heard == origins_.end() || tail.getIncarnation() <= heard->second.incarnation) return;
    begin_incarnation(name, heard->second, tail.getIncarnation());
    heard->second.lost = true;
    return;
  }
  Origin& origin = find_or_make(name, tail.getIncarnation(), node);
  if (tail.getIncarnation() < origin.incarnation) return;
  if (tail.getIncarnation() > origin.incarnation)
    begin_incarnation(name, origin, tail.getIncarnation());
  const bool asked = origin.repair != 0;
  bool came_by = false;
  for (const Told& under : told) {
    follow(name, origin, publisher->second, under);
    Chain& chain = origin.chains[under.slot];
    expect(chain, under.sequence, now);
    // Before the relay, or the process of it that is there now, followed it: it is not on its way.
    const std::uint64_t said = under.sequence > 0 ? under.sequence : under.since;
    if (said > under.since || said <= std::max(chain.seen, origin.known)) continue;
    origin.known = said;
    came_by = true;
  }
  if ((came_by || (asked && origin.repair == 0)) && !doubtful(name, origin)) ask(name, origin);
  note_waiting(name, origin);
}

void GapDetector::follow(std::string_view name, Origin& origin, const Publisher& publisher,
                         const Told& told) {
  std::uint64_t since = publisher.renewed.contains(told.slot) ? told.begun : told.since;
  if (publisher.forgot)
    since = std::max({since, told.sequence, told.since});  // it may have been known
  Chain& chain = chain_of(origin, told.slot);
  if (std::exchange(chain.adopted, false)) {
    if (chain.first_previous > since)
      report(name, origin, told.slot, since, chain.first_previous, gap_too_late_now);
    chain.since = std::min(chain.since, since);
  }
  if (!chain.tracked) {
    chain.tracked = true;
    repairs_.erase(std::exchange(origin.repair, 0));
    origin.asked_through = 0;
    chain.begun = told.begun;
    chain.perhaps = told.sequence == 0;
    chain.seen = chain.since = std::max(chain.seen, since);
  }
  note_said(name, chain, std::min(told.sequence, chain.seen), false);
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

bool GapDetector::awaits_word(const Origin& origin, const Held& held) const {
  return held.since + relay_word_max > now_ &&
         untold(origin, match(held.event.topic()), held.event);
}

// ---- what is told onward -------------------------------------------------------------------------------------------

std::vector<OriginTail> GapDetector::standing(std::optional<std::string_view> prefix) const {
  std::vector<OriginTail> all;
  std::optional<std::size_t> slot;
  if (prefix) {
    const auto found = slots_.find(*prefix);
    if (found == slots_.end()) return all;
    slot = found->second;
  }
  for (const auto& [name, origin] : origins_)
    if (std::optional<OriginTail> tail = tail_of(name, origin, slot))
      all.push_back(*std::move(tail));
  return all;
}

std::optional<OriginTail> GapDetector::standing_of(std::string_view origin) const {
  const auto found = origins_.find(origin);
  if (found == origins_.end()) return std::nullopt;
  return tail_of(found->first, found->second, std::nullopt);
}

std::optional<OriginTail> GapDetector::tail_of(const std::string& name, const Origin& origin,
                                               std::optional<std::size_t> slot) const {
  const std::string_view of = origin.relay.empty() ? node_of(name) : std::string_view(origin.relay);
  const auto publisher = publishers_.find(of);
  if (publisher == publishers_.end()) return std::nullopt;                    // it is forgotten
  if (origin.relay.empty() && publisher->second.relays) return std::nullopt;  // what it says itself
  OriginTail tail{.origin = name, .incarnation = origin.incarnation, .since = BusGap::unknown};
  tail.sequence = std::max({origin.delivered, origin.known, origin.asked_through});
  for (const Chain& chain : origin.chains)
    tail.sequence = std::max({tail.sequence, chain.seen, chain.expected});
  const auto add = [&](std::size_t at) {
    if (at >= origin.chains.size() || !relayed_prefix(prefixes_[at])) return;
    const Chain& chain = origin.chains[at];
    if (!chain.tracked || (chain.said == 0 && !chain.perhaps)) return;
    tail.under.push_back({prefixes_[at], chain.said, chain.since, chain.begun});
    tail.since = std::min(tail.since, chain.since);
    tail.passed = std::max({tail.passed, chain.since, chain.said});
  };
  if (slot)
    add(*slot);
  else
    for (const auto& [prefix, at] : slots_) add(at);
  if (tail.under.empty()) return std::nullopt;
  return tail;
}

std::vector<std::string> GapDetector::news() {
  std::vector<std::string> names(news_.begin(), news_.end());
  news_.clear();
  return names;
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
  // Of who has been there for longer, and has said no heartbeat yet.
  if (origin.told_to == 0) {
    chain.perhaps = !late && tail > 0;
    return;
  }
  const auto told = origin.told.find(prefix);
  if (told != origin.told.end()) note_said(name, chain, std::min(told->second, tail), false);
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
  for (const auto prefix : tail.getPrefixes()) {
    const std::string_view of = text(prefix.getPrefix());
    auto known = origin.told.find(of);
    if (known == origin.told.end()) known = origin.told.emplace(std::string(of), 0).first;
    if (known->second == prefix.getSequence()) continue;
    known->second = prefix.getSequence();
    said(of, prefix.getSequence());
  }
}

}  // namespace supercloud
