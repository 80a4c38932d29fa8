// The bus seam: events and requests between processes. Delivery inside a process is the runtime's (core/node.h).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/event.h"
#include "core/event_log.h"
#include "core/reply.h"

namespace supercloud {

// Of a request or an answer: an event fits, and what tells of it.
inline constexpr std::size_t request_bytes_max = event_bytes_max + 4096;

// An actor somewhere, "node/actor": also the origin of its events.
struct Address {
  std::string node;
  std::string actor;

  std::string to_string() const { return node + "/" + actor; }
  friend auto operator<=>(const Address&, const Address&) = default;
};

// Where an origin stands: the newest event of its newest incarnation.
struct OriginTail {
  std::string origin;
  std::uint64_t incarnation = 0;
  std::uint64_t sequence = 0;
  // Told by a hub of what it relays (bus/hub.h): from where on it has followed the origin, and up to where others may have been let pass, or have
  // come by before it followed them all.
  std::uint64_t since = 0;
  std::uint64_t passed = 0;
  // By it too: under which of the prefixes that are subscribed through it the origin has said something. Who tells none means all.
  struct Under {
    std::string prefix;
    std::uint64_t sequence =
        0;  // the newest; 0: nobody knows whether it has said anything up to `since`
    std::uint64_t since = 0;  // from where on the hub has followed it
    // From where on it is owed to who subscribed at an earlier process of the hub, and was not told of it.
    std::uint64_t begun = 0;
  };
  std::vector<Under> under;
};

struct BusGap {
  // As `up_to`: nobody knows any more what there was. The publisher lost its log, and a later incarnation has begun.
  static constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();

  std::string origin;
  std::uint64_t incarnation = 0;
  std::string prefix;  // the subscription under which it was noticed; where the end is unknown, ""
  std::uint64_t after = 0;  // last that arrived
  std::uint64_t up_to = 0;  // newest known to exist; (after, up_to] is missing in part or whole
  std::string why;          // it could not be repaired
};

// What a bus tells its owner. Called on the owner's thread, never from inside a call of the owner's.
class BusReceiver {
 public:
  virtual ~BusReceiver() = default;
  // Valid, not a duplicate, in order within its origin.
  virtual void on_event(Event event) = 0;
  virtual void on_gap(const BusGap& gap) = 0;
  // A request for `actor` of this node. Answer once; no answer is a timeout at the caller.
  virtual void on_request(std::string actor, std::string bytes, Reply<std::string> answer) = 0;
  // What this node's log has of a stream of its own. NotFound: nothing of that incarnation. Whoever keeps no log says Unimplemented.
  virtual void on_history(StreamRange range, Reply<StreamPart> reply) {
    (void)range;
    reply(absl::UnimplementedError("this process keeps no log"));
  }
  // Bytes from outside that were not taken.
  virtual void on_rejected(std::string from, std::string why) = 0;
  // A neighbour process was heard for the first time, or again; or has not been for the time that counts as dead.
  virtual void on_peer(std::string node, bool alive) = 0;
};

// Thread-bound to the scheduler it was made with.
class Bus {
 public:
  virtual ~Bus() = default;

  // Nothing arrives before. `past`: where all origins of this node stood when its process started, from its log; what an earlier
  // process of the node had sent in vain is missed by it.
  virtual void start(BusReceiver& receiver, std::vector<OriginTail> past) = 0;

  // To every other process that subscribes to a prefix of its topic. In order per origin.
  virtual void publish(const Event& event) = 0;

  // `prefix`: whole tokens, each with its dot, at most three; "" is everything. Replies when every publisher known at the
  // time of the call has the subscription in effect: nothing that it publishes after the reply is missed. Counted: as many
  // unsubscribes as subscribes end it.
  virtual void subscribe(std::string prefix, Reply<Done> reply) = 0;
  virtual void unsubscribe(std::string prefix) = 0;

  // Asks an actor anywhere (this node too). Unavailable: no such node is reachable; NotFound: no such actor there.
  virtual void request(Address to, std::string bytes, Reply<std::string> reply) = 0;
};

}  // namespace supercloud
