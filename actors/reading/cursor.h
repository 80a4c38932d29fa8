// Where a reader stands: what it reads, since when, and the newest event of each origin that it was given or passed by. As text it is the
// `id` of every message, and comes back as Last-Event-ID. Untrusted on arrival.
//
//   cursor = "1;" pattern ";" start *( ";" node "/" stand *( "," stand ) ) [ ";~" ]
//   stand  = actor ":" incarnation ":" sequence
//   start  = hybrid time of the beginning
//
// Numbers are decimal; pattern, node and actor as in core/topic.h. "~": not every origin found room, so those without a stand may
// be told twice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/hybrid_clock.h"
#include "core/topic.h"

namespace supercloud {

struct Stand {
  std::uint64_t incarnation = 0;
  std::uint64_t sequence = 0;

  friend auto operator<=>(const Stand&, const Stand&) = default;
};

struct Cursor {
  static constexpr std::size_t stands_bytes_max = 14 << 10;  // some 200 origins: a header has room
  static constexpr std::size_t text_bytes_max = stands_bytes_max + 512;

  Cursor(Pattern of, HybridTime from) : pattern(std::move(of)), start(from) {}
  // InvalidArgument says what is wrong with it.
  static absl::StatusOr<Cursor> parse(std::string_view text);
  std::string text() const;

  // Forward only. False: the origin is new and there is no room.
  bool pass(std::string_view origin, Stand stand);
  const Stand* find(std::string_view origin) const;

  Pattern pattern;
  HybridTime start;
  std::map<std::string, Stand, std::less<>> origins;
  bool full = false;

  friend bool operator==(const Cursor&, const Cursor&) = default;
};

}  // namespace supercloud
