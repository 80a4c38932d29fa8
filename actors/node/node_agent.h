// What a node says of itself: that it joined, where it is and what room it has, and that it leaves.
#pragma once

#include <map>
#include <string>

#include "actors/spot/price_feed.h"
#include "core/actor.h"
#include "core/lease_table.h"
#include "hypercall/hypervisor.h"

namespace supercloud {

struct NodeDescription {
  PlaceName place;
  std::map<std::string, std::string> labels;
  std::string instance;
  std::uint32_t cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::string data_endpoint;  // of its links
  std::string cpu_model;
  std::uint32_t mtu = 1450;
};

class NodeAgent final : public Actor {
 public:
  NodeAgent(Context& context, Hypervisor& hypervisor, NodeDescription description,
            Duration interval = absl::Seconds(2));
  void receive(const Event&) override {}

 private:
  void describe(schema::NodeJoined::Builder joined) const;
  void tell();

  Context& context_;
  Hypervisor& hypervisor_;
  NodeDescription description_;
  Duration interval_;
};

}  // namespace supercloud
