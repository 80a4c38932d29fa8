#include "actors/node/node_agent.h"

#include <algorithm>
#include <utility>

namespace supercloud {

void write_archives(const std::vector<std::string>& patterns, schema::NodeJoined::Builder joined) {
  auto archives = joined.initArchives(static_cast<unsigned>(patterns.size()));
  for (unsigned i = 0; i < archives.size(); ++i) archives.set(i, patterns[i]);
}

NodeAgent::NodeAgent(Context& context, const Hypervisor* hypervisor, NodeDescription description,
                     Duration beat, Duration soon)
    : context_(context),
      hypervisor_(hypervisor),
      description_(std::move(description)),
      beat_(beat),
      soon_(std::min(soon, beat)),
      next_(soon_) {
  context_.subscribe(Pattern::of("node.joined.>"));
  context_.subscribe(Pattern::of("node.capacity.>"));
  if (hypervisor_ != nullptr) {
    for (const char* pattern :
         {"spot.interruption_notice.>", "node.draining.>", "node.undrained.>"})
      context_.subscribe(Pattern::of(pattern));
    Draft draft = context_.draft(context_.node());
    describe(draft.payload().initNodeJoined());
    context_.publish(std::move(draft));
  }
  tell();
}

void NodeAgent::describe(schema::NodeJoined::Builder joined) const {
  joined.setNode(context_.node());
  auto place = joined.initPlace();
  place.setId(description_.place.id());
  place.setCloud(description_.place.cloud);
  place.setRegion(description_.place.region);
  place.setZone(description_.place.zone);
  place.setInstanceType(description_.place.instance_type);
  place.setSpot(description_.place.spot);
  auto labels = place.initLabels(static_cast<unsigned>(description_.labels.size()));
  unsigned at = 0;
  for (const auto& [name, value] : description_.labels) {
    labels[at].setName(name);
    labels[at].setValue(value);
    ++at;
  }
  joined.setInstance(description_.instance);
  joined.setHypervisor(hypervisor_->description());
  joined.setCpus(description_.cpus);
  joined.setMemoryBytes(description_.memory_bytes);
  joined.setDataEndpoint(description_.data_endpoint);
  joined.setCpuModel(description_.cpu_model);
  joined.setMtu(description_.mtu);
  auto devices = joined.initDevices(static_cast<unsigned>(description_.devices.size()));
  for (unsigned i = 0; i < devices.size(); ++i) devices.set(i, description_.devices[i]);
  write_archives(description_.archives, joined);
}

void NodeAgent::tell() {
  Draft draft = context_.draft(context_.node());
  auto capacity = draft.payload().initNodeCapacity();
  capacity.setNode(context_.node());
  if (hypervisor_ != nullptr) {
    const bool full = noticed_ || draining_;
    capacity.setMemoryFreeBytes(full ? 0 : hypervisor_->memory_free_bytes());
    capacity.setCpus(full ? 0 : description_.cpus);
    capacity.setDraining(draining_);
    capacity.setVms(static_cast<std::uint32_t>(hypervisor_->list().size()));
    describe(capacity.initJoined());
  } else if (!description_.archives.empty()) {
    write_archives(description_.archives, capacity.initJoined());  // and no node to run on
  }
  context_.publish(std::move(draft));
  tell_in(next_);
  next_ = std::min(next_ * 2, beat_);
}

void NodeAgent::tell_in(Duration span) {
  context_.cancel(timer_);
  due_ = context_.now() + span;
  timer_ = context_.after(span, [this] { tell(); });
}

void NodeAgent::receive(const Event& event) {
  const bool draining = event.type() == schema::Payload::NODE_DRAINING;
  if (draining || event.type() == schema::Payload::NODE_UNDRAINED) {
    if (event.subject() != context_.node() || draining == draining_) return;
    draining_ = draining;
    return tell_in(absl::ZeroDuration());
  }
  if (event.type() == schema::Payload::SPOT_INTERRUPTION_NOTICE) {
    const auto notice = event.payload().getSpotInterruptionNotice();
    if (noticed_ || text(notice.getNode()) != context_.node()) return;
    noticed_ = true;
    return tell_in(absl::ZeroDuration());
  }
  const std::string node(event.type() == schema::Payload::NODE_JOINED
                             ? text(event.payload().getNodeJoined().getNode())
                             : text(event.payload().getNodeCapacity().getNode()));
  // Of a Xen host without a machine for VMs of ours the inventory speaks.
  if (node == context_.node() || !event.origin().starts_with(node + "/")) return;
  std::uint64_t& incarnation = heard_[node];
  if (event.incarnation() <= incarnation) return;
  incarnation = event.incarnation();
  if (due_ > context_.now() + soon_) tell_in(soon_);
}

}  // namespace supercloud
