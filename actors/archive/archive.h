// The actor "archive": keeps copies of what nodes log, in a log of its own, for the time when a node is gone with its disk. It answers
// readLog as the actor "log" does (actors/node/log_reader.h), from what all nodes have said.
//
//   event heard, or a sign of life ──▶ the node's log is read on from where the last reading ended ──▶ appended, with that position
//
// The log of a node is the truth, and an event that is heard only says that there is more in it. So there is one way in, whatever happened:
// the archive or the node was down, the bus lost something, the archive's disk was full. What is read of a node follows what is archived of
// it without a hole, in the order of its log, and comes in with the position after it in one append: nothing enters twice, and the order of
// each origin is kept. At most `pages_max` pages are in memory, and no further one is asked for until one of them is on the disk.
//
// Positions count in one log. A node that has lost its log begins another, in which all its origins have later incarnations: the
// one of the origin that says node.capacity tells the logs of a node apart. A log that is new is read from its beginning, and what its
// origins are known to have said is left out.
//
// Who publishes can wait (actors/archive/archived_events.h): awaitArchived is answered when the events are on the archive's disk, and when they are
// not there the node's log is read on at once. Whether they are is looked up in the archive's log each time. The events say whose log it is,
// for nobody here knows who asks; what an answer tells is no secret of theirs.
//
// What a node says in its last moment, less than a round trip before its end, goes with it; a log that was lost in part (its newest
// events) ends earlier here, too.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "actors/node/log_reader.h"
#include "core/actor.h"
#include "core/event_log.h"

namespace supercloud {

inline constexpr const char* archive_actor = "archive";

// All types of events that this build knows, in their order.
std::vector<schema::Payload::Which> known_types();

struct ArchiveOptions {
  // What is kept, of what is in its publisher's log: of patterns that were added later, from then on.
  std::vector<std::string> patterns = {">"};
  std::uint32_t page_events = 500;
  std::size_t pages_max = 4;
  Duration deadline = absl::Seconds(5);  // of one page
  // A node that is heard is read so often at least, for what was lost of what it said.
  Duration look_interval = absl::Seconds(10);
  // What was heard and is not in its log yet is looked for again: twice as long each time, so often.
  Duration again = absl::Milliseconds(100);
  std::uint32_t again_max = 6;
  // Before what the disk did not take is appended again: twice as long each time, up to the second.
  Duration retry_min = absl::Seconds(1), retry_max = absl::Seconds(30);
  std::size_t waiters_max = 256;           // answers to awaitArchived that are due
  Duration waiter_max = absl::Seconds(4);  // so long; whoever still waits asks again
};

// Thread-bound. The log outlives it, and is no one else's to append to.
class Archive final : public Actor {
 public:
  static constexpr std::size_t await_events_max = 64;  // of one awaitArchived

  Archive(Context& context, EventLog& log, ArchiveOptions options = {});

  void receive(const Event& event) override;
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  using Sequence = std::pair<std::uint64_t, std::uint64_t>;  // incarnation, sequence
  struct Source {                                            // a node's log
    std::uint64_t generation = 0;
    std::uint64_t next = 0;  // position to read on from
    HybridTime heard, read;  // newest event heard of that is kept; newest that was read
    Instant looked;          // when it was last asked
    std::uint32_t vain = 0;  // readings in a row that did not find what was heard
    bool waiting = false;    // for its turn
    bool reading = false;
    bool more = false;        // something was heard meanwhile
    std::uint64_t asked = 0;  // times that a page was asked for
    TimerId timer = 0;
  };
  struct Page {
    std::string node;
    std::uint64_t generation = 0, next = 0;
    bool end = false;
    std::vector<Event> events;  // to be kept
  };

  struct Waiter {  // for an answer to awaitArchived
    std::string node;
    std::vector<EventId> missing;
    Answer answer;
    std::uint64_t asked = 0;  // the node's log, before it came
    bool read = false;     // the log was read to its end since: what is still missing is not kept
    bool looking = false;  // the archive's log is being asked
    bool again = false;    // to look: more was stored meanwhile
    TimerId timer = 0;
  };

  void begin();
  void introduce(const Event& event);
  // Where to read on; of a log that is new, its beginning.
  std::uint64_t position_of(const std::string& node, std::uint64_t generation) const;
  bool keeps(const Event& event) const;
  void want(const std::string& node, Source& source);
  void pump();
  void ask(const std::string& node, Source& source);
  void answered(const std::string& node, std::uint64_t generation,
                const absl::StatusOr<Message<schema::Response>>& response);
  void store(Page page, Duration retry);
  void stored(const Page& page);
  void ended(const std::string& node, Source& source);
  void say_full(const absl::Status& why);
  void await(const Message<schema::Request>& request, Answer answer);
  void look(std::uint64_t number);  // of a waiter
  void missing(std::uint64_t number, Waiter& waiter);
  void look_for(const std::string& node, std::uint64_t read);  // what is waited for of it
  void refuse(const std::string& node, const absl::Status& why);
  void settle(std::uint64_t number, const absl::Status& status);

  Context& context_;
  EventLog& log_;
  const ArchiveOptions options_;
  std::vector<Pattern> patterns_;
  std::string wire_;  // a pattern that takes all that any of them takes
  LogPages pages_;
  std::map<std::string, Sequence, std::less<>>
      newest_;  // by origin: what is archived, or on its way
  // By node: the generation of its log, and how far that is archived.
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>, std::less<>> positions_;
  std::map<std::string, Source, std::less<>> sources_;  // by node, of those that were heard
  std::map<std::uint64_t, Waiter> waiters_;
  std::uint64_t last_waiter_ = 0;
  std::deque<std::string> waiting_;  // nodes, for a page
  std::size_t under_way_ = 0;        // pages
  bool begun_ = false;
  bool full_ = false;  // the disk, and that was said
};

}  // namespace supercloud
