// Families and keys of an event log on RocksDB, as rocks_event_log.h tells them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/rocks_folder.h"

namespace supercloud {

inline constexpr std::size_t events_family = 0;
inline constexpr std::size_t origins_family = 1;
inline constexpr std::size_t streams_family = 2;

inline std::string origin_key(std::string_view origin, std::string_view prefix) {
  std::string key;
  key.push_back(static_cast<char>(origin.size() >> 8U & 0xffU));
  key.push_back(static_cast<char>(origin.size() & 0xffU));
  key.append(origin);
  key.append(prefix);
  return key;
}

// Sorted by sequence within an origin's incarnation.
inline std::string stream_key(std::string_view origin, std::uint64_t incarnation,
                              std::uint64_t sequence) {
  return origin_key(origin, to_big_endian(incarnation)) + to_big_endian(sequence);
}

}  // namespace supercloud
