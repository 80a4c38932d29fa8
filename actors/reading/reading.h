// One reader: what it missed, from the logs of the nodes and from archives, then what happens, without a hole and without a double.
//
// The logs are read page by page, the events of all of them in the order of their time. Where they reach what the host still remembers,
// the reading is attached: what the host remembers and hears is merged in, and the logs are read on to their ends. Then it is live. An event
// that its cursor has passed is not told again.
//
// What proves that nothing is missing is one rule. Each event carries the sequence of the one before it that its origin said under the prefix
// that is subscribed (core/schema/event.capnp). Where the reader has come that far with the origin, nothing is between. Else what is between is told
// as missing, and only then the event: so all up to where the reader stands was given, told, or does not match. But for two cases: a log lacks
// passing events, which is told once an origin while the past is read, or, to who asks for none of them, seen by type; and to who reads from now on
// nothing is owed of before the first event of an origin that is heard, but what the bus says it lost there (accounts_for()).
//
// Of nodes whose logs cannot be had the past is what archives have. Where such a node is known, that is told as missing too: what it said in
// its last moment no archive may have, and nobody knows how much that was. Where archives differ in how far back they go, the later
// part of an origin may come first; the earlier one is then told as missing.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/reading/cursor.h"
#include "actors/reading/log_page.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/message.h"

namespace supercloud {

// The order in which events of several logs are given.
inline auto order_of(const Event& event) {
  return std::tuple(event.time(), event.origin(), event.incarnation(), event.sequence());
}

// What a reader was not given, and cannot be.
struct MissedEvents {
  std::string origin;  // or a node: all origins of it
  std::uint64_t incarnation = 0;
  std::uint64_t after = 0;             // (after, up_to] of the origin is missing in part or whole
  std::optional<std::uint64_t> up_to;  // nothing: nobody knows how far
  std::string why;
  // Noticed by an event that was heard, not read: a log may have by now what is missing.
  bool heard = false;
  // Perhaps all of them are passing events that were not asked for.
  bool perhaps = false;
};

// Why a reading ends though its reader has not gone.
enum class SlowReader : std::uint8_t {
  buffer,   // what is read for it finds no room
  stalled,  // it takes nothing; only who writes to it finds that out
  behind,   // more has happened, while it read the past, than is remembered for it
};
inline constexpr std::size_t slow_reader_kinds = 3;

// What a reading asks of whoever has the bus.
class ReadingHost {
 public:
  using Page = absl::StatusOr<Message<schema::Response>>;
  struct Source {
    std::string node;
    bool archive = false;  // what it keeps of others, not its own log
    friend auto operator<=>(const Source&, const Source&) = default;
    // Who answers readLog of it (actors/node/log_reader.h, actors/archive/archive.h).
    Address address() const { return {node, archive ? "archive" : "log"}; }
  };

  virtual ~ReadingHost() = default;
  // `then` runs later, once, unless the reading has been closed.
  virtual void page(std::uint64_t reading, const Source& source, LogQuestion question,
                    std::function<void(Page)> then) = 0;
  virtual absl::StatusOr<Event> parse(Bytes bytes) = 0;
  // Every node that was ever heard of, and whether it shows a sign of life.
  virtual const std::map<std::string, bool>& nodes() const = 0;
  // What was heard last, in the order of its arrival.
  virtual const std::deque<Event>& recent() const = 0;
};

// Where it goes. No call of these is followed by the end of the reading before it returns.
class ReadingSink {
 public:
  virtual ~ReadingSink() = default;
  // False: the reading goes on when it is told to.
  virtual bool has_room() = 0;
  // `stands`: where the reader stands once it has it. False: there is no room, and nothing was taken.
  virtual bool offer(const Cursor& stands, const Event& event) = 0;
  virtual bool offer(const Cursor& stands, const MissedEvents& missed) = 0;
  // The past has been told; what comes now happens.
  virtual void caught_up() {}
  // Nothing more is offered. `slow`: why; nothing: all that was asked for has been offered.
  virtual void end(const Cursor& stands, std::optional<SlowReader> slow) = 0;
};

// Thread-bound to its host, which outlives it, as the sink does.
class Reading {
 public:
  struct Begin {
    Cursor cursor;
    bool past = false;
    std::optional<std::uint32_t> limit;
    std::size_t pending_max = 16384;  // heard while the past is still read
  };

  Reading(std::uint64_t id, ReadingHost& host, ReadingSink& sink, Begin begin);

  // Goes on: at the beginning, and when the sink has room again.
  void step();
  void hear(const Event& event);
  void missed(const BusGap& gap);
  // Reads the logs once more, from where it stands, for what did not come otherwise; also when it has ended. What was heard and not given
  // is returned, for the host to remember. Pages that were asked for before must not be handed to it any more; step() goes on.
  [[nodiscard]] std::deque<Event> again();
  // Whether it takes what is heard.
  bool attached() const { return attached_; }
  // The newest of the origin that was passed; null: none.
  const Stand* stand(std::string_view origin) const {
    const auto found = stands_.find(origin);
    return found == stands_.end() ? nullptr : &found->second;
  }
  // Whether all of (after, up_to] of the gap was given, told as missing, or does not match.
  bool accounts_for(const BusGap& gap) const;
  // Whether it may match volatile events, which are in no log.
  bool passing() const { return passing_; }
  bool done() const { return done_; }
  bool live() const { return live_; }
  // Where it stands.
  const Cursor& cursor() const { return cursor_; }

 private:
  using Source = ReadingHost::Source;
  struct Log {
    std::uint64_t from = 0;
    std::deque<Event> page;
    bool asked = false;
    bool end = false;
    bool failed = false;
    int times = 0;  // that it was begun
  };

  void open_logs();
  void do_without(const std::string& node, std::string why);
  void tell_of_absent();
  void attach();
  bool ask();
  void take_page(const Source& source, bool attached, const ReadingHost::Page& page);
  bool is_of(const Event& event, const Source& source);
  std::deque<Event>* earliest();
  bool give(const Event& event, bool heard);
  template <class Told>
  bool offer(std::string_view origin, Stand stand, const Told& told);
  bool tell_missing(const Event& event, bool heard);
  bool tell(const MissedEvents& missed);
  std::vector<EventId> behind(const Source& source) const;
  std::optional<Stand> passed_before(const Event& event) const;
  std::size_t chain_tokens() const;
  std::string chain_of(const Event& event) const;
  void pass(const Event& event, bool told);
  void end(std::optional<SlowReader> slow);

  const std::uint64_t id_;
  ReadingHost& host_;
  ReadingSink& sink_;
  Cursor cursor_;  // what the reader has been told
  bool past_;
  const std::optional<std::uint32_t> limit_;
  const std::string prefix_;  // whole tokens that all of its topics begin with
  const std::size_t pending_max_;
  const bool passing_;
  const bool by_type_;  // others than those it asks for may be passing under the prefix

  // All origins, also those for which the cursor has no room, and those of before its start.
  std::map<std::string, Stand, std::less<>> stands_;
  // Those that were passed in the beginning, or told as missing since.
  std::map<std::string, Stand, std::less<>> floors_;
  // By origin and topic prefix, where types count: the newest event that came.
  std::map<std::string, Stand, std::less<>> chains_;
  // Of origins that were first heard from now on: what was before the first event. Nothing is known of what is not behind it.
  std::map<std::string, Stand, std::less<>> begins_;
  std::map<Source, Log> logs_;
  struct Absent {
    std::string why;
    bool archived = false;  // something of it
    bool told = false;
  };
  std::map<std::string, Absent, std::less<>> absent_;  // nodes without whose logs it has to do
  std::deque<Event> pending_;
  std::deque<MissedEvents> to_tell_;
  std::set<std::string, std::less<>> told_;  // origins of which something is missing in the past
  std::uint32_t given_ = 0;
  bool attached_ = false;
  bool live_ = false;
  bool done_ = false;
};

}  // namespace supercloud
