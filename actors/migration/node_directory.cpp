#include "actors/migration/node_directory.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/provider/provider.h"
#include "actors/spot/place.h"

namespace supercloud {

void NodeDirectory::joined(schema::NodeJoined::Reader facts, HybridTime time) {
  const std::string name(text(facts.getNode()));
  Said& said = said_[name];
  if (time < said.joined) return;
  said.joined = time;
  NodeFacts& node = nodes_[name];
  const bool first = node.name.empty();
  node.name = name;
  node.place = text(facts.getPlace().getId());
  node.spot = facts.getPlace().getSpot();
  node.labels = labels_of(facts.getPlace());
  node.devices.clear();
  for (auto device : facts.getDevices()) node.devices.emplace(text(device));
  node.instance = text(facts.getInstance());
  node.hypervisor = text(facts.getHypervisor());
  node.endpoint = text(facts.getDataEndpoint());
  node.cpu_model = text(facts.getCpuModel());
  node.memory_bytes = facts.getMemoryBytes();
  if (first) node.memory_free_bytes = facts.getMemoryBytes();
  node.mtu = facts.getMtu();
  judge(node);
}

bool NodeDirectory::fold(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::NODE_JOINED:
      joined(payload.getNodeJoined(), event.time());
      return true;
    case schema::Payload::NODE_CAPACITY: {
      const auto capacity = payload.getNodeCapacity();
      // Of a node without a machine it names none.
      if (!text(capacity.getJoined().getNode()).empty()) joined(capacity.getJoined(), event.time());
      const auto node = nodes_.find(std::string(text(capacity.getNode())));
      if (node != nodes_.end()) node->second.memory_free_bytes = capacity.getMemoryFreeBytes();
      draining(str(capacity.getNode()), capacity.getDraining(), event.time());
      return true;
    }
    case schema::Payload::NODE_DRAINING:
      draining(str(payload.getNodeDraining().getNode()), true, event.time());
      return true;
    case schema::Payload::NODE_UNDRAINED:
      draining(str(payload.getNodeUndrained().getNode()), false, event.time());
      return true;
    case schema::Payload::NODE_LEFT: {
      const std::string name(text(payload.getNodeLeft().getNode()));
      said_[name].left = std::max(said_[name].left, event.time());
      if (const auto node = nodes_.find(name); node != nodes_.end()) judge(node->second);
      return true;
    }
    case schema::Payload::INSTANCE_LAUNCHED: {
      const auto launched = payload.getInstanceLaunched();
      const std::string id(text(launched.getInstance()));
      Instance& instance = instances_[id];
      instance.node = text(launched.getNode());
      instance.launched_ns = launched.getLaunchedNs();
      instance.client_token = text(launched.getClientToken());
      judge_nodes_on(id);
      return true;
    }
    case schema::Payload::SPOT_INTERRUPTION_NOTICE: {
      const auto notice = payload.getSpotInterruptionNotice();
      const std::string id(text(notice.getInstance()));
      Instance& instance = instances_[id];
      if (notice.getNode().size() > 0) instance.node = text(notice.getNode());
      instance.noticed = true;
      instance.gone_by = event.time().wall() + absl::Nanoseconds(notice.getNoticeNs());
      judge_nodes_on(id);
      return true;
    }
    case schema::Payload::INSTANCE_REVOKED:
      return instance_ended(payload.getInstanceRevoked());
    case schema::Payload::INSTANCE_RETURNED:
      return instance_ended(payload.getInstanceReturned());
    default:
      return false;
  }
}

bool NodeDirectory::instance_ended(schema::InstanceEnded::Reader ended) {
  const std::string id(text(ended.getInstance()));
  Instance& instance = instances_[id];
  // Who joined after its launch has not heard of that.
  if (ended.getNode().size() > 0) instance.node = text(ended.getNode());
  if (!std::exchange(instance.ended, true)) ended_.push_back(id);
  judge_nodes_on(id);
  forget_ended();
  return true;
}

void NodeDirectory::draining(const std::string& name, bool is, HybridTime time) {
  Said& said = said_[name];
  if (time < said.of_draining) return;
  said.of_draining = time;
  said.draining = is;
  if (const auto node = nodes_.find(name); node != nodes_.end()) judge(node->second);
}

void NodeDirectory::forget_ended() {
  while (ended_.size() > ended_max) {
    const std::string& id = ended_.front();
    for (auto node = nodes_.begin(); node != nodes_.end();) {
      const NodeFacts& facts = node->second;
      const bool on_it = facts.instance == id || facts.name == instances_.at(id).node;
      if (!facts.ended || !on_it) {
        ++node;
        continue;
      }
      said_.erase(facts.name);
      node = nodes_.erase(node);
    }
    instances_.erase(id);
    ended_.pop_front();
  }
}

void NodeDirectory::judge_nodes_on(const std::string& id) {
  for (auto& [name, node] : nodes_)
    if (node.instance == id || name == instances_.at(id).node) judge(node);
}

void NodeDirectory::judge(NodeFacts& node) {
  const Instance* instance = nullptr;
  if (const auto own = instances_.find(node.instance); own != instances_.end()) {
    instance = &own->second;
  } else if (node.instance.empty()) {
    for (const auto& [id, other] : instances_)
      if (other.node == node.name &&
          (instance == nullptr || other.launched_ns > instance->launched_ns))
        instance = &other;
  }
  const Said& said = said_[node.name];
  node.ended = instance != nullptr && instance->ended;
  node.left = said.left > said.joined || node.ended;
  node.noticed = instance != nullptr && instance->noticed;
  node.gone_by = instance == nullptr ? absl::InfiniteFuture() : instance->gone_by;
  // What was there from the start was rented for no move.
  const bool rented =
      instance != nullptr && !instance->client_token.starts_with(initial_token_prefix);
  node.rented_with = rented ? instance->client_token : std::string();
  node.joined = said.joined;
  node.draining = said.draining;
}

const NodeFacts* NodeDirectory::rented(std::string_view client_token) const {
  for (const auto& [name, node] : nodes_)
    if (!client_token.empty() && node.rented_with == client_token) return &node;
  return nullptr;
}

std::optional<std::string> NodeDirectory::taken_back(std::string_view client_token,
                                                     const NodeFacts* source) const {
  for (const auto& [id, instance] : instances_) {
    if (instance.client_token != client_token) continue;
    const bool refuge = source != nullptr && source->noticed && source->gone_by < instance.gone_by;
    if (instance.ended || (instance.noticed && !refuge)) return id;
  }
  return std::nullopt;
}

const NodeFacts* NodeDirectory::find(const std::string& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

std::vector<const NodeFacts*> NodeDirectory::at_place(const std::string& place) const {
  std::vector<const NodeFacts*> result;
  for (const auto& [name, node] : nodes_)
    if (node.place == place && !node.goes()) result.push_back(&node);
  std::sort(result.begin(), result.end(), [](const NodeFacts* a, const NodeFacts* b) {
    return std::tie(b->memory_free_bytes, a->name) < std::tie(a->memory_free_bytes, b->name);
  });
  return result;
}

std::map<std::string, std::string> labels_of(const PlaceName& place) {
  return {{"cloud", place.cloud},
          {"region", place.region},
          {"zone", place.zone},
          {"type", place.instance_type},
          {"market", place.spot ? "spot" : "on-demand"}};
}

std::map<std::string, std::string> labels_of(schema::Place::Reader place) {
  std::map<std::string, std::string> labels;
  for (auto label : place.getLabels())
    labels[std::string(text(label.getName()))] = text(label.getValue());
  labels.merge(labels_of(place_name(place)));
  return labels;
}

bool is_prepared(schema::VmSpec::Reader spec, const std::string& node) {
  for (const auto name : spec.getPrepared())
    if (text(name) == node) return true;
  return false;
}

std::uint64_t free_for(schema::VmSpec::Reader spec, const NodeFacts& node) {
  return node.memory_free_bytes + (is_prepared(spec, node.name) ? spec.getMemoryBytes() : 0);
}

std::vector<std::string> constraint_failures(schema::VmSpec::Reader spec, const NodeFacts& node) {
  std::vector<std::string> failures;
  for (auto label : spec.getRequires()) {
    const auto found = node.labels.find(std::string(text(label.getName())));
    if (found == node.labels.end() || found->second != text(label.getValue()))
      failures.push_back(absl::StrCat("it requires ", std::string(text(label.getName())), "=",
                                      std::string(text(label.getValue())), ", which ", node.place,
                                      found == node.labels.end()
                                          ? std::string(" does not carry")
                                          : absl::StrCat(" has as ", found->second)));
  }
  for (auto label : spec.getRefuses()) {
    const auto found = node.labels.find(std::string(text(label.getName())));
    if (found != node.labels.end() && found->second == text(label.getValue()))
      failures.push_back(absl::StrCat("it refuses ", std::string(text(label.getName())), "=",
                                      found->second, ", which ", node.place, " carries"));
  }
  bool listed = spec.getNodes().size() == 0;
  for (auto name : spec.getNodes()) listed = listed || text(name) == node.name;
  if (!listed) failures.push_back(absl::StrCat(node.name, " is not among the nodes it may run on"));
  for (auto device : spec.getDevices())
    if (!node.devices.contains(std::string(text(device))))
      failures.push_back(absl::StrCat("it needs the device ", std::string(text(device)), ", which ",
                                      node.name, " does not offer"));
  return failures;
}

}  // namespace supercloud
