// What a log forgets, and what it keeps of that: the rules of every event log, without clock or disk.
//
// A log begins somewhere: from there on it has all events. Of what was before, it keeps the newest event of each topic whose type the
// schema marks `latest`: whoever reads it from the start still learns what is there. Sequences and tails (OriginState) are never forgotten.
//
// It forgets as it takes events, some at a time. It begins to when a limit is passed by a 32nd, and then goes on down to the limit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "core/event.h"
#include "core/hybrid_clock.h"
#include "core/time.h"

namespace supercloud {

// Whichever is passed first counts; what is kept of the past comes on top. By itself: everything is kept.
struct Retention {
  static constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

  Duration age = absl::InfiniteDuration();  // of an event, by its own time and the node's clock
  std::uint64_t bytes = no_limit;           // of events
  std::uint64_t events = no_limit;

  bool keeps_all() const {
    return age == absl::InfiniteDuration() && bytes == no_limit && events == no_limit;
  }
};

// What a log that may have forgotten its beginning knows of it. Thread-bound.
class RetainedPast {
 public:
  // An event that is passed, or was kept.
  struct Passed {
    std::uint64_t position = 0;
    HybridTime time;
    bool latest = false;  // its type is marked so
    std::uint64_t bytes = 0;
    std::string_view topic, origin;
    std::uint64_t incarnation = 0, sequence = 0;
  };
  static Passed passed(std::uint64_t position, const Event& event);

  // First position of a log.
  static constexpr std::uint64_t first = 1;
  // So many events at least are passed with one append, if there is reason, and twice as many as it has.
  static constexpr std::size_t step_min = 1024;
  static std::size_t step(std::size_t appended) { return std::max(step_min, 2 * appended); }

  // From here on the log has all.
  std::uint64_t begins() const { return begins_; }
  // As LogPage tells it.
  std::uint64_t begins_of_page() const { return begins_ == first ? 0 : begins_; }
  std::uint64_t bytes() const { return bytes_; }  // of the events from there on
  std::size_t kept() const { return by_topic_.size(); }
  bool keeps(std::string_view topic, std::uint64_t position) const;
  // What is kept of before the beginning.
  struct Kept {
    HybridTime time;
    std::uint64_t position = 0;
    std::string origin;
    std::uint64_t incarnation = 0, sequence = 0;
  };
  // Position of the first one that is kept and wanted.
  std::optional<std::uint64_t> first_kept(absl::FunctionRef<bool(const Kept&)> wanted) const;

  void take(std::uint64_t bytes) { bytes_ += bytes; }  // of an event at the log's end
  // Whether the first event has to go, of a log that ends before `next`.
  bool over(const Retention& limits, std::uint64_t next, absl::Time now, HybridTime oldest);
  // The first event goes, or is kept; what is to be removed: it, the one that was kept of its topic, or nothing.
  std::optional<std::uint64_t> pass(const Passed& event);

  // As stored.
  void restore(std::uint64_t begins, std::uint64_t bytes) {
    begins_ = begins;
    bytes_ = bytes;
  }
  void keep(const Passed& event);

 private:
  std::uint64_t begins_ = first;
  std::uint64_t bytes_ = 0;
  bool passing_ = false;
  std::map<std::string, Kept, std::less<>> by_topic_;  // below begins_
};

}  // namespace supercloud
