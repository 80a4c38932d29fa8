#include "simulation/hub_machine.h"

#include <utility>

namespace supercloud {

struct HubMachine::Process {
  Process(HubMachine& machine, const SimulatedBusOptions& options)
      : bus(machine.name_, machine.networks_.of(machine.name_), machine.scheduler_, machine.pool_,
            options),
        wide(machine.name_, machine.networks_.wide(), machine.scheduler_, machine.pool_, options),
        bus_in_place(machine.options_.cloud_in_place
                         ? machine.options_.cloud_in_place(bus, machine.pool_)
                         : nullptr),
        wide_in_place(machine.options_.wide_in_place
                          ? machine.options_.wide_in_place(wide, machine.pool_)
                          : nullptr),
        hub(machine.scheduler_, machine.pool_, bus_in_place ? *bus_in_place : bus,
            wide_in_place ? *wide_in_place : wide, {.name = machine.name_}) {}

  SimulatedBus bus, wide;
  std::unique_ptr<RelayingBus> bus_in_place, wide_in_place;  // null: none
  Hub hub;
};

HubMachine::HubMachine(VirtualScheduler& world, CloudNetworks& networks, EventPool& pool,
                       Deliveries& deliveries, std::size_t cloud, HubMachineOptions options)
    : networks_(networks),
      pool_(pool),
      deliveries_(deliveries),
      name_(CloudNetworks::hub_name(cloud)),
      options_(std::move(options)),
      scheduler_(world, options_.drift_ppm, options_.wall_offset) {
  start();
}

HubMachine::~HubMachine() {
  kill();
  scheduler_.power_off();
}

void HubMachine::start() {
  if (process_) return;
  SimulatedBusOptions bus = options_.bus;
  bus.gaps = hub_gap_options();
  bus.on_slow_subscriber = [this](const std::string& slow, std::uint64_t backlog) {
    if (process_) process_->hub.on_slow_subscriber(slow, backlog);
  };
  process_ = std::make_unique<Process>(*this, bus);
  deliveries_.hub_started(process_->bus, process_->wide);
}

void HubMachine::kill() {
  if (!process_) return;
  relayed_ = relayed();
  deliveries_.hub_ended(name_);
  process_.reset();
}

void HubMachine::set_frozen(bool frozen) {
  networks_.of(name_).set_frozen(name_, frozen);
  networks_.wide().set_frozen(name_, frozen);
  if (frozen) scheduler_.freeze();
}

void HubMachine::thaw() {
  if (!frozen()) return;
  set_frozen(false);
  scheduler_.thaw();
}

std::uint64_t HubMachine::relayed() const {
  return relayed_ + (process_ ? process_->hub.relayed() : 0);
}

}  // namespace supercloud
