// Between a bus and what is beyond it, where a hub (bus/hub.h) joins two of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bus/checkpoint.h"
#include "bus/gap_detector.h"
#include "core/bus.h"

namespace supercloud {

// What a bus asks of what is beyond, for its members. Called from within turns of the bus, and may call back from inside a call.
class Beyond {
 public:
  virtual ~Beyond() = default;
  // A member subscribes to `prefix`, and none did before. Replies when nothing published beyond after that is missed.
  virtual void want(const std::string& prefix, Reply<Done> reply) = 0;
  // None does any more.
  virtual void let_go(const std::string& prefix) = 0;
  virtual bool has(std::string_view node) const = 0;
  // To a node that is no member.
  virtual void request(Address to, std::string bytes, Reply<std::string> reply) = 0;
  // Where those origins beyond stand that have said something under what is wanted.
  virtual std::vector<OriginTail> standing() const = 0;
};

// A bus whose process may relay. Its publish() takes events of any origin then, in the order of each.
class RelayingBus : public Bus {
 public:
  // Before start(): this process relays to and from `beyond`, which lives as long as anything happens on this bus. `hears_relays`: whether events come here from beyond
  // other members in turn; if not, and always on a bus that has no such members, all that comes is of its own members.
  virtual void relay(Beyond& beyond, bool hears_relays) = 0;
  virtual bool has(std::string_view node) const = 0;  // an other member, which is alive
  virtual std::vector<std::string> relays()
      const = 0;  // other members that are known to relay, and alive
  // What is followed here, to be told beyond.
  virtual const GapDetector& followed() const = 0;
  // Those of its origins of which there is something new to be told there, each once.
  virtual std::vector<std::string> news() = 0;
  // By which checkpoints what came here is proven; null: there are no keys.
  virtual const Proofs* proofs() const = 0;
  // A checkpoint of what will be published under `prefix`, to those who check that: before that is.
  virtual void publish_proof(const Event& checkpoint, std::string_view prefix) = 0;
};

}  // namespace supercloud
