// What a subscriber knows about the streams it follows: order, duplicates and gaps.
//
// Every event carries the sequence of its origin's previous event under each of its topic's prefixes of 0..3 tokens, and
// heartbeats carry the newest sequence under each prefix. So a subscriber of the prefix "vm." sees from an event alone whether
// it missed an earlier "vm." event of that origin, whatever else the origin published, and from a heartbeat whether it missed
// the last one.
//
//   arrival   nothing missing before it   -> delivered
//             something missing           -> held, for `hold` or until `held_max` wait; then a gap is reported and it is delivered
//             seen before                 -> dropped
//             older than what was delivered, and not seen -> a gap: delivering it would break the origin's order
//   tail      newer than what arrived     -> a gap, if it does not arrive within `hold`
//
// What is owed begins when a subscription is in effect at the publisher (`in_effect`); from then on nothing is lost in silence,
// over ends and starts of its process too. A process tells where all origins of its node stood when it started, which its log
// knows: as the start of what is owed to whom it is new, and as tails to whom it is not. An origin that it does not know,
// or knows at a later incarnation, has lost its log: the rest of what it had said is a gap whose end is unknown.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

// The publisher's side: where all its origins stand, for the answer to a subscriber.
class PublishedTails {
 public:
  PublishedTails() = default;
  // `past`: as Bus::start was told.
  explicit PublishedTails(std::vector<OriginTail> past);

  // Takes note of an event about to be sent.
  void note(const Event& event);
  std::vector<OriginTail> all() const;

 private:
  std::map<std::string, OriginTail, std::less<>> tails_;
};

// Pure: the same calls give the same outputs. Thread-bound.
class GapDetector {
 public:
  struct Options {
    Duration hold = absl::Milliseconds(200);
    std::size_t held_max = 128;      // per origin
    std::size_t origins_max = 4096;  // the one not heard for longest is forgotten
  };
  struct Counts {
    std::uint64_t duplicates = 0;  // dropped: arrived before
    // dropped: newer ones of the origin were delivered; reported as a gap if it was owed
    std::uint64_t late = 0;
    std::uint64_t stale = 0;      // dropped: of an earlier incarnation
    std::uint64_t unmatched = 0;  // dropped: no subscription
    std::uint64_t forgotten = 0;  // origins, for lack of room
  };
  // In the order in which they are to be told to the owner.
  using Output = std::variant<Event, BusGap>;

  GapDetector() : GapDetector(Options{}) {}
  explicit GapDetector(Options options) : options_(options) {}

  // `prefix`: whole tokens with their dots, at most three. Once per prefix.
  void subscribe(std::string_view prefix);
  void unsubscribe(std::string_view prefix);

  // Process `node` has the subscription in effect; `tails`: where all its origins stood at that moment. Repeats are harmless.
  void in_effect(std::string_view node, std::string_view prefix,
                 absl::Span<const OriginTail> tails);
  // Nobody has borne the name for long. Of origins that are known all stays owed; one that a later process of the name brings is new.
  void forget(std::string_view node);
  // Another process bears the name now. What is owed goes on: its log knows what the one before had said.
  void restarted(std::string_view node);

  // InvalidArgument: the event contradicts itself.
  absl::Status arrived(Event event, Instant now);
  // Takes a heartbeat of `node`; tails of other nodes' origins are ignored.
  void tails(std::string_view node, schema::Heartbeat::Reader heartbeat, Instant now);

  // When expire() has something to do; far_future: nothing waits.
  Instant wake_at() const;
  void expire(Instant now);

  std::optional<Output> next();
  const Counts& counts() const { return counts_; }
  std::size_t held() const;

 private:
  static constexpr std::size_t prefixes_max = 4;  // of one topic: zero to three tokens

  struct Chain {                       // one origin under one subscription
    bool tracked = false;              // false: what came before is not owed, nothing is missing
    bool any = false;                  // something arrived while it was not tracked
    std::uint64_t since = 0;           // nothing up to here is owed
    std::uint64_t seen = 0;            // newest that arrived or was reported
    std::uint64_t first_previous = 0;  // of the first that arrived while it was not tracked
    std::uint64_t expected = 0;        // a heartbeat's tail that has not arrived; 0: none
    Instant expected_by;
  };
  struct Held {
    Event event;
    Instant since;
  };
  struct Origin {
    std::uint64_t incarnation = 0;
    // Known from a process that ended, and the next one has not said yet that its log knows it.
    bool unconfirmed = false;
    std::uint64_t delivered = 0;
    std::uint64_t heard = 0;    // counts arrivals; for forgetting
    std::vector<Chain> chains;  // by slot
    std::map<std::uint64_t, Held> held;
  };
  struct Publisher {
    std::set<std::size_t> effective;  // slots; at this process of it or at an earlier one
    bool forgot = false;              // an origin of it was forgotten: a new one may be an old one
  };
  struct Match {
    std::size_t slot = 0;
    std::size_t tokens = 0;
  };
  struct Matches {
    Match match[prefixes_max];  // shortest prefix first
    std::size_t count = 0;
  };
  using Origins = std::map<std::string, Origin, std::less<>>;

  Matches match(std::string_view topic) const;
  Chain& chain_of(Origin& origin, std::size_t slot) const;
  Publisher* publisher_of(std::string_view origin);
  // Of the origins of a node, the first, in the order of origins_.
  Origins::iterator first_of(std::string_view node);
  Origin& find_or_make(std::string_view name, std::uint64_t incarnation);
  void begin_incarnation(std::string_view name, Origin& origin, std::uint64_t incarnation);
  // The log of its incarnation is lost.
  void lose_rest(std::string_view name, Origin& origin);
  bool missing(Origin& origin, const Matches& matches, const Event& event) const;
  void accept(Origin& origin, const Matches& matches, Event event);
  void report_missing(std::string_view name, Origin& origin, const Matches& matches,
                      const Event& event);
  void too_late(std::string_view name, Origin& origin, const Matches& matches, const Event& event);
  void force_lowest(std::string_view name, Origin& origin);
  void release(Origin& origin);
  void expire_origin(std::string_view name, Origin& origin, Instant now);
  // Gaps of what heartbeats have named and what was to arrive by `now`.
  void report_expected(std::string_view name, Origin& origin, Instant now);
  void report(std::string_view name, const Origin& origin, std::size_t slot, std::uint64_t after,
              std::uint64_t up_to);
  Instant due(const Origin& origin) const;
  void note_waiting(std::string_view name, const Origin& origin);
  void forget_one();

  Options options_;
  Counts counts_;
  std::map<std::string, std::size_t, std::less<>> slots_;  // prefix -> slot
  // slot -> prefix; free ones are in free_slots_
  std::vector<std::string> prefixes_;
  std::set<std::size_t> free_slots_;
  std::map<std::string, Publisher, std::less<>> publishers_;
  Origins origins_;
  // origins with something held or expected
  std::set<std::string, std::less<>> waiting_;
  std::uint64_t arrivals_ = 0;
  std::deque<Output> outputs_;
};

}  // namespace supercloud
