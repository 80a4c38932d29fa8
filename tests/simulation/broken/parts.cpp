// Keeper, disk, network and hypervisor that do not do what their seams promise.
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "tests/simulation/broken/breakage.h"
#include "tests/simulation/broken/forwarding.h"

namespace supercloud {
namespace {

// The seams of a daemon, with one of them broken, and what they rest on.
template <class Part>
std::shared_ptr<const NodeActorsSeams> with(std::unique_ptr<Part> part,
                                            const std::function<NodeActorsSeams(Part&)>& seams) {
  struct Owned {
    std::unique_ptr<Part> part;
    NodeActorsSeams seams;
  };
  const NodeActorsSeams broken = seams(*part);
  const auto owned = std::make_shared<Owned>(Owned{std::move(part), broken});
  return {owned, &owned->seams};
}

template <class Broken>
void put_in_hypervisor(MachineOptions& machine) {
  machine.in_place.seams = [](const NodeActorsSeams& real, Scheduler&) {
    return with<Broken>(std::make_unique<Broken>(real.guests->hypervisor), [&real](Broken& part) {
      return NodeActorsSeams{
          real.leases,   real.log,
          real.session,  GuestSeams{part, real.guests->volumes, real.guests->fabric},
          real.provider, std::nullopt,
          real.archive};
    });
  };
}

template <class Broken>
void put_in_volumes(MachineOptions& machine) {
  machine.in_place.seams = [](const NodeActorsSeams& real, Scheduler&) {
    return with<Broken>(std::make_unique<Broken>(real.guests->volumes), [&real](Broken& part) {
      return NodeActorsSeams{
          real.leases,   real.log,
          real.session,  GuestSeams{real.guests->hypervisor, part, real.guests->fabric},
          real.provider, std::nullopt,
          real.archive};
    });
  };
}

template <class Broken>
void put_in_fabric(MachineOptions& machine) {
  machine.in_place.seams = [](const NodeActorsSeams& real, Scheduler&) {
    return with<Broken>(std::make_unique<Broken>(real.guests->fabric), [&real](Broken& part) {
      return NodeActorsSeams{
          real.leases,   real.log,
          real.session,  GuestSeams{real.guests->hypervisor, real.guests->volumes, part},
          real.provider, std::nullopt,
          real.archive};
    });
  };
}

template <class Broken>
void put_in_leases(MachineOptions& machine) {
  machine.in_place.seams = [](const NodeActorsSeams& real, Scheduler&) {
    return with<Broken>(std::make_unique<Broken>(real.leases), [&real](Broken& part) {
      return NodeActorsSeams{part,          real.log,     real.session, real.guests,
                             real.provider, std::nullopt, real.archive};
    });
  };
}

// ---- no epoch check --------------------------------------------------------------------------------------------------

// Takes guest I/O for whatever epoch it serves, as long as it serves any.
class AnyEpochDisk final : public GuestDisk {
 public:
  explicit AnyEpochDisk(MemoryVolumeStore& real) : real_(real) {}
  void write(const std::string& vm, Epoch, std::uint64_t block, std::uint64_t value,
             Reply<Done> reply) override {
    real_.write(vm, fence(vm), block, value, std::move(reply));
  }
  void read(const std::string& vm, Epoch, std::uint64_t block,
            Reply<std::uint64_t> reply) override {
    real_.read(vm, fence(vm), block, std::move(reply));
  }
  void flush(const std::string& vm, Epoch, Reply<Done> reply) override {
    real_.flush(vm, fence(vm), std::move(reply));
  }

 private:
  Epoch fence(const std::string& vm) const {
    for (const VolumeStatus& volume : real_.list())
      if (volume.vm == vm) return volume.epoch;
    return 0;
  }
  MemoryVolumeStore& real_;
};

// ... and for as long: an epoch's right ends with its deadline.
class UnarmedVolumes final : public ForwardingVolumes {
 public:
  using ForwardingVolumes::ForwardingVolumes;
  void arm(const std::string&, Instant) override {}
};

void put_in_any_epoch_disk(MachineOptions& machine) {
  put_in_volumes<UnarmedVolumes>(machine);
  machine.in_place.disk = [](MemoryVolumeStore& real, Scheduler&) {
    return std::make_unique<AnyEpochDisk>(real);
  };
}

// Knows who owns which address, and lets every frame pass a port that is open, at any epoch and at any time.
class AnyEpochFabric final : public ForwardingFabric {
 public:
  using ForwardingFabric::ForwardingFabric;
  void arm(const std::string&, Instant) override {}
  bool learn(const AddressOwner& owner) override {
    owners_[owner.address] = owner;
    return true;
  }
  void forget(const std::string& address, Epoch) override { owners_.erase(address); }
  std::vector<AddressOwner> owners() const override {
    std::vector<AddressOwner> all;
    for (const auto& [address, owner] : owners_) all.push_back(owner);
    return all;
  }

 private:
  std::map<std::string, AddressOwner> owners_;  // by address
};

// ---- seal before drain -----------------------------------------------------------------------------------------------

// A backend that acknowledges a write and brings it to the volume later, and that no pause waits for: the seal comes before the
// drain.
class WriteBackDisk final : public GuestDisk {
 public:
  WriteBackDisk(GuestDisk& real, Scheduler& scheduler) : real_(real), timers_(scheduler) {}
  void write(const std::string& vm, Epoch epoch, std::uint64_t block, std::uint64_t value,
             Reply<Done> reply) override {
    timers_.after(write_back, [this, vm, epoch, block, value] {
      real_.write(vm, epoch, block, value, Reply<Done>());
    });
    timers_.after(absl::ZeroDuration(), [reply = std::move(reply)]() mutable { reply(Done{}); });
  }
  void read(const std::string& vm, Epoch epoch, std::uint64_t block,
            Reply<std::uint64_t> reply) override {
    real_.read(vm, epoch, block, std::move(reply));
  }
  void flush(const std::string& vm, Epoch epoch, Reply<Done> reply) override {
    timers_.after(write_back, [this, vm, epoch, reply = std::move(reply)]() mutable {
      real_.flush(vm, epoch, std::move(reply));
    });
  }

 private:
  static constexpr Duration write_back = absl::Milliseconds(20);
  GuestDisk& real_;
  OwnedTimers timers_;
};

void put_in_write_back_disk(MachineOptions& machine) {
  machine.in_place.disk = [](MemoryVolumeStore& real, Scheduler& scheduler) {
    return std::make_unique<WriteBackDisk>(real, scheduler);
  };
}

// ---- verify skipped --------------------------------------------------------------------------------------------------

// Not a breakage but a circumstance: the streams to the replicas are lost just before the pause, and stay so for a second. The
// target is then behind until shortly after the seal.
class LossyReplication {
 public:
  LossyReplication(const NodeActorsSeams& real, Scheduler& scheduler, bool verifies)
      : volumes_(real.guests->volumes, scheduler.clock(), verifies),
        hypervisor_(real.guests->hypervisor, volumes_, scheduler),
        seams_{real.leases,   real.log,
               real.session,  GuestSeams{hypervisor_, volumes_, real.guests->fabric},
               real.provider, std::nullopt,
               real.archive} {}
  const NodeActorsSeams& seams() const { return seams_; }

 private:
  class Volumes final : public ForwardingVolumes {
   public:
    Volumes(VolumeStore& real, const Clock& clock, bool verifies)
        : ForwardingVolumes(real), clock_(clock), verifies_(verifies) {}
    void lose_streams(const std::string& vm) {
      lost_until_[vm] = clock_.now() + absl::Seconds(1);
      for (const ReplicaStatus& replica : real_.replicas(vm))
        real_.stop_replicating(vm, replica.node);
    }
    void replicate(std::string vm, std::string node, std::string endpoint) override {
      const auto lost = lost_until_.find(vm);
      if (lost != lost_until_.end() && clock_.now() < lost->second) return;
      real_.replicate(std::move(vm), std::move(node), std::move(endpoint));
    }
    void verify(std::string vm, Seal seal, Reply<Done> reply) override {
      if (!verifies_) return reply(Done{});
      real_.verify(std::move(vm), seal, std::move(reply));
    }

   private:
    const Clock& clock_;
    const bool verifies_;
    std::map<std::string, Instant> lost_until_;  // by vm
  };
  class SlowPause final : public ForwardingHypervisor {
   public:
    SlowPause(Hypervisor& real, Volumes& volumes, Scheduler& scheduler)
        : ForwardingHypervisor(real), volumes_(volumes), timers_(scheduler) {}
    void pause(std::string vm, Reply<Done> reply) override {
      volumes_.lose_streams(vm);
      timers_.after(absl::Milliseconds(100),
                    [this, vm = std::move(vm), reply = std::move(reply)]() mutable {
                      real_.pause(std::move(vm), std::move(reply));
                    });
    }

   private:
    Volumes& volumes_;
    OwnedTimers timers_;
  };

  Volumes volumes_;
  SlowPause hypervisor_;
  NodeActorsSeams seams_;
};

std::function<void(MachineOptions&)> lossy_replication(bool verifies) {
  return [verifies](MachineOptions& machine) {
    machine.in_place.seams = [verifies](const NodeActorsSeams& real, Scheduler& scheduler) {
      const auto parts = std::make_shared<const LossyReplication>(real, scheduler, verifies);
      return std::shared_ptr<const NodeActorsSeams>(parts, &parts->seams());
    };
  };
}

// ---- released before it is known who won -----------------------------------------------------------------------------

class HastyHypervisor final : public ForwardingHypervisor {
 public:
  using ForwardingHypervisor::ForwardingHypervisor;
  // The target has all of it: what is the source's copy good for?
  void finish_send(std::string vm, Reply<TransferProgress> reply) override {
    const Instant deadline = reply.deadline();
    real_.finish_send(
        vm, Reply<TransferProgress>(deadline, [&real = real_, vm, reply = std::move(reply)](
                                                  absl::StatusOr<TransferProgress> sent) mutable {
          if (sent.ok()) real.destroy(vm, Reply<Done>());
          reply(std::move(sent));
        }));
  }
};

// ---- an address that is not claimed ------------------------------------------------------------------------------------

class UnclaimedLeases final : public ForwardingLeases {
 public:
  using ForwardingLeases::ForwardingLeases;
  void swap(Swap swap, Reply<SwapResult> reply) override {
    swap.claim.clear();
    real_.swap(std::move(swap), std::move(reply));
  }
};

}  // namespace

std::vector<Breakage> broken_parts() {
  // Many VMs: only a machine that thaws while another has already taken over shows what its disk and port still let pass.
  const auto machines = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.machines = true;
    run.cluster.vms = 8;
  };
  const auto network = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.network = true;
  };
  const auto users = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.commands = true;
  };
  const auto users_and_network = [users](RunOptions& run) {
    users(run);
    run.faults.network = true;
  };
  const auto users_and_lossy_replication = [users](RunOptions& run) {
    users(run);
    run.cluster.adjust = lossy_replication(true);
  };
  return {
      {"has_no_keeper", "7", "1:", network,
       [](MachineOptions& machine) { machine.host.keeper = false; }},
      {"volume_checks_no_epoch", "11", "1:", machines, put_in_any_epoch_disk},
      {"fabric_checks_no_epoch", "11", "3:", machines, put_in_fabric<AnyEpochFabric>},
      {"seals_before_drain", "9", "2:", users, put_in_write_back_disk},
      {"skips_verify", "10", "2:", users_and_lossy_replication, lossy_replication(false)},
      {"releases_before_knowing", "12", "2:", users_and_network,
       put_in_hypervisor<HastyHypervisor>},
      {"claims_no_address", "3 of the failure model", "3:", users, put_in_leases<UnclaimedLeases>},
  };
}

}  // namespace supercloud
