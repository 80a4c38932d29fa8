#include "bus/gap_detector.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr std::string_view log_lost = "its publisher's log is lost";

}  // namespace

PublishedTails::PublishedTails(std::vector<OriginTail> past) {
  for (OriginTail& tail : past) tails_.insert_or_assign(tail.origin, tail);
}

void PublishedTails::note(const Event& event) {
  const schema::EventId::Reader id = event.reader().getId();
  const std::string_view origin = text(id.getOrigin());
  if (noted_ == nullptr || noted_->origin != origin) {
    noted_ = &tails_[std::string(origin)];
    noted_->origin = origin;
  }
  noted_->incarnation = id.getIncarnation();
  noted_->sequence = id.getSequence();
}

std::vector<OriginTail> PublishedTails::all() const {
  std::vector<OriginTail> all;
  all.reserve(tails_.size());
  for (const auto& [origin, tail] : tails_) all.push_back(tail);
  return all;
}

void GapDetector::subscribe(std::string_view prefix) {
  if (slots_.find(prefix) != slots_.end()) return;
  std::size_t slot = prefixes_.size();
  if (free_slots_.empty()) {
    prefixes_.emplace_back(prefix);
    slot_made_.emplace_back();
  } else {
    slot = *free_slots_.begin();
    free_slots_.erase(free_slots_.begin());
    prefixes_[slot] = std::string(prefix);
  }
  slots_.emplace(std::string(prefix), slot);
  slot_made_[slot] = ++stamps_;
  matched_lead_.clear();
}

void GapDetector::unsubscribe(std::string_view prefix) {
  const auto found = slots_.find(prefix);
  if (found == slots_.end()) return;
  const std::size_t slot = found->second;
  slots_.erase(found);
  matched_lead_.clear();
  free_slots_.insert(slot);
  for (auto& [name, publisher] : publishers_) {
    publisher.effective.erase(slot);
    publisher.renewed.erase(slot);
  }
  for (auto& [name, origin] : origins_) {
    if (slot < origin.chains.size()) origin.chains[slot] = Chain{};
    // What was held for this subscription alone is released or dropped.
    release(name, origin);
    note_waiting(name, origin);
  }
}

GapDetector::Matches GapDetector::match(std::string_view topic) const {
  if (!matched_lead_.empty() && topic.size() > matched_lead_.size() &&
      topic.starts_with(matched_lead_))
    return matched_;
  Matches matches;
  std::size_t end = 0;
  char whole[topic_bytes_max + 1];
  for (std::size_t tokens = 0; tokens < prefixes_max; ++tokens) {
    std::string_view prefix = topic.substr(0, end);
    if (end > topic.size()) {  // the topic's own last token: on the wire it has a dot
      const std::size_t length = std::min(topic.size(), topic_bytes_max);
      std::copy_n(topic.begin(), length, whole);
      whole[length] = '.';
      prefix = {whole, length + 1};
    }
    const auto found = slots_.find(prefix);
    if (found != slots_.end()) matches.match[matches.count++] = {found->second, tokens};
    if (end > topic.size()) break;
    if (tokens + 1 == prefixes_max) {
      matched_lead_ = prefix;
      matched_ = matches;
    }
    const std::size_t dot = topic.find('.', end);
    end = (dot == std::string_view::npos ? topic.size() : dot) + 1;
  }
  return matches;
}

GapDetector::Chain& GapDetector::chain_of(Origin& origin, std::size_t slot) const {
  if (slot >= origin.chains.size()) origin.chains.resize(prefixes_.size());
  return origin.chains[slot];
}

GapDetector::Publisher* GapDetector::publisher_of(std::string_view name, const Origin& origin) {
  const auto found =
      publishers_.find(origin.relay.empty() ? node_of(name) : std::string_view(origin.relay));
  return found == publishers_.end() ? nullptr : &found->second;
}

GapDetector::Origin& GapDetector::find_or_make(std::string_view name, std::uint64_t incarnation,
                                               std::string_view relay) {
  if (last_found_ != nullptr && last_found_->first == name && last_found_->second.relay == relay) {
    last_found_->second.heard = ++arrivals_;
    return last_found_->second;
  }
  auto found = origins_.find(name);
  if (found != origins_.end() && found->second.relay != relay) found->second.relay = relay;
  if (found == origins_.end()) {
    if (origins_.size() >= options_.origins_max) forget_one();
    found = origins_.emplace(std::string(name), Origin{}).first;
    found->second.relay = relay;
    found->second.incarnation = incarnation;
    begin_origin(name, found->second);
  }
  found->second.heard = ++arrivals_;
  last_found_ = &*found;
  return found->second;
}

void GapDetector::begin_origin(std::string_view name, Origin& origin) {
  if (more_forgotten_) origin.stood = BusGap::unknown;
  const Publisher* publisher = publisher_of(name, origin);
  if (const auto known = forgotten_.find(name); known != forgotten_.end()) {
    const Forgotten was = known->second;
    forgotten_order_.erase(was.stamp);
    forgotten_.erase(known);
    if (origin.incarnation < was.incarnation) origin.incarnation = was.incarnation;
    const bool same = was.incarnation == origin.incarnation;
    origin.stood = origin.delivered = same ? was.stood : 0;
    if (!same && publisher != nullptr && !publisher->effective.empty())
      report_log_lost(name, was.incarnation, was.stood);
  }
  if (publisher == nullptr || publisher->relays || origin.stood == BusGap::unknown) return;
  for (const std::size_t slot : publisher->effective) {
    Chain& chain = chain_of(origin, slot);
    chain.tracked = true;
    chain.seen = chain.since = origin.stood;
  }
}

void GapDetector::forget_one() {
  auto oldest = origins_.begin();
  for (auto it = origins_.begin(); it != origins_.end(); ++it) {
    if (it->second.heard < oldest->second.heard) oldest = it;
  }
  while (!oldest->second.held.empty()) force_lowest(oldest->first, oldest->second, gap_let_go);
  report_expected(oldest->first, oldest->second, far_future, BusGap::unknown, gap_let_go);
  repairs_.erase(oldest->second.repair);
  note_forgotten(oldest->first, oldest->second);
  waiting_.erase(oldest->first);
  last_found_ = nullptr;
  origins_.erase(oldest);
  ++counts_.forgotten;
}

void GapDetector::note_forgotten(std::string_view name, const Origin& origin) {
  Forgotten forgotten{origin.incarnation, origin.delivered};
  for (const Chain& chain : origin.chains) forgotten.stood = std::max(forgotten.stood, chain.seen);
  if (forgotten.stood == 0) return;  // of it there was nothing
  if (forgotten_.size() >= forgotten_max) {
    const auto oldest = forgotten_order_.begin();
    forgotten_.erase(oldest->second);
    forgotten_order_.erase(oldest);
    more_forgotten_ = true;
  }
  forgotten.stamp = ++stamps_;
  forgotten_order_.emplace(forgotten.stamp, name);
  forgotten_.emplace(std::string(name), forgotten);
}

void GapDetector::begin_incarnation(std::string_view name, Origin& origin,
                                    std::uint64_t incarnation) {
  if (!std::exchange(origin.lost, false)) lose_rest(name, origin);
  origin.incarnation = incarnation;
  origin.unconfirmed = false;
  origin.stood = 0;
  origin.delivered = 0;
  repairs_.erase(std::exchange(origin.repair, 0));
  origin.asked_through = 0;
  origin.unanswered_through = 0;
  origin.refused.clear();
  origin.known = 0;
  origin.unsure_to = 0;
  origin.told_to = 0;
  origin.told_all = true;
  origin.told.clear();
  for (Chain& chain : origin.chains) {
    // A new incarnation of an origin that was followed is owed from its first event on.
    const bool tracked = chain.tracked;
    chain = Chain{};
    chain.tracked = tracked;
  }
  note_waiting(name, origin);
}

void GapDetector::lose_rest(std::string_view name, Origin& origin) {
  while (!origin.held.empty()) force_lowest(name, origin, log_lost);
  std::uint64_t after = BusGap::unknown;
  for (const Chain& chain : origin.chains) {
    if (chain.tracked) after = std::min(after, chain.seen);
  }
  if (after != BusGap::unknown) report_log_lost(name, origin.incarnation, after);
}

void GapDetector::report_log_lost(std::string_view name, std::uint64_t incarnation,
                                  std::uint64_t after) {
  // One for all its subscriptions: nobody can tell any more which of them missed what.
  outputs_.push(BusGap{.origin = std::string(name),
                       .incarnation = incarnation,
                       .prefix = "",
                       .after = after,
                       .up_to = BusGap::unknown,
                       .why = std::string(log_lost)});
}

void GapDetector::in_effect(std::string_view node, std::string_view prefix,
                            absl::Span<const OriginTail> tails) {
  const auto found = slots_.find(prefix);
  if (found == slots_.end()) return;
  const std::size_t slot = found->second;
  Publisher& publisher = make_publisher(node);
  const bool relays = publisher.relays;
  const bool again = publisher.effective.contains(slot);
  const bool late = publisher.met > slot_made_[slot];
  std::map<std::string_view, Told> stood;
  for (const OriginTail& tail : tails) {
    if (!cares_for(node, publisher, tail.origin)) continue;
    const bool relayed = node_of(tail.origin) != node;
    Told told{.perhaps = relayed};
    if (relayed && !tail.under.empty()) {
      const std::optional<Told> under = told_under(tail, prefix);
      if (!under) continue;
      told = *under;
    }
    told.since = tail.sequence;
    // At another process of the relay: what is owed of it is found out when the doubt ends.
    if (relays && again && origins_.find(tail.origin) == origins_.end()) continue;
    Origin& origin = find_or_make(tail.origin, tail.incarnation, relayed ? node : "");
    if (tail.incarnation > origin.incarnation)
      begin_incarnation(tail.origin, origin, tail.incarnation);
    if (tail.incarnation < origin.incarnation) continue;
    origin.unconfirmed = false;
    stood[tail.origin] = told;
    // An older build's relay does not say which of these it has said something under: so all of them begin at once.
    if (!relayed || !tail.under.empty()) continue;
    for (const auto& [other, all] : told_of(publisher, tail))
      if (other != slot) follow(tail.origin, origin, publisher, other, all);
  }
  publisher.effective.insert(slot);
  for (const std::string& name : in_care_of(node, publisher)) {
    const auto known = origins_.find(name);
    Origin& origin = known->second;
    if (origin.unconfirmed) {
      lose_rest(name, origin);
      waiting_.erase(name);
      repairs_.erase(origin.repair);
      last_found_ = nullptr;
      origins_.erase(known);
      continue;
    }
    Chain& chain = chain_of(origin, slot);
    if (chain.tracked) continue;
    const auto found_tail = stood.find(name);
    // A relay does not know it yet: what follows is owed from where it begins to. What it says itself is not owed.
    if (relays && (again || found_tail == stood.end() || origin.relay.empty())) continue;
    const Told stands = found_tail == stood.end() ? Told{} : found_tail->second;
    const std::uint64_t tail = stands.since;
    chain.tracked = true;
    // What was asked for so far was asked without it, and is asked for anew.
    const bool asked = origin.repair != 0;
    repairs_.erase(std::exchange(origin.repair, 0));
    origin.asked_through = 0;
    chain.seen = chain.since = std::max(chain.seen, tail);
    if (options_.onward) {
      chain.begun = late ? chain.since : stands.begun;
      note_said(name, chain, stands.sequence, false);
      if (origin.relay.empty())
        note_told(name, origin, slot, tail, late);
      else
        note_perhaps(name, chain, stands.perhaps);
    }
    if (chain.any && chain.first_previous > tail)
      report(name, origin, slot, tail, chain.first_previous, gap_too_late_now);
    if (asked && !doubtful(name, origin)) ask(name, origin);
  }
}

void GapDetector::restarted(std::string_view node) {
  for (const std::string& name : in_care_of(node, Publisher{}))
    origins_.find(name)->second.unconfirmed = true;
}

absl::Status GapDetector::arrived(Event event, Instant now, std::string_view relay) {
  const schema::EventId::Reader id = event.reader().getId();
  const std::uint64_t sequence = id.getSequence();
  const std::uint64_t incarnation = id.getIncarnation();
  now_ = now;
  std::uint64_t bound = sequence;
  for (std::size_t tokens = 0; tokens < prefixes_max; ++tokens) {
    const std::uint64_t previous = event.previous(tokens);
    if (previous > bound || previous == sequence) {
      return absl::InvalidArgumentError(absl::StrCat(
          "event ", event.id().to_string(), " names ", previous, " as its predecessor under ",
          tokens, " tokens, which cannot be; its publisher is broken"));
    }
    bound = previous;
  }
  const Matches matches = match(event.topic());
  if (matches.count == 0) {
    ++counts_.unmatched;
    return absl::OkStatus();
  }
  const std::string_view name = text(id.getOrigin());
  if (!relay.empty() && is_neighbour(node_of(name))) {
    return absl::InvalidArgumentError(absl::StrCat("it relays event ", event.id().to_string(),
                                                   " of a node that is a neighbour here"));
  }
  Origin& origin = find_or_make(name, incarnation, relay);
  if (incarnation < origin.incarnation) {
    ++counts_.stale;
    return absl::OkStatus();
  }
  if (incarnation > origin.incarnation) begin_incarnation(name, origin, incarnation);
  if (sequence <= origin.delivered) {
    too_late(name, origin, matches, event);
  } else if (origin.held.find(sequence) != origin.held.end()) {
    ++counts_.duplicates;
  } else if ((origin.held.empty() || sequence < origin.held.begin()->first) &&
             !unsure(name, origin, sequence) && !missing(origin, matches, event)) {
    const bool waited = !origin.held.empty();
    const std::string kept = waited ? std::string(name) : std::string();  // `event` is moved from
    accept(origin, matches, std::move(event), sequence);
    if (waited) {
      release(kept, origin);
      note_waiting(kept, origin);
    }
  } else {
    const std::string kept(name);
    origin.held.emplace(sequence, Held{std::move(event), now});
    if (origin.held.size() > options_.held_max) {
      if (!options_.repair) {
        force_lowest(kept, origin, gap_no_repair);
        release(kept, origin);
      } else {
        if (!doubtful(kept, origin)) ask(kept, origin);
        if (origin.held.size() > options_.held_max) shed(origin);
      }
    }
    note_waiting(kept, origin);
  }
  return absl::OkStatus();
}

bool GapDetector::missing(Origin& origin, const Matches& matches, const Event& event) const {
  for (std::size_t i = 0; i < matches.count; ++i) {
    const Chain& chain = chain_of(origin, matches.match[i].slot);
    const std::uint64_t previous = event.previous(matches.match[i].tokens);
    if (chain.tracked && previous > chain.seen) return true;
  }
  return untold(origin, matches, event);
}

void GapDetector::accept(Origin& origin, const Matches& matches, Event event,
                         std::uint64_t sequence) {
  const Publisher* publisher = nullptr;
  for (std::size_t i = 0; i < matches.count; ++i) {
    Chain& chain = chain_of(origin, matches.match[i].slot);
    if (!chain.tracked) {
      if (!chain.any) {
        chain.any = true;
        chain.first_previous = event.previous(matches.match[i].tokens);
      }
      // In effect, yet with an unknown past: what follows is owed.
      if (publisher == nullptr) publisher = publisher_of(event.origin(), origin);
      if (publisher != nullptr && publisher->effective.count(matches.match[i].slot) > 0 &&
          (!publisher->relays || !origin.relay.empty())) {
        chain.tracked = true;
        chain.adopted = true;
        repairs_.erase(std::exchange(origin.repair, 0));
        origin.asked_through = 0;
        chain.since = chain.begun = event.previous(matches.match[i].tokens);
        if (origin.stood == BusGap::unknown && !publisher->relays && chain.since > 0)
          report(event.origin(), origin, matches.match[i].slot, 0, chain.since, gap_let_go);
      }
    }
    chain.seen = std::max(chain.seen, sequence);
    if (options_.onward) note_said(event.origin(), chain, sequence, true);
    if (chain.seen >= chain.expected) chain.expected = 0;
  }
  origin.delivered = sequence;
  outputs_.push(std::move(event));
}

void GapDetector::report(std::string_view name, const Origin& origin, std::size_t slot,
                         std::uint64_t after, std::uint64_t up_to, std::string_view why) {
  // What is older than what was delivered was not asked for, and what nobody answered for may be in the log.
  if (why == gap_not_in_log && after < origin.unanswered_through) why = origin.unanswered;
  if (why == gap_not_in_log && after < origin.asked_after) why = gap_too_late_now;
  const auto refused = origin.refused.upper_bound(after);
  if (why == gap_not_in_log && refused != origin.refused.end() && *refused <= up_to)
    why = gap_refused;
  outputs_.push(BusGap{.origin = std::string(name),
                       .incarnation = origin.incarnation,
                       .prefix = prefixes_[slot],
                       .after = after,
                       .up_to = up_to,
                       .why = std::string(why)});
}

void GapDetector::report_missing(std::string_view name, Origin& origin, const Matches& matches,
                                 const Event& event, std::string_view why) {
  // The matching prefixes are nested, so the shortest that misses something covers a longer one; but not where it is followed only
  // since after the last that was seen under the longer one.
  std::uint64_t covered_since = BusGap::unknown;
  for (std::size_t i = 0; i < matches.count; ++i) {
    const Chain& chain = chain_of(origin, matches.match[i].slot);
    const std::uint64_t previous = event.previous(matches.match[i].tokens);
    if (!chain.tracked || previous <= chain.seen) continue;
    if (covered_since <= chain.seen && !options_.onward) continue;
    report(name, origin, matches.match[i].slot, chain.seen, previous, why);
    covered_since = chain.since;
  }
}

void GapDetector::too_late(std::string_view name, Origin& origin, const Matches& matches,
                           const Event& event) {
  bool owed = false;
  std::uint64_t covered_since = BusGap::unknown;
  for (std::size_t i = 0; i < matches.count; ++i) {
    Chain& chain = chain_of(origin, matches.match[i].slot);
    if (!chain.tracked || event.sequence() <= chain.seen) continue;
    if (covered_since > chain.seen || options_.onward) {
      report(name, origin, matches.match[i].slot, chain.seen, event.sequence(), gap_too_late_now);
      covered_since = chain.since;
    }
    owed = true;
    chain.seen = event.sequence();
    note_said(name, chain, chain.seen, true);
  }
  ++(owed ? counts_.late : counts_.duplicates);
}

void GapDetector::force_lowest(std::string_view name, Origin& origin, std::string_view why) {
  auto lowest = origin.held.extract(origin.held.begin());
  Event event = std::move(lowest.mapped().event);
  const Matches matches = match(event.topic());
  if (matches.count == 0) return;
  follow_untold(name, origin, matches, event);
  report_missing(name, origin, matches, event, why);
  accept(origin, matches, std::move(event), lowest.key());
}

// The newest that is held.
void GapDetector::shed(Origin& origin) {
  const auto newest = std::prev(origin.held.end());
  origin.known = std::max(origin.known, newest->first);
  origin.unsure_to = std::max(origin.unsure_to, newest->first);
  origin.held.erase(newest);
  ++counts_.shed;
}

void GapDetector::release(std::string_view name, Origin& origin) {
  while (!origin.held.empty()) {
    const auto lowest = origin.held.begin();
    const Matches matches = match(lowest->second.event.topic());
    if (unsure(name, origin, lowest->first) || missing(origin, matches, lowest->second.event))
      return;
    Event event = std::move(lowest->second.event);
    const std::uint64_t sequence = lowest->first;
    origin.held.erase(lowest);
    if (matches.count > 0) accept(origin, matches, std::move(event), sequence);
  }
}

std::optional<GapDetector::Output> GapDetector::next() {
  if (outputs_.empty()) return std::nullopt;
  return outputs_.pop();
}

std::size_t GapDetector::held() const {
  std::size_t count = 0;
  for (const std::string& name : waiting_) {
    const auto origin = origins_.find(name);
    if (origin != origins_.end()) count += origin->second.held.size();
  }
  return count;
}

}  // namespace supercloud
