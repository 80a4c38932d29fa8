// From a draft to an event that has left: sequence numbers, the order of an origin's stream, and the group commit.
//
// Every origin has one stream. An event gets its sequence number when it is published, and leaves (is delivered) in that
// order: at once if it is volatile or noted and nothing of its origin waits before it; a durable one when the log has it.
// So one slow sync delays what the same origin publishes after it, and nothing else.
//
// Group commit: one commit of the log is under way at a time; what is published meanwhile gathers for the next one.
//
// Who has a notary ends each commit that has events with a checkpoint of them, as an event of the node's log ("node/log").
//
// Restarts: sequence numbers are used only inside a block that the log has reserved, so a restarted origin goes on above the
// block, within the same incarnation. An origin that the log does not know starts a new incarnation, the milliseconds of the
// wall clock: more than any earlier one, unless the clock was set back behind the previous start without a log.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/event.h"
#include "core/event_log.h"
#include "core/hybrid_clock.h"
#include "core/notary.h"
#include "core/ring.h"
#include "core/scheduler.h"

namespace supercloud {

// One origin's numbering. Kept by the Publisher.
class OriginStream {
 public:
  // The newest events under one topic prefix.
  struct Tail {
    std::uint64_t assigned = 0;  // has a number
    std::uint64_t left = 0;      // was delivered
    Tail* shorter = nullptr;     // of the prefix with one token less
  };

  explicit OriginStream(std::string origin) : origin_(std::move(origin)) {}
  OriginStream(const OriginStream&) = delete;
  OriginStream& operator=(const OriginStream&) = delete;

  const std::string& origin() const { return origin_; }
  // 0: it has none yet, for it is new and has published nothing.
  std::uint64_t incarnation() const { return incarnation_; }
  // Of the whole stream, what has been delivered.
  std::uint64_t left() const { return whole_.left; }
  // By prefix of one to three tokens, in order.
  const std::map<std::string, Tail, std::less<>>& tails() const { return tails_; }

 private:
  friend class Publisher;
  enum class State { waiting, ready, dropped };
  struct Waiting {
    Event event;
    Tail* tail = nullptr;
    State state = State::waiting;
  };
  struct Recent {  // the last topic prefix of a payload type: spares the look into the map
    std::string prefix;
    Tail* tail = nullptr;
  };

  bool opened() const { return incarnation_ != 0; }
  void open(const OriginState& state);
  Tail& tail_of(schema::Payload::Which type, std::string_view topic);
  Tail& tail_at(std::string_view topic, std::size_t tokens);
  void settle(std::uint64_t sequence, State state);

  std::string origin_;
  std::uint64_t incarnation_ = 0;
  std::uint64_t last_ = 0;      // sequence
  std::uint64_t reserved_ = 0;  // on stable storage
  std::uint64_t asked_ = 0;     // reserved, or being reserved
  Tail whole_;
  std::map<std::string, Tail, std::less<>> tails_;
  std::vector<Recent> recent_;  // by payload type
  Ring<Waiting> waiting_;       // in order of sequence
};

// Thread-bound.
class Publisher {
 public:
  using Logged = absl::AnyInvocable<void(absl::Status) &&>;
  // An event leaves. May publish durable events, which leave later.
  using Deliver = std::function<void(const Event&)>;

  static constexpr std::uint64_t block = 1024;  // sequence numbers reserved at a time
  static constexpr std::size_t commit_events_max = 1024;
  static constexpr Duration retry_delay = absl::Milliseconds(100);

  // `waiting_max`: events of one origin that may wait for the log. Streams that the log knows go on from there.
  Publisher(EventLog& log, Scheduler& scheduler, HybridClock& clock, std::size_t waiting_max,
            Deliver deliver);
  // From the next commit on. `origin`: of the checkpoints.
  void sign_with(Notary& notary, const std::string& origin);

  // Lives as long as the Publisher.
  OriginStream& stream(const std::string& origin);
  // All, by name.
  const std::map<std::string, std::unique_ptr<OriginStream>>& streams() const { return streams_; }

  // Seals the draft and sends it on its way. `logged` runs when its fate is known: never inside this call; volatile events
  // have none, and it is OK for them when they were taken. InvalidArgument, ResourceExhausted: nothing happened,
  // and `logged` is not called.
  absl::StatusOr<Event> publish(OriginStream& stream, Draft draft, const Event* cause,
                                Logged logged);

  // Runs `then` when the fate of all that was published so far is known: what is to be in the log is there. Perhaps inside this call.
  void flush(Task then);

 private:
  struct Record {
    OriginStream* stream = nullptr;
    Event event;
    bool durable = false;
    Logged logged;
  };
  struct Commit {
    std::vector<Record> records;  // those that were published, and the checkpoint of them
    std::size_t published = 0;
    std::vector<std::pair<OriginStream*, std::uint64_t>> reservations;
    std::size_t calls = 0;
    absl::Status events_status;
    std::vector<absl::Status> reservation_status;
  };

  // Seals the draft and puts it in its place in the stream; what the log is to take is added to `records`.
  absl::StatusOr<Event> enter(OriginStream& stream, Draft draft, const Event* cause, Logged logged,
                              std::vector<Record>& records);
  void reserve(OriginStream& stream);
  void leave(const Event& event, std::uint64_t sequence, OriginStream::Tail* tail);
  void drain(OriginStream& stream);
  void schedule_commit();
  void commit();
  void append(std::size_t reservation, std::vector<Event> events);
  void finish();

  EventLog& log_;
  Scheduler& scheduler_;
  HybridClock& clock_;
  std::size_t waiting_max_;
  Deliver deliver_;
  Notary* notary_ = nullptr;
  OriginStream* checkpoints_ = nullptr;
  std::map<std::string, std::unique_ptr<OriginStream>> streams_;
  std::vector<Record> gathered_;
  std::uint64_t recorded_ = 0;  // records gathered so far ...
  std::uint64_t settled_ = 0;   // ... and how many of them have met their fate
  std::deque<std::pair<std::uint64_t, Task>> flushes_;  // by the record they wait for
  std::vector<OriginStream*> to_reserve_;
  bool scheduled_ = false;
  bool committing_ = false;
  Commit commit_;
  std::shared_ptr<Publisher*> self_;  // replies that come after the end find it gone
};

}  // namespace supercloud
