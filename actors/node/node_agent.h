// What a node says of itself while it is there: that it joined, where it is and what room it has. Of its orderly end: Node::leave.
//
// node.joined is durable, and said once per start: what is past of a node is in its log. It leaves before anybody can have
// subscribed to a node that is new, so that others hear of it by node.capacity, which is volatile and carries the same: that is
// repeated soon at first (after 50 ms, then each time after twice as long) and settles at the beat. A node costs the bus a handful
// of events more at its start, however many others there are, and no log a single one.
//
// And the new node has to hear of the others, whose logs it reads: an agent that hears of a node for the first time, or of a new start
// of its, repeats itself once, after 50 ms, for all who joined meanwhile together.
//
// A node without a machine says only that it is there: nobody takes it for a place to run on, and everybody can ask its log.
//
// A node whose instance is under notice, or that is being drained, has no room any more, and says so at once: who joins later was not told.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "actors/spot/price_feed.h"
#include "core/actor.h"
#include "core/lease_table.h"
#include "hypercall/hypervisor.h"

namespace supercloud {

struct NodeDescription {
  PlaceName place;
  std::map<std::string, std::string> labels;
  std::vector<std::string> devices;  // that guests may ask for
  std::string instance;
  std::uint32_t cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::string data_endpoint;  // of its links
  std::string cpu_model;
  std::uint32_t mtu = 1450;
  std::vector<std::string>
      archives;  // patterns of what the node keeps of all nodes' logs; empty: nothing
};

// As node.joined has it.
void write_archives(const std::vector<std::string>& patterns, schema::NodeJoined::Builder joined);

class NodeAgent final : public Actor {
 public:
  static constexpr Duration soon_default = absl::Milliseconds(50);

  // Repeats itself after `soon`, twice as long each time, up to `beat`. `hypervisor`: null without a machine; then nothing of the
  // description is read but what the node archives.
  NodeAgent(Context& context, const Hypervisor* hypervisor, NodeDescription description,
            Duration beat = absl::Seconds(2), Duration soon = soon_default);
  void receive(const Event& event) override;

 private:
  void describe(schema::NodeJoined::Builder joined) const;
  void tell();
  void tell_in(Duration span);

  Context& context_;
  const Hypervisor* hypervisor_;
  NodeDescription description_;
  const Duration beat_, soon_;
  bool noticed_ = false;
  bool draining_ = false;
  Duration next_;  // from one word to the one after that
  TimerId timer_ = 0;
  Instant due_;  // of the timer
  std::map<std::string, std::uint64_t>
      heard_;  // other nodes, in the newest incarnation of their agents
};

}  // namespace supercloud
