#include "simulation/cloud_networks.h"

#include "absl/strings/str_cat.h"

namespace supercloud {

CloudNetworks::CloudNetworks(Scheduler& scheduler, Random random, std::size_t clouds)
    : wide_(scheduler, Random(random).fork()) {
  networks_.push_back(std::make_unique<SimulatedNetwork>(scheduler, random));
  Random others = Random(random).fork().fork();
  while (networks_.size() < clouds)
    networks_.push_back(std::make_unique<SimulatedNetwork>(scheduler, others.fork()));
  for (std::size_t cloud = 0; clouds > 1 && cloud < clouds; ++cloud) put(hub_name(cloud), cloud);
}

std::string CloudNetworks::hub_name(std::size_t cloud) { return absl::StrCat("hub-", cloud); }

std::size_t CloudNetworks::cloud_of(std::string_view name) const {
  const auto found = cloud_of_.find(name);
  return found == cloud_of_.end() ? 0 : found->second;
}

CloudNetworks::Way CloudNetworks::way(std::string_view from, std::string_view to) {
  const std::size_t source = cloud_of(from), target = cloud_of(to);
  if (source == target) return {of(from), std::string(from), std::string(to)};
  return {wide_, hub_name(source), hub_name(target)};
}

void CloudNetworks::block(std::string_view from, std::string_view to) {
  const Way blocked = way(from, to);
  blocked.network.block(blocked.from, blocked.to);
}

void CloudNetworks::unblock(std::string_view from, std::string_view to) {
  const Way free = way(from, to);
  free.network.unblock(free.from, free.to);
}

void CloudNetworks::half_open(std::string_view publisher, std::string_view subscriber,
                              SimulatedNetwork::End gone) {
  const Way between = way(publisher, subscriber);
  between.network.half_open(between.from, between.to, gone);
}

bool CloudNetworks::reachable(std::string_view from, std::string_view to) const {
  const std::size_t source = cloud_of(from), target = cloud_of(to);
  if (source == target) return networks_[source]->reachable(from, to);
  const std::string out = hub_name(source), in = hub_name(target);
  return networks_[source]->reachable(from, out) && wide_.reachable(out, in) &&
         networks_[target]->reachable(in, to);
}

void CloudNetworks::partition(const std::vector<std::string>& group) {
  for (std::size_t cloud = 0; cloud < networks_.size(); ++cloud) {
    std::vector<std::string> there;
    for (const std::string& name : group)
      if (cloud_of(name) == cloud) there.push_back(name);
    if (!there.empty()) networks_[cloud]->partition(there);
  }
}

void CloudNetworks::set_taking(const std::string& name, bool taking) {
  of(name).set_taking(name, taking);
  if (clouds() > 1 && name == hub_name(cloud_of(name))) wide_.set_taking(name, taking);
}

void CloudNetworks::set_faults(const LinkFaults& faults) {
  for (const auto& network : networks_) network->set_faults(faults);
}

void CloudNetworks::heal() {
  for (const auto& network : networks_) network->heal();
  wide_.heal();
}

void CloudNetworks::calm() {
  for (const auto& network : networks_) network->calm();
  wide_.calm();
}

}  // namespace supercloud
