#include "actors/node/node_agent.h"

#include <utility>

namespace supercloud {

NodeAgent::NodeAgent(Context& context, Hypervisor& hypervisor, NodeDescription description,
                     Duration interval)
    : context_(context),
      hypervisor_(hypervisor),
      description_(std::move(description)),
      interval_(interval) {
  Draft draft = context_.draft(context_.node());
  describe(draft.payload().initNodeJoined());
  context_.publish(std::move(draft));
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
  joined.setHypervisor(hypervisor_.description());
  joined.setCpus(description_.cpus);
  joined.setMemoryBytes(description_.memory_bytes);
  joined.setDataEndpoint(description_.data_endpoint);
  joined.setCpuModel(description_.cpu_model);
  joined.setMtu(description_.mtu);
}

void NodeAgent::tell() {
  Draft draft = context_.draft(context_.node());
  auto capacity = draft.payload().initNodeCapacity();
  capacity.setNode(context_.node());
  capacity.setMemoryFreeBytes(hypervisor_.memory_free_bytes());
  capacity.setCpusFree(description_.cpus);
  capacity.setVms(static_cast<std::uint32_t>(hypervisor_.list().size()));
  describe(capacity.initJoined());
  context_.publish(std::move(draft));
  context_.after(interval_, [this] { tell(); });
}

}  // namespace supercloud
