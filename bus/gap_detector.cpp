#include "bus/gap_detector.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

std::uint64_t previous_of(const Event& event, std::size_t tokens) {
  const auto reader = event.reader();
  switch (tokens) {
    case 0:
      return reader.getPrevious0();
    case 1:
      return reader.getPrevious1();
    case 2:
      return reader.getPrevious2();
    default:
      return reader.getPrevious3();
  }
}

}  // namespace

PublishedTails::PublishedTails(std::vector<OriginTail> past) {
  for (OriginTail& tail : past) tails_.insert_or_assign(tail.origin, tail);
}

void PublishedTails::note(const Event& event) {
  const std::string_view origin = event.origin();
  auto found = tails_.find(origin);
  if (found == tails_.end())
    found = tails_.emplace(std::string(origin), OriginTail{.origin = std::string(origin)}).first;
  found->second.incarnation = event.incarnation();
  found->second.sequence = event.sequence();
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
  } else {
    slot = *free_slots_.begin();
    free_slots_.erase(free_slots_.begin());
    prefixes_[slot] = std::string(prefix);
  }
  slots_.emplace(std::string(prefix), slot);
}

void GapDetector::unsubscribe(std::string_view prefix) {
  const auto found = slots_.find(prefix);
  if (found == slots_.end()) return;
  const std::size_t slot = found->second;
  slots_.erase(found);
  free_slots_.insert(slot);
  for (auto& [name, publisher] : publishers_) publisher.effective.erase(slot);
  for (auto& [name, origin] : origins_) {
    if (slot < origin.chains.size()) origin.chains[slot] = Chain{};
    // What was held for this subscription alone is released or dropped.
    release(origin);
    note_waiting(name, origin);
  }
}

GapDetector::Matches GapDetector::match(std::string_view topic) const {
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
    const std::size_t dot = topic.find('.', end);
    end = (dot == std::string_view::npos ? topic.size() : dot) + 1;
  }
  return matches;
}

GapDetector::Chain& GapDetector::chain_of(Origin& origin, std::size_t slot) const {
  if (slot >= origin.chains.size()) origin.chains.resize(prefixes_.size());
  return origin.chains[slot];
}

GapDetector::Publisher* GapDetector::publisher_of(std::string_view origin) {
  const auto found = publishers_.find(node_of(origin));
  return found == publishers_.end() ? nullptr : &found->second;
}

GapDetector::Origin& GapDetector::find_or_make(std::string_view name, std::uint64_t incarnation) {
  auto found = origins_.find(name);
  if (found == origins_.end()) {
    if (origins_.size() >= options_.origins_max) forget_one();
    found = origins_.emplace(std::string(name), Origin{}).first;
    found->second.incarnation = incarnation;
    const Publisher* publisher = publisher_of(name);
    if (publisher != nullptr && !publisher->forgot) {
      for (const std::size_t slot : publisher->effective)
        chain_of(found->second, slot).tracked = true;
    }
  }
  found->second.heard = ++arrivals_;
  return found->second;
}

void GapDetector::forget_one() {
  auto oldest = origins_.begin();
  for (auto it = origins_.begin(); it != origins_.end(); ++it) {
    if (it->second.heard < oldest->second.heard) oldest = it;
  }
  while (!oldest->second.held.empty()) force_lowest(oldest->first, oldest->second);
  report_expected(oldest->first, oldest->second, far_future);
  if (Publisher* publisher = publisher_of(oldest->first)) publisher->forgot = true;
  waiting_.erase(oldest->first);
  origins_.erase(oldest);
  ++counts_.forgotten;
}

void GapDetector::forget(std::string_view node) {
  if (const auto found = publishers_.find(node); found != publishers_.end())
    publishers_.erase(found);
}

void GapDetector::begin_incarnation(std::string_view name, Origin& origin,
                                    std::uint64_t incarnation) {
  lose_rest(name, origin);
  origin.incarnation = incarnation;
  origin.unconfirmed = false;
  origin.delivered = 0;
  for (Chain& chain : origin.chains) {
    // A new incarnation of an origin that was followed is owed from its first event on.
    const bool tracked = chain.tracked;
    chain = Chain{};
    chain.tracked = tracked;
  }
  note_waiting(name, origin);
}

void GapDetector::lose_rest(std::string_view name, Origin& origin) {
  while (!origin.held.empty()) force_lowest(name, origin);
  std::uint64_t after = BusGap::unknown;
  for (const Chain& chain : origin.chains) {
    if (chain.tracked) after = std::min(after, chain.seen);
  }
  if (after == BusGap::unknown) return;
  // One for all its subscriptions: nobody can tell any more which of them missed what.
  outputs_.emplace_back(BusGap{.origin = std::string(name),
                               .incarnation = origin.incarnation,
                               .prefix = "",
                               .after = after,
                               .up_to = BusGap::unknown});
}

void GapDetector::in_effect(std::string_view node, std::string_view prefix,
                            absl::Span<const OriginTail> tails) {
  const auto found = slots_.find(prefix);
  if (found == slots_.end()) return;
  const std::size_t slot = found->second;
  auto publisher = publishers_.find(node);
  if (publisher == publishers_.end()) {
    publisher = publishers_.emplace(std::string(node), Publisher{}).first;
  }
  std::map<std::string_view, std::uint64_t> stood;
  for (const OriginTail& tail : tails) {
    if (node_of(tail.origin) != node) continue;
    Origin& origin = find_or_make(tail.origin, tail.incarnation);
    if (tail.incarnation > origin.incarnation)
      begin_incarnation(tail.origin, origin, tail.incarnation);
    if (tail.incarnation < origin.incarnation) continue;
    origin.unconfirmed = false;
    stood[tail.origin] = tail.sequence;
  }
  publisher->second.effective.insert(slot);
  for (auto next = first_of(node); next != origins_.end() && node_of(next->first) == node;) {
    const std::string& name = next->first;
    Origin& origin = next->second;
    if (origin.unconfirmed) {
      lose_rest(name, origin);
      waiting_.erase(name);
      next = origins_.erase(next);
      continue;
    }
    Chain& chain = chain_of(origin, slot);
    if (!chain.tracked) {
      const auto found_tail = stood.find(name);
      const std::uint64_t tail = found_tail == stood.end() ? 0 : found_tail->second;
      chain.tracked = true;
      chain.seen = chain.since = std::max(chain.seen, tail);
      if (chain.any && chain.first_previous > tail)
        report(name, origin, slot, tail, chain.first_previous);
    }
    ++next;
  }
}

GapDetector::Origins::iterator GapDetector::first_of(std::string_view node) {
  std::string lead(node);
  lead += '/';
  return origins_.lower_bound(lead);
}

void GapDetector::restarted(std::string_view node) {
  for (auto next = first_of(node); next != origins_.end() && node_of(next->first) == node; ++next)
    next->second.unconfirmed = true;
}

absl::Status GapDetector::arrived(Event event, Instant now) {
  const std::uint64_t sequence = event.sequence();
  std::uint64_t bound = sequence;
  for (std::size_t tokens = 0; tokens < prefixes_max; ++tokens) {
    const std::uint64_t previous = previous_of(event, tokens);
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
  const std::string_view name = event.origin();
  Origin& origin = find_or_make(name, event.incarnation());
  if (event.incarnation() < origin.incarnation) {
    ++counts_.stale;
    return absl::OkStatus();
  }
  if (event.incarnation() > origin.incarnation) {
    begin_incarnation(name, origin, event.incarnation());
  }
  if (sequence <= origin.delivered) {
    too_late(name, origin, matches, event);
  } else if (origin.held.find(sequence) != origin.held.end()) {
    ++counts_.duplicates;
  } else if ((origin.held.empty() || sequence < origin.held.begin()->first) &&
             !missing(origin, matches, event)) {
    const bool waited = !origin.held.empty();
    const std::string kept = waited ? std::string(name) : std::string();  // `event` is moved from
    accept(origin, matches, std::move(event));
    if (waited) {
      release(origin);
      note_waiting(kept, origin);
    }
  } else {
    const std::string kept(name);
    origin.held.emplace(sequence, Held{std::move(event), now});
    if (origin.held.size() > options_.held_max) {
      force_lowest(kept, origin);
      release(origin);
    }
    note_waiting(kept, origin);
  }
  return absl::OkStatus();
}

bool GapDetector::missing(Origin& origin, const Matches& matches, const Event& event) const {
  for (std::size_t i = 0; i < matches.count; ++i) {
    const Chain& chain = chain_of(origin, matches.match[i].slot);
    if (chain.tracked && previous_of(event, matches.match[i].tokens) > chain.seen) return true;
  }
  return false;
}

void GapDetector::accept(Origin& origin, const Matches& matches, Event event) {
  const std::uint64_t sequence = event.sequence();
  const Publisher* publisher = nullptr;
  for (std::size_t i = 0; i < matches.count; ++i) {
    Chain& chain = chain_of(origin, matches.match[i].slot);
    if (!chain.tracked) {
      if (!chain.any) {
        chain.any = true;
        chain.first_previous = previous_of(event, matches.match[i].tokens);
      }
      // In effect, yet with an unknown past: what follows is owed.
      if (publisher == nullptr) publisher = publisher_of(event.origin());
      if (publisher != nullptr && publisher->effective.count(matches.match[i].slot) > 0) {
        chain.tracked = true;
        chain.since = sequence;
      }
    }
    chain.seen = std::max(chain.seen, sequence);
    if (chain.seen >= chain.expected) chain.expected = 0;
  }
  origin.delivered = sequence;
  outputs_.emplace_back(std::move(event));
}

void GapDetector::report(std::string_view name, const Origin& origin, std::size_t slot,
                         std::uint64_t after, std::uint64_t up_to) {
  outputs_.emplace_back(BusGap{.origin = std::string(name),
                               .incarnation = origin.incarnation,
                               .prefix = prefixes_[slot],
                               .after = after,
                               .up_to = up_to});
}

void GapDetector::report_missing(std::string_view name, Origin& origin, const Matches& matches,
                                 const Event& event) {
  // The matching prefixes are nested, so the shortest that misses something covers a longer one; but not where it is followed only
  // since after the last that was seen under the longer one.
  std::uint64_t covered_since = BusGap::unknown;
  for (std::size_t i = 0; i < matches.count; ++i) {
    const Chain& chain = chain_of(origin, matches.match[i].slot);
    const std::uint64_t previous = previous_of(event, matches.match[i].tokens);
    if (!chain.tracked || previous <= chain.seen || covered_since <= chain.seen) continue;
    report(name, origin, matches.match[i].slot, chain.seen, previous);
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
    if (covered_since > chain.seen) {
      report(name, origin, matches.match[i].slot, chain.seen, event.sequence());
      covered_since = chain.since;
    }
    owed = true;
    chain.seen = event.sequence();
  }
  ++(owed ? counts_.late : counts_.duplicates);
}

void GapDetector::force_lowest(std::string_view name, Origin& origin) {
  auto lowest = origin.held.extract(origin.held.begin());
  Event event = std::move(lowest.mapped().event);
  const Matches matches = match(event.topic());
  if (matches.count == 0) return;
  report_missing(name, origin, matches, event);
  accept(origin, matches, std::move(event));
}

void GapDetector::release(Origin& origin) {
  while (!origin.held.empty()) {
    const auto lowest = origin.held.begin();
    const Matches matches = match(lowest->second.event.topic());
    if (missing(origin, matches, lowest->second.event)) return;
    Event event = std::move(lowest->second.event);
    origin.held.erase(lowest);
    if (matches.count > 0) accept(origin, matches, std::move(event));
  }
}

void GapDetector::tails(std::string_view node, schema::Heartbeat::Reader heartbeat, Instant now) {
  for (const auto tail : heartbeat.getTails()) {
    const std::string_view name = text(tail.getOrigin());
    if (node_of(name) != node) continue;
    const auto known = publishers_.find(node);
    if (origins_.find(name) == origins_.end()) {
      // Never heard of: all of it may have been lost, if a subscription was in effect.
      if (known == publishers_.end() || known->second.effective.empty()) continue;
    }
    Origin& origin = find_or_make(name, tail.getIncarnation());
    if (tail.getIncarnation() < origin.incarnation) continue;
    if (tail.getIncarnation() > origin.incarnation) {
      begin_incarnation(name, origin, tail.getIncarnation());
    }
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
    note_waiting(name, origin);
  }
}

Instant GapDetector::due(const Origin& origin) const {
  Instant earliest = far_future;
  for (const auto& [sequence, held] : origin.held) {
    earliest = std::min(earliest, held.since + options_.hold);
  }
  for (const Chain& chain : origin.chains) {
    if (chain.expected != 0) earliest = std::min(earliest, chain.expected_by);
  }
  return earliest;
}

void GapDetector::note_waiting(std::string_view name, const Origin& origin) {
  const auto found = waiting_.find(name);
  const bool waits = due(origin) != far_future;
  if (waits && found == waiting_.end()) waiting_.emplace(name);
  if (!waits && found != waiting_.end()) waiting_.erase(found);
}

Instant GapDetector::wake_at() const {
  Instant earliest = far_future;
  for (const std::string& name : waiting_) {
    const auto origin = origins_.find(name);
    if (origin != origins_.end()) earliest = std::min(earliest, due(origin->second));
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
    expire_origin(name, found->second, now);
    note_waiting(name, found->second);
  }
}

void GapDetector::expire_origin(std::string_view name, Origin& origin, Instant now) {
  // Up to the newest one whose time has come, in order of their sequence.
  std::uint64_t up_to = 0;
  for (const auto& [sequence, held] : origin.held) {
    if (held.since + options_.hold <= now) up_to = sequence;
  }
  while (!origin.held.empty() && origin.held.begin()->first <= up_to) force_lowest(name, origin);
  release(origin);
  report_expected(name, origin, now);
}

void GapDetector::report_expected(std::string_view name, Origin& origin, Instant now) {
  std::string_view reported;
  std::uint64_t covered = 0;
  std::uint64_t covered_since = 0;
  for (const auto& [prefix, slot] : slots_) {  // sorted: a prefix comes before its extensions
    Chain& chain = chain_of(origin, slot);
    if (chain.expected == 0 || chain.expected_by > now) continue;
    const std::uint64_t expected = std::exchange(chain.expected, 0);
    if (expected <= chain.seen) continue;
    const bool told = covered >= expected && covered_since <= chain.seen &&
                      prefix.substr(0, reported.size()) == reported;
    if (!told) {
      report(name, origin, slot, chain.seen, expected);
      reported = prefix;
      covered = expected;
      covered_since = chain.since;
    }
    chain.seen = expected;
  }
}

std::optional<GapDetector::Output> GapDetector::next() {
  if (outputs_.empty()) return std::nullopt;
  std::optional<Output> output(std::move(outputs_.front()));
  outputs_.pop_front();
  return output;
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
