// Actors: the unit of behaviour, of failure and of restart.
//
// An actor is single-threaded, handles one event at a time and never blocks. All that it knows of the world comes through its
// Context and its constructor, so that the same code runs live, in replay and in simulation. Its constructor subscribes, arms
// timers and asks the log and the leases for what it must know; it runs again, on a new object, when the actor has failed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/message.h"
#include "core/random.h"
#include "core/reply.h"
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

class ActorCell;  // core/node.cpp

// What the runtime offers one actor. Thread-bound, as the actor is. Everything armed here dies with the actor.
class Context {
 public:
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Address& self() const;
  const std::string& node() const { return self().node; }

  Instant now() const;
  HybridTime time() const;     // of this moment, without making a tick
  absl::Time wall() const;
  Random& random();
  EventPool& pool();

  // `ready`, if given, runs once nothing published from then on is missed, by local actors at once, by other nodes after the
  // bus's join handshake.
  void subscribe(const Pattern& pattern, std::function<void()> ready = nullptr);
  void unsubscribe(const Pattern& pattern);

  // An event about `subject` (a VM, a node, a place: any text, encoded into a topic token).
  Draft draft(std::string_view subject, std::string_view tenant = default_tenant);
  // Fills in id, time, cause and root, and sends it on by its type's delivery class. `logged`, if given, runs when the event
  // is on stable storage (durable and noted types), with an error if it could not be brought there: then it was not
  // delivered either (durable). The event returned is for its id and time.
  Event publish(Draft draft, std::function<void(absl::Status)> logged = nullptr);

  // Past events of this node's log that match, in order; then `done`. For recovery; live events meanwhile come to receive().
  void history(const Pattern& pattern, std::function<void(const Event&)> each,
               std::function<void(absl::Status)> done);

  TimerId after(Duration delay, std::function<void()> task);
  TimerId at(Instant when, std::function<void()> task);
  void cancel(TimerId timer);

  // A completion for a seam call: `then` runs as this actor's next turn but one, with the value, or DeadlineExceeded. What is
  // published there has the event as its cause that was being handled when the reply was made.
  template <class T>
  Reply<T> reply(Duration deadline, std::function<void(absl::StatusOr<T>)> then);

  // Asks an actor anywhere.
  void request(Address to, Message<schema::Request> request, Duration deadline,
               std::function<void(absl::StatusOr<Message<schema::Response>>)> then);

  // This actor cannot go on: the runtime says so on the bus and restarts it. The current turn still ends normally.
  void fail(absl::Status why);

 private:
  friend class ActorCell;
  explicit Context(ActorCell& cell) : cell_(cell) {}

  // The token's side of reply(): registers a waiting turn; the returned function may be called from any thread, once.
  using Resume = absl::AnyInvocable<void(absl::AnyInvocable<void(bool expired) &&>) &&>;
  std::pair<Instant, Resume> expect(Duration deadline, absl::AnyInvocable<void() &&> on_expired);

  ActorCell& cell_;
};

// Makes an actor; called again after a failure.
using ActorFactory = std::function<std::unique_ptr<Actor>(Context&)>;

}  // namespace supercloud
