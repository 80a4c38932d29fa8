// The event log seam: what happened on this node, on stable storage. The log is the truth about the past; a restarted actor
// recovers from it, `explain` folds it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/event.h"
#include "core/reply.h"
#include "core/topic.h"

namespace supercloud {

// What an origin needs in order to go on after a restart without reusing a sequence number.
struct OriginState {
  std::uint64_t incarnation = 0;  // 0: the log does not know the origin
  // none above this was ever used; volatile events are not logged, so a block is reserved ahead
  std::uint64_t sequence_reserved = 0;
  // The newest logged sequence under each topic prefix of zero to three tokens ("", "a.", "a.b.", "a.b.c.").
  std::vector<std::pair<std::string, std::uint64_t>> tails;
  // Of the newest event in the log, whichever origin's: also where the origin itself is not known.
  HybridTime newest;
};

struct LogPage {
  std::vector<Event> events;  // in log order
  std::uint64_t next = 0;     // position to read on from
  bool end = false;           // nothing was there beyond this page when it was read
  // Retention: below this position only the newest event of some topics is kept. 0: all is.
  std::uint64_t begins = 0;
};

// What a reader of a log can do without.
struct LogBeginning {
  std::vector<EventId> behind;  // of the origins of these all up to them, ...
  HybridTime since;             // ... of others what is older
};

// Events of one origin by their sequence: those in (after, up_to] whose topic has one of the prefixes (whole tokens, each with its dot;
// "" is everything).
struct StreamRange {
  std::string origin;
  std::uint64_t incarnation = 0;
  std::vector<std::string> prefixes;
  std::uint64_t after = 0;
  std::uint64_t up_to = 0;
  bool proofs = false;  // with the checkpoints

  bool has(std::string_view topic) const;
};

struct StreamPart {
  std::vector<Event> events;  // in order of their sequence
  std::uint64_t through = 0;  // `events` are all that the log has of the range up to here
  // Where they were asked for and are there: those of the origin's node that list `events` (core/notary.h), in the log's order.
  std::vector<Event> checkpoints;

  // Takes back what lies behind the first `count` events.
  void cut(std::size_t count) {
    events.erase(events.begin() + static_cast<std::ptrdiff_t>(count), events.end());
    through = events.back().sequence();
  }
};

// Of a part's events and their checkpoints together, which are one commit's however few of its events are in the part: beyond, the part ends sooner, but
// not before its first checkpoint.
inline constexpr std::size_t proven_bytes_max = event_bytes_max / 4 * 3;

// Thread-bound to the scheduler it was made with; replies come through it.
class EventLog {
 public:
  virtual ~EventLog() = default;

  // Appends `events` in order, and after them raises the reservation of `reserve`, if given; replies when they are on stable storage.
  // Whatever was appended earlier is then on stable storage too. Calls that wait together share one sync (group commit).
  struct Reservation {
    std::string origin;
    std::uint64_t incarnation = 0;
    std::uint64_t sequence_reserved = 0;
  };
  virtual void append(std::vector<Event> events, std::optional<Reservation> reserve,
                      Reply<Done> reply) = 0;

  // Up to `limit` events at log positions >= `from` whose topic matches. Only what is on stable storage.
  virtual void read(std::uint64_t from, Pattern pattern, std::size_t limit,
                    Reply<LogPage> reply) = 0;

  // A position to read `pattern` from, before which the log has nothing that a reader from `beginning` needs. Only a hint of how much may be
  // left out: what is behind it is not all needed.
  virtual void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) = 0;

  // The first events of `range`, of at most `bytes_max` bytes together, but one at least. Only what is on stable storage. NotFound: the log has
  // nothing of that origin's incarnation.
  virtual void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) = 0;

  // As of the last completed append.
  virtual OriginState origin(std::string_view name) const = 0;
  // All that origin() knows, in order of their names.
  virtual std::vector<std::string> origins() const = 0;
};

}  // namespace supercloud
