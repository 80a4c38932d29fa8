// The networks of a simulated cluster's clouds. Several clouds have a hub each, and the hubs a network of their own, the way between clouds; data
// links take the same ways as events, though no hub.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/simulated/network.h"
#include "core/random.h"
#include "core/scheduler.h"

namespace supercloud {

// Thread-bound.
class CloudNetworks {
 public:
  // One cloud has no hub.
  CloudNetworks(Scheduler& scheduler, Random random, std::size_t clouds);
  CloudNetworks(const CloudNetworks&) = delete;
  CloudNetworks& operator=(const CloudNetworks&) = delete;

  std::size_t clouds() const { return networks_.size(); }
  static std::string hub_name(std::size_t cloud);
  // Before it is first named elsewhere. Who was put nowhere is in the first cloud; a hub is in its own.
  void put(const std::string& name, std::size_t cloud) { cloud_of_[name] = cloud; }
  std::size_t cloud_of(std::string_view name) const;
  SimulatedNetwork& of(std::string_view name) { return *networks_[cloud_of(name)]; }
  SimulatedNetwork& wide() { return wide_; }

  // As SimulatedNetwork has it. Between two clouds it befalls the way between their hubs.
  void block(std::string_view from, std::string_view to);
  void unblock(std::string_view from, std::string_view to);
  void half_open(std::string_view publisher, std::string_view subscriber,
                 SimulatedNetwork::End gone);
  bool reachable(std::string_view from, std::string_view to) const;
  // Each of `group` from the others of its cloud: from its hub too, unless that is among them.
  void partition(const std::vector<std::string>& group);
  // A hub takes nothing in its cloud nor of other hubs.
  void set_taking(const std::string& name, bool taking);
  void set_faults(const LinkFaults& faults);  // within clouds
  void heal();                                // blocks and partitions
  void calm();

 private:
  struct Way {
    SimulatedNetwork& network;
    std::string from, to;
  };
  Way way(std::string_view from, std::string_view to);

  std::vector<std::unique_ptr<SimulatedNetwork>> networks_;
  SimulatedNetwork wide_;
  std::map<std::string, std::size_t, std::less<>> cloud_of_;
};

}  // namespace supercloud
