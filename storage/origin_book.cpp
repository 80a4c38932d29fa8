#include "storage/origin_book.h"

#include <algorithm>

namespace supercloud {

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
  const std::string_view topic = event.topic();
  for (std::size_t tokens = 0; tokens <= 3; ++tokens) {
    add_tail(event.origin(), event.incarnation(),
             tokens == 0 ? std::string() : topic_prefix(topic, tokens), event.sequence());
  }
}

void OriginBook::add(const EventLog::Reservation& reservation) {
  if (Entry* known = entry(reservation.origin, reservation.incarnation)) {
    known->sequence_reserved = std::max(known->sequence_reserved, reservation.sequence_reserved);
  }
}

void OriginBook::add_tail(std::string_view origin, std::uint64_t incarnation,
                          std::string_view prefix, std::uint64_t sequence) {
  Entry* known = entry(origin, incarnation);
  if (known == nullptr) return;
  auto tail = known->tails.find(prefix);
  if (tail == known->tails.end()) tail = known->tails.emplace(std::string(prefix), 0).first;
  tail->second = std::max(tail->second, sequence);
  known->sequence_reserved = std::max(known->sequence_reserved, sequence);
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

std::vector<std::string> OriginBook::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

}  // namespace supercloud
