// Actors: the unit of behaviour, of failure and of restart.
//
// An actor is single-threaded, handles one event at a time and never blocks. All that it knows of the world comes through its
// Context and its constructor, so that the same code runs live, in replay and in simulation. Its constructor subscribes, arms
// timers and asks the log and the leases for what it must know; it runs again, on a new object, when the actor has failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "core/bus.h"
#include "core/call.h"
#include "core/event.h"
#include "core/message.h"
#include "core/random.h"
#include "core/reply.h"
#include "core/scheduler.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

using Answer = Reply<Message<schema::Response>>;

class Actor {
 public:
  virtual ~Actor() = default;
  // An event that matches a subscription. Events of one origin come in order; nothing else is promised about order.
  virtual void receive(const Event& event) = 0;
  // A request addressed to this actor; answer once, now or later. By default: Unimplemented.
  virtual void serve(Message<schema::Request> request, Answer answer);
};

class ActorCell;  // core/actor_cell.h
class Gate;       // core/runtime.h

// What becomes of the events of a subscription when they come faster than the actor takes them.
struct Queueing {
  enum class Full : std::uint8_t {
    // The actor fails, and begins anew with what logs have.
    fail,
    // Publishers that wait for a durable event's fate (Context::publish, `logged`) wait for this actor's taken(), too, soon after `ready`.
    hold,
    // The oldest that waits goes, and is told as a gap: on_gap, and bus.gap.
    drop_oldest,
    // Of each topic the newest waits, in the place of the older one. Between topics no order is kept, and nothing is told.
    conflate,
  };
  Full full = Full::fail;
  std::size_t events_max =
      0;  // that may wait; 0: as many as the node lets wait for an actor (NodeOptions::mailbox_max)
};

// What the runtime offers one actor. Thread-bound, as the actor is. Everything armed here dies with the actor.
class Context {
 public:
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Address& self() const;
  const std::string& node() const { return self().node; }

  Instant now() const;
  HybridTime time() const;  // of this moment, without making a tick
  absl::Time wall() const;
  Random& random();
  EventPool& pool();

  // `ready`, if given, runs once nothing published from then on is missed, by local actors at once, by other nodes after the
  // bus's join handshake.
  void subscribe(const Pattern& pattern, std::function<void()> ready = nullptr,
                 Queueing queueing = {});
  // Ends one subscribe() of the same pattern. What is in the mailbox already still comes.
  void unsubscribe(const Pattern& pattern);
  // With Queueing::Full::hold: this actor is done with the event, and with all that its origin said before. Nobody waits for it with them any more.
  void taken(const Event& event);

  // `then` runs, as a turn, when it is known what this node missed and will not be given of what its actors subscribe to, this one or others: in its
  // place, before what its origin said later, but for what the node refused. All nodes hear of it as bus.gap, later.
  void on_gap(std::function<void(const BusGap&)> then);

  // An event about `subject` (a VM, a node, a place: any text, encoded into a topic token).
  Draft draft(std::string_view subject, std::string_view tenant = default_tenant);
  // Fills in id, time, cause and root, and sends it on by its type's delivery class. `logged`, if given, runs when the event
  // is on stable storage (durable and noted types), with an error if it could not be brought there: then it was not
  // delivered either (durable); without `logged`, such an error is this actor's failure. Of types for which this node has a
  // custody (core/custody.h), `logged` waits for copies on other machines too. Events of one actor leave in the
  // order of these calls: what follows a durable event that waits for the disk waits behind it. The event returned is for
  // its id and time; empty if the subject makes no valid topic or too much waits for the disk (also told to `logged`).
  Event publish(Draft draft, std::function<void(absl::Status)> logged = nullptr);

  // Past events of this node's log that match, in order; then `done`. For recovery; live events meanwhile come to receive().
  void history(const Pattern& pattern, std::function<void(const Event&)> each,
               std::function<void(absl::Status)> done);

  TimerId after(Duration delay, std::function<void()> task);
  TimerId at(Instant when, std::function<void()> task);
  void cancel(TimerId timer);

  // A completion for a seam call: `then` runs in a later turn of this actor, with the value, or DeadlineExceeded; never inside
  // the seam call. What is published there, or by a timer or a `logged`, has the event as its cause that was being handled
  // when the reply was made. absl::InfiniteDuration(): no deadline.
  template <class T>
  Reply<T> reply(Duration deadline, std::function<void(absl::StatusOr<T>)> then,
                 std::shared_ptr<Call> call = nullptr);

  // Asks an actor anywhere. `on_progress`, if given, runs as turns with what the other tells of how far it is. Who does not
  // want the answer any more says cancel(): `then` gets Cancelled, and the other is told. When the deadline passes, or this actor fails, it is told, too.
  std::shared_ptr<Call> request(Address to, Message<schema::Request> request, Duration deadline,
                                std::function<void(absl::StatusOr<Message<schema::Response>>)> then,
                                Call::OnProgress on_progress = nullptr);

  // This actor cannot go on: the runtime says so on the bus and restarts it. The current turn still ends normally.
  void fail(absl::Status why);

 private:
  friend class ActorCell;
  friend class Gate;
  explicit Context(ActorCell& cell) : cell_(cell) {}

  // The token's side of reply(), with the value's type erased: `turn` gets the address of an absl::StatusOr<T>, or null when
  // the deadline has passed. `resume` takes what yields that address; it may be called from any thread, once.
  using Turn = absl::AnyInvocable<void(void* value) &&>;
  using Value = absl::AnyInvocable<void*()>;
  struct Expected {
    Instant deadline;
    absl::AnyInvocable<void(Value) &&> resume;
  };
  Expected expect(Duration deadline, Turn turn);

  ActorCell& cell_;
};

template <class T>
Reply<T> Context::reply(Duration deadline, std::function<void(absl::StatusOr<T>)> then,
                        std::shared_ptr<Call> call) {
  Expected expected = expect(deadline, [then = std::move(then)](void* value) {
    if (value == nullptr) {
      then(absl::DeadlineExceededError("no answer before the deadline"));
    } else {
      then(std::move(*static_cast<absl::StatusOr<T>*>(value)));
    }
  });
  return Reply<T>(
      expected.deadline,
      [resume = std::move(expected.resume)](absl::StatusOr<T> value) mutable {
        auto held = std::make_unique<absl::StatusOr<T>>(std::move(value));
        std::move(resume)([held = std::move(held)]() -> void* { return held.get(); });
      },
      std::move(call));
}

// Makes an actor; called again after a failure.
using ActorFactory = std::function<std::unique_ptr<Actor>(Context&)>;

}  // namespace supercloud
