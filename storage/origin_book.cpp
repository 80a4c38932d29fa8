#include "storage/origin_book.h"

#include <algorithm>

namespace supercloud {

OriginStands::OriginStands(const std::vector<EventId>& behind) {
  for (const EventId& id : behind) {
    Stand& stand = stands_[id.origin];
    stand = std::max(stand, {id.incarnation, id.sequence});
  }
}

std::optional<OriginStands::Stand> OriginStands::of(std::string_view origin) const {
  const auto found = stands_.find(origin);
  return found == stands_.end() ? std::nullopt : std::optional(found->second);
}

OriginBook::Entry* OriginBook::entry(std::string_view origin, std::uint64_t incarnation) {
  auto found = entries_.find(origin);
  if (found == entries_.end()) found = entries_.emplace(std::string(origin), Entry{}).first;
  Entry& entry = found->second;
  if (incarnation < entry.incarnation) return nullptr;
  if (incarnation > entry.incarnation) entry = Entry{.incarnation = incarnation};
  return &entry;
}

void OriginBook::add(const Event& event) {
  note_time(event.time());
  Entry* known = entry(event.origin(), event.incarnation());
  if (known == nullptr) return;
  const std::uint64_t sequence = event.sequence();
  const std::string_view topic = event.topic();
  std::size_t prefix = 0;
  for (std::size_t tokens = 0; tokens <= 3; ++tokens) {
    add_tail(*known, topic.substr(0, prefix), sequence);
    prefix = topic.find('.', prefix) + 1;  // topics have four tokens
  }
}

void OriginBook::add(const OriginBook& other) {
  note_time(other.newest_);
  for (const auto& [origin, theirs] : other.entries_) {
    add({origin, theirs.incarnation, theirs.sequence_reserved});
    for (const auto& [prefix, sequence] : theirs.tails)
      add_tail(origin, theirs.incarnation, prefix, sequence);
  }
}

void OriginBook::add(const EventLog::Reservation& reservation) {
  if (Entry* known = entry(reservation.origin, reservation.incarnation)) {
    known->sequence_reserved = std::max(known->sequence_reserved, reservation.sequence_reserved);
  }
}

void OriginBook::add_tail(std::string_view origin, std::uint64_t incarnation,
                          std::string_view prefix, std::uint64_t sequence) {
  if (Entry* known = entry(origin, incarnation)) add_tail(*known, prefix, sequence);
}

void OriginBook::add_tail(Entry& entry, std::string_view prefix, std::uint64_t sequence) {
  auto tail = entry.tails.find(prefix);
  if (tail == entry.tails.end()) tail = entry.tails.emplace(std::string(prefix), 0).first;
  tail->second = std::max(tail->second, sequence);
  entry.sequence_reserved = std::max(entry.sequence_reserved, sequence);
}

OriginState OriginBook::state(std::string_view origin) const {
  const auto found = entries_.find(origin);
  if (found == entries_.end()) return {.newest = newest_};
  const Entry& entry = found->second;
  return {.incarnation = entry.incarnation,
          .sequence_reserved = entry.sequence_reserved,
          .tails = {entry.tails.begin(), entry.tails.end()},
          .newest = newest_};
}

std::optional<std::uint64_t> OriginBook::newest_of(std::string_view origin,
                                                   std::uint64_t incarnation,
                                                   absl::Span<const std::string> prefixes) const {
  const auto found = entries_.find(origin);
  if (found == entries_.end() || found->second.incarnation != incarnation) return std::nullopt;
  const auto& tails = found->second.tails;
  std::uint64_t newest = 0;
  for (const std::string& prefix : prefixes) {
    // Of other prefixes than those nothing is written down.
    const bool whole = prefix.empty() || prefix.back() == '.';
    const bool booked = whole && std::ranges::count(prefix, '.') <= 3;
    const auto tail = tails.find(booked ? std::string_view(prefix) : std::string_view());
    if (tail != tails.end()) newest = std::max(newest, tail->second);
  }
  return newest;
}

std::vector<std::string> OriginBook::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

}  // namespace supercloud
