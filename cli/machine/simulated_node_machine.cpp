// A machine that is a part of the node's process: each start is its boot.
#include <utility>

#include "actors/migration/vm_worker.h"
#include "actors/network/simulated/fabric.h"
#include "actors/resource/resource_stub.h"
#include "cli/machine/node_machine.h"
#include "core/socket_link.h"
#include "hypercall/simulated/host.h"
#include "hypercall/simulated/hypervisor.h"
#include "storage/simulated/memory_volume.h"

namespace supercloud {
namespace {

constexpr Duration read_deadline = absl::Seconds(5);

// The guests' disks and ports: the volumes and the fabric of this node.
class SimulatedGuestDevices final : public GuestDevices {
 public:
  SimulatedGuestDevices(GuestDisk& disk, FabricHost& fabric, EventLoop& loop, Bus& bus)
      : disk_(disk), fabric_(fabric), loop_(loop), bus_(bus) {}
  void write(const std::string& vm, Epoch epoch, std::uint64_t block, std::uint64_t value,
             Reply<std::uint64_t> done) override {
    const Instant deadline = done.deadline();
    disk_.write(vm, epoch, block, value, without_version(deadline, std::move(done)));
  }
  void flush(const std::string& vm, Epoch epoch, Reply<std::uint64_t> done) override {
    const Instant deadline = done.deadline();
    disk_.flush(vm, epoch, without_version(deadline, std::move(done)));
  }
  void transmit(const std::string& vm, Epoch epoch) override { fabric_.transmit(vm, epoch); }
  // Through the guest's port and, as the daemon stands in for the network beyond, through its bus.
  void read_resource(const std::string& vm, Epoch epoch, const std::string& resource,
                     std::uint64_t bytes) override {
    if (!fabric_.transmit(vm, epoch)) return;
    const ResourceAccess access(vm, resource, bytes);
    bus_.request(access.to, std::string(access.request.bytes()),
                 Reply<std::string>(loop_.clock().now() + read_deadline,
                                    [](const absl::StatusOr<std::string>&) {}));
  }

 private:
  static Reply<Done> without_version(Instant deadline, Reply<std::uint64_t> done) {
    return Reply<Done>(deadline, [done = std::move(done)](absl::StatusOr<Done> value) mutable {
      if (!value.ok()) return done(value.status());
      done(std::uint64_t{0});
    });
  }
  GuestDisk& disk_;
  FabricHost& fabric_;
  EventLoop& loop_;
  Bus& bus_;
};

// Each part over those before it.
class SimulatedNodeMachine final : public NodeMachine {
 public:
  SimulatedNodeMachine(MachineNeeds needs, std::unique_ptr<SocketLinkNetwork> network)
      : links_(std::move(network)),
        volumes_(disk_, needs.loop, *links_, volume_options(needs.config)),
        fabric_host_(needs.loop, needs.config.name),
        devices_(volumes_, fabric_host_, needs.loop, needs.bus),
        host_(needs.loop, *links_, needs.random, devices_, host_options(*needs.config.host)),
        hypervisor_(host_),
        fabric_(fabric_host_) {
    facts_.data_endpoint = links_->endpoint();
    facts_.cpu_model = "simulated";
    facts_.make_deadline = ExecutorOptions{}.make_deadline;
  }

  absl::Status start() { return host_.start(); }
  const NodeMachineFacts& facts() const override { return facts_; }
  GuestSeams guests() override { return {hypervisor_, volumes_, fabric_}; }
  absl::Status had_session() override { return absl::OkStatus(); }

 private:
  static MemoryVolumeOptions volume_options(const NodeConfig& config) {
    MemoryVolumeOptions options;
    options.node = config.name;
    options.disk_bytes = config.host->disk_bytes;
    return options;
  }
  static SimulatedHostOptions host_options(const HostConfig& config) {
    SimulatedHostOptions options;
    options.memory_bytes = config.memory_bytes;
    options.bytes_per_second = config.bytes_per_second;
    return options;
  }

  NodeMachineFacts facts_;
  std::unique_ptr<SocketLinkNetwork> links_;
  MemoryDisk disk_;
  MemoryVolumeStore volumes_;
  FabricHost fabric_host_;
  SimulatedGuestDevices devices_;
  SimulatedHost host_;
  SimulatedHypervisor hypervisor_;
  SimulatedFabric fabric_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<NodeMachine>> open_simulated_machine(MachineNeeds needs) {
  auto listening = SocketLinkNetwork::open(needs.loop, needs.config.link_endpoint);
  if (!listening.ok()) return listening.status();
  auto machine = std::make_unique<SimulatedNodeMachine>(std::move(needs), *std::move(listening));
  if (const absl::Status started = machine->start(); !started.ok()) return started;
  return machine;
}

absl::StatusOr<std::unique_ptr<NodeMachine>> open_machine(MachineNeeds needs) {
  return needs.config.host->qemu ? open_qemu_machine(std::move(needs))
                                 : open_simulated_machine(std::move(needs));
}

}  // namespace supercloud
