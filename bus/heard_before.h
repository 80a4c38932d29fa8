// What a node has heard of others through relays, over restarts of its process: what a relay tells that is no newer than what a process before this
// one heard of that origin is a replay. Of proven events alone: else a relay could have what is true be taken for old.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/event.h"
#include "core/hybrid_clock.h"

namespace supercloud {

// Thread-bound. Does no I/O: its owner keeps newest().
class HeardBefore {
 public:
  struct Position {
    std::uint64_t incarnation = 0, sequence = 0;
    friend auto operator<=>(const Position&, const Position&) = default;
  };
  struct Newest {
    Position position;
    HybridTime time;  // the latest that an event bore
    friend bool operator==(const Newest&, const Newest&) = default;
  };
  using Positions = std::map<std::string, Newest, std::less<>>;  // by origin

  // Beyond, that one is forgotten which was heard longest ago: of its node, or of all.
  static constexpr std::size_t of_one_node_max = 64, origins_max = 16'384;

  explicit HeardBefore(Positions before) : before_(std::move(before)), newest_(before_) {}

  // Nothing is that was said later than all that was heard of its origin, whatever its number: its node has begun anew, from a copy perhaps, or
  // somebody else has signed with its key numbers that are too high.
  bool is_replay(const Event& event) const;
  // What is further ahead of `wall` than clocks may be is not noted.
  void heard(const Event& event, absl::Time wall);
  // Of the nodes that are meant, by name.
  void forget(absl::FunctionRef<bool(std::string_view node)> meant);

  const Positions& newest() const { return newest_; }
  // Whether origins of many nodes had to be forgotten for others.
  bool full() const { return full_; }
  // Whether it differs from what it was at the last call.
  bool take_changed() { return std::exchange(changed_, false); }

 private:
  void make_room(std::string_view origin);

  Positions before_;
  Positions newest_;
  bool changed_ = false;
  bool full_ = false;
};

// A line for each: origin, incarnation, sequence, time.
std::string encode(const HeardBefore::Positions& positions);
// InvalidArgument names the first line that makes no sense.
absl::StatusOr<HeardBefore::Positions> decode_heard(std::string_view text);

}  // namespace supercloud
