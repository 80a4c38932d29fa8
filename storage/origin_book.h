// What a log knows of each origin: its incarnation, the sequences reserved for it, and the newest one under each topic prefix.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/event_log.h"

namespace supercloud {

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

 private:
  // Null: `incarnation` is over.
  Entry* entry(std::string_view origin, std::uint64_t incarnation);
  static void add_tail(Entry& entry, std::string_view prefix, std::uint64_t sequence);

  std::map<std::string, Entry, std::less<>> entries_;
  HybridTime newest_;
};

}  // namespace supercloud
