// A node: the actors of one process, and what they share. One loop runs them all, in the order in which their mail arrived.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/actor.h"
#include "core/bus.h"
#include "core/custody.h"
#include "core/event_log.h"
#include "core/notary.h"
#include "core/scheduler.h"

namespace supercloud {

// The seams that a node stands on. All outlive it.
struct NodeSeams {
  Scheduler& scheduler;
  Bus& bus;
  EventLog& log;
  EventPool& pool;
  // What this node keeps of others' events, to answer those who missed them when their publisher is gone; null: nothing.
  EventLog* archive = nullptr;
  // Signs what the log takes; null: nobody does, for nobody could check it.
  Notary* notary = nullptr;
  // Has copies made of what is waited for, for the time when this node is gone with its disk; null: whoever waits for an event waits for the
  // own log alone.
  Custody* custody = nullptr;
};

struct NodeOptions {
  std::string name;
  std::uint64_t random_seed = 0;
  Duration heartbeat_interval = absl::Seconds(1);
  // per actor; more is a failure of that actor, named on the bus
  std::size_t mailbox_max = 65536;
  // within restart_window; then the runtime gives up and says so
  std::uint32_t restarts_max = 10;
  Duration restart_window = absl::Minutes(1);
  // deliveries per task of the scheduler; 1: a simulation looks after every one
  std::size_t batch = 64;
  // For whoever runs the process: what cannot be said on the bus, because the event log does not take it. May be empty.
  std::function<void(const std::string& line)> complain;
};

// Thread-bound to its scheduler. A name of the node or of an actor that is no token (core/topic.h) is a bug and aborts: others
// would refuse the node's events, and so would its own log. The bus delivers nothing between the node's end and its own; replies that are still out then
// do nothing.
class Node final : public BusReceiver {
 public:
  Node(NodeSeams seams, NodeOptions options);
  ~Node() override;

  // Starts an actor under "name/actor". Names are unique within a node. Actors stop in the reverse order of their start.
  void spawn(std::string actor, ActorFactory factory);
  // The orderly end, once: the actors stop as at the destruction; what the node has still to report is said, then `why` it leaves
  // (node.left), and nothing after that. `ended`, perhaps inside this call: OK when all of it is on stable storage, else why not.
  void leave(std::string why, std::function<void(absl::Status)> ended);
  // As if the actor had called Context::fail(): for supervision tests and the simulator's faults.
  void fail_actor(std::string_view actor, absl::Status why);

  const std::string& name() const;
  std::vector<std::string> actors() const;  // in the order of their start

  // Publishes for a process that is no member, as origin "node/for-PUBLISHER"; `publisher` is a token. `reply`, perhaps inside this call: the
  // event, when it is where its type has to be before it is delivered. InvalidArgument; ResourceExhausted: too much waits for the log (of
  // others' events 64), more than `publishers_max` others have published here, or this one of more than 96 prefixes of topics; Unavailable: the
  // node has left.
  static constexpr std::size_t publishers_max = 256;
  void publish_for(std::string_view publisher, Draft draft, Reply<Event> reply);

  // The queue of the bus towards another process, `subscriber`, was full; `backlog`: what waits for it, and the events since the last call for
  // which there was no room. Empty: nobody knows which of them it is, and those events are all that is counted.
  void on_slow_subscriber(std::string_view subscriber, std::uint64_t backlog);

  // BusReceiver
  void on_event(Event event) override;
  void on_gap(const BusGap& gap) override;
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override;
  void on_history(StreamRange range, Reply<StreamPart> reply) override;
  void on_rejected(std::string from, std::string why) override;
  void on_peer(std::string node, bool alive) override;

 private:
  friend class ActorCell;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace supercloud
