// Who is out there: the nodes, where they are, what they are made of and what room they have, folded from node.* events.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "actors/spot/price_feed.h"
#include "core/event.h"
#include "core/hybrid_clock.h"
#include "core/message.h"

namespace supercloud {

struct NodeFacts {
  std::string name;
  std::string place;  // id
  bool spot = false;
  std::map<std::string, std::string> labels;
  std::set<std::string> devices;  // that it offers guests
  std::string instance;
  std::string
      rented_with;  // client token of the move that the instance was rented for; empty: none, or not known
  HybridTime joined;
  std::string hypervisor;
  std::string endpoint;  // of its links
  std::string cpu_model;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_free_bytes = 0;
  std::uint32_t mtu = 0;
  bool left = false;
  bool ended = false;  // so has its instance: it does not come back with what it had
  bool noticed =
      false;  // the cloud has given notice: nothing moves there any more, but what outlives its source
  absl::Time gone_by = absl::InfiniteFuture();  // by the notice; cluster time
  bool draining = false;                        // its user wants it empty

  bool goes() const { return left || noticed || draining; }
  // Not taken before `source` is: a refuge for what flees from there, if only for a while.
  bool outlives(const NodeFacts& source) const {
    return !left && !draining && (!noticed || (source.noticed && source.gone_by < gone_by));
  }
};

// So many instances that have ended are remembered, with the nodes on them; a cluster that rents for years forgets the first.
inline constexpr std::size_t ended_max = 10'000;

// A pure fold: the same events in any order of origins lead to the same facts (but for who is forgotten).
//
// Which instance a node is on it says itself (node.joined); of nodes that were there before any provider, only the provider's words
// (instance.launched, the notice) tell, and the newest launch counts. What became of its instance became of the node: one whose instance
// is under notice is noticed, one whose instance has ended has left, whatever beat of it is still under way.
class NodeDirectory {
 public:
  // True if the event said something about a node.
  bool fold(const Event& event);

  const NodeFacts* find(const std::string& node) const;
  // Nodes at a place that have neither left nor are about to, those with most free memory first.
  std::vector<const NodeFacts*> at_place(const std::string& place) const;
  // The one that was rented with this client token; null: it has not joined yet.
  const NodeFacts* rented(std::string_view client_token) const;
  // The instance that was rented with this client token, if its cloud has ended it since, or has given notice and it does not outlive
  // `source` (null: has given notice).
  std::optional<std::string> taken_back(std::string_view client_token,
                                        const NodeFacts* source = nullptr) const;
  const std::map<std::string, NodeFacts>& nodes() const { return nodes_; }

 private:
  struct Instance {
    std::string node;              // by the provider's word; empty: not known yet
    std::string client_token;      // that it was rented with
    std::int64_t launched_ns = 0;  // market time; 0: not known yet
    bool noticed = false, ended = false;
    absl::Time gone_by = absl::InfiniteFuture();  // cluster time
  };
  struct Said {
    HybridTime joined, left;  // when it said so last
    HybridTime of_draining;   // ... whether it is to be empty
    bool draining = false;
  };
  void joined(schema::NodeJoined::Reader facts, HybridTime time);
  void draining(const std::string& name, bool is, HybridTime time);
  void forget_ended();
  bool instance_ended(schema::InstanceEnded::Reader ended);
  // Derives `left` and `noticed` from what the node said and what became of its instance.
  void judge(NodeFacts& node);
  void judge_nodes_on(const std::string& id);

  std::map<std::string, NodeFacts> nodes_;
  std::map<std::string, Said> said_;  // by node
  // by id; those that have ended stay for a while, for what is told of them late
  std::map<std::string, Instance> instances_;
  std::deque<std::string> ended_;  // the first that ended first
};

// What every place carries without being told to: cloud, region, zone, type, market.
std::map<std::string, std::string> labels_of(const PlaceName& place);
// ... and what it says of itself, which comes first.
std::map<std::string, std::string> labels_of(schema::Place::Reader place);

// The VM's user wants a target for it kept ready there.
bool is_prepared(schema::VmSpec::Reader spec, const std::string& node);
// What is free there for this VM, as far as the node has said: the room of a target that is kept ready for it is its own.
std::uint64_t free_for(schema::VmSpec::Reader spec, const NodeFacts& node);

// Why a VM may not run at such a place: its labels, its list of nodes, the devices it needs; empty if it may.
std::vector<std::string> constraint_failures(schema::VmSpec::Reader spec, const NodeFacts& node);

}  // namespace supercloud
