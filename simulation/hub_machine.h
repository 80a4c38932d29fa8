// A machine between two clouds, with nothing but a hub on it, whose process can be killed and started again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bus/hub.h"
#include "bus/simulated/simulated_bus.h"
#include "simulation/cloud_networks.h"
#include "simulation/deliveries.h"
#include "simulation/machine_scheduler.h"

namespace supercloud {

struct HubMachineOptions {
  SimulatedBusOptions bus;  // in its cloud, and among hubs; `gaps` are filled in
  std::int64_t drift_ppm = 0;
  Duration wall_offset;
  // Tests put broken buses in here, of a hub's cloud and of the hubs, at each start of its process. Empty: none; the real one outlives it.
  using InPlace = std::function<std::unique_ptr<RelayingBus>(RelayingBus& real, EventPool& pool)>;
  InPlace cloud_in_place, wide_in_place;
};

// Thread-bound. What it is given outlives it.
class HubMachine {
 public:
  HubMachine(VirtualScheduler& world, CloudNetworks& networks, EventPool& pool,
             Deliveries& deliveries, std::size_t cloud, HubMachineOptions options);
  ~HubMachine();
  HubMachine(const HubMachine&) = delete;
  HubMachine& operator=(const HubMachine&) = delete;

  const std::string& name() const { return name_; }
  void start();
  void kill();
  bool runs() const { return process_ != nullptr; }
  void freeze() { set_frozen(true); }
  void thaw();
  bool frozen() const { return scheduler_.frozen(); }
  std::uint64_t relayed() const;  // by all its processes

 private:
  struct Process;
  void set_frozen(bool frozen);

  CloudNetworks& networks_;
  EventPool& pool_;
  Deliveries& deliveries_;
  const std::string name_;
  const HubMachineOptions options_;
  MachineScheduler scheduler_;
  std::unique_ptr<Process> process_;
  std::uint64_t relayed_ = 0;  // by those that ended
};

}  // namespace supercloud
