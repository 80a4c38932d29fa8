// What a log knows of each origin: its incarnation, the sequences reserved for it, and the newest one under each topic prefix.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/event_log.h"

namespace supercloud {

// Of some origins an event up to which each has been read. Refers to what it was made of.
class OriginStands {
 public:
  using Stand = std::pair<std::uint64_t, std::uint64_t>;  // incarnation, sequence

  explicit OriginStands(const std::vector<EventId>& behind);
  std::optional<Stand> of(std::string_view origin) const;

 private:
  std::map<std::string_view, Stand> stands_;
};

// Thread-bound.
class OriginBook {
 public:
  // A later incarnation than the known one starts anew; an earlier one changes nothing.
  void add(const Event& event);
  void add(const EventLog::Reservation& reservation);
  // All that another log knows.
  void add(const OriginBook& other);
  // As stored by a log on disk.
  void add_tail(std::string_view origin, std::uint64_t incarnation, std::string_view prefix,
                std::uint64_t sequence);

  // Of an event of the log, read back.
  void note_time(HybridTime time) { newest_ = std::max(newest_, time); }

  OriginState state(std::string_view origin) const;
  std::vector<std::string> names() const;

  struct Entry {
    std::uint64_t incarnation = 0;
    std::uint64_t sequence_reserved = 0;
    std::map<std::string, std::uint64_t, std::less<>> tails;
  };
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  // The newest sequence of the origin's incarnation under one of the prefixes, 0: there is none. Nothing: it has begun another since, or is not
  // known.
  std::optional<std::uint64_t> newest_of(std::string_view origin, std::uint64_t incarnation,
                                         absl::Span<const std::string> prefixes) const;

 private:
  // Null: `incarnation` is over.
  Entry* entry(std::string_view origin, std::uint64_t incarnation);
  static void add_tail(Entry& entry, std::string_view prefix, std::uint64_t sequence);

  std::map<std::string, Entry, std::less<>> entries_;
  HybridTime newest_;
};

}  // namespace supercloud
