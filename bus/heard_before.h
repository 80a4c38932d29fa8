// What a node has heard of others through relays, over restarts of its process: what a relay tells unasked that is no newer than what a process
// before this one heard of that origin is a replay. Of proven events alone: else a relay could have what is true be taken for old, for good.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "core/event.h"

namespace supercloud {

// Thread-bound. Does no I/O: its owner keeps newest().
class HeardBefore {
 public:
  struct Position {
    std::uint64_t incarnation = 0, sequence = 0;
    friend auto operator<=>(const Position&, const Position&) = default;
  };
  using Positions = std::map<std::string, Position, std::less<>>;  // by origin

  static constexpr std::size_t origins_max = 16'384;  // further ones are not remembered

  explicit HeardBefore(Positions before) : before_(std::move(before)), newest_(before_) {}

  bool is_replay(const Event& event) const;
  void heard(const Event& event);

  const Positions& newest() const { return newest_; }
  // Whether it differs from what it was at the last call.
  bool take_changed() { return std::exchange(changed_, false); }

 private:
  const Positions before_;
  Positions newest_;
  bool changed_ = false;
};

// A line for each: origin, incarnation, sequence.
std::string encode(const HeardBefore::Positions& positions);
// InvalidArgument names the first line that makes no sense.
absl::StatusOr<HeardBefore::Positions> decode_heard(std::string_view text);

}  // namespace supercloud
