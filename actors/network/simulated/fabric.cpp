#include "actors/network/simulated/fabric.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr std::size_t traffic_max = 4;  // epochs remembered per port

}  // namespace

FabricHost::FabricHost(Scheduler& scheduler, std::string node, Delivered delivered)
    : scheduler_(scheduler), node_(std::move(node)), delivered_(std::move(delivered)) {}

const AddressOwner* FabricHost::owner(const std::string& address) const {
  const auto found = owners_.find(address);
  return found == owners_.end() ? nullptr : &found->second;
}

bool FabricHost::transmit(const std::string& vm, Epoch epoch) {
  const auto found = ports_.find(vm);
  if (found == ports_.end() || found->second.open != epoch) return false;
  Port& port = found->second;
  const AddressOwner* known = owner(port.address);
  if (known != nullptr && (known->epoch > epoch || known->vm != vm)) return false;
  const Instant now = scheduler_.clock().now();
  if (now >= port.deadline) return false;
  const auto [traffic, first] = port.traffic.try_emplace(epoch, Fabric::Traffic{now, now});
  traffic->second.last = now;
  if (first && port.traffic.size() > traffic_max) port.traffic.erase(port.traffic.begin());
  if (delivered_) delivered_(node_, vm, epoch);
  return true;
}

void SimulatedFabric::later(std::function<absl::Status()> effect, Reply<Done> reply) {
  Scheduler& scheduler = host_.scheduler_;
  const Instant when = scheduler.clock().now() + call_time_;
  scheduler.at(when,
               [host = std::weak_ptr<bool>(host_.alive_), daemon = std::weak_ptr<bool>(alive_),
                effect = std::move(effect), reply = std::move(reply)]() mutable {
                 if (host.expired()) return;
                 const absl::Status status = effect();
                 if (daemon.expired()) return;
                 if (status.ok()) {
                   reply(Done{});
                 } else {
                   reply(status);
                 }
               });
}

void SimulatedFabric::prepare(std::string vm, std::string address, Reply<Done> reply) {
  FabricHost& host = host_;
  const auto effect = [&host, vm = std::move(vm), address = std::move(address)]() -> absl::Status {
    if (address.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(vm, " has no address; give it one"));
    }
    for (const auto& [other, port] : host.ports_) {
      if (other != vm && port.address == address) {
        return absl::AlreadyExistsError(absl::StrCat("the address ", address, " of ", vm, " is ",
                                                     other, "'s on ", host.node_,
                                                     "; give one of them another"));
      }
    }
    FabricHost::Port& port = host.ports_[vm];
    if (port.address != address) {
      port = FabricHost::Port{};
      port.address = address;
    }
    return absl::OkStatus();
  };
  later(effect, std::move(reply));
}

absl::Status SimulatedFabric::open(const std::string& vm, Epoch epoch) {
  const auto found = host_.ports_.find(vm);
  if (found == host_.ports_.end()) {
    return absl::NotFoundError(
        absl::StrCat(vm, " has no port on ", host_.node_, "; prepare it before it is opened"));
  }
  FabricHost::Port& port = found->second;
  const AddressOwner* known = host_.owner(port.address);
  if (known != nullptr && known->vm != vm) {
    return absl::FailedPreconditionError(absl::StrCat("the address ", port.address, " of ", vm,
                                                      " belongs to ", known->vm, " on ",
                                                      known->node, "; give one of them another"));
  }
  const bool stale = known != nullptr && (known->epoch > epoch ||
                                          (known->epoch == epoch && known->node != host_.node_));
  if (stale) {
    return absl::FailedPreconditionError(absl::StrCat(vm, " is at epoch ", known->epoch, " on ",
                                                      known->node, ", so its port on ", host_.node_,
                                                      " does not open at epoch ", epoch));
  }
  port.open = epoch;
  return absl::OkStatus();
}

void SimulatedFabric::arm(const std::string& vm, Instant deadline) {
  const auto port = host_.ports_.find(vm);
  if (port != host_.ports_.end()) port->second.deadline = deadline;
}

void SimulatedFabric::close(const std::string& vm) {
  const auto found = host_.ports_.find(vm);
  if (found != host_.ports_.end()) found->second.open.reset();
}

void SimulatedFabric::remove(std::string vm, Reply<Done> reply) {
  FabricHost& host = host_;
  const auto effect = [&host, vm = std::move(vm)] {
    host.ports_.erase(vm);
    return absl::OkStatus();
  };
  later(effect, std::move(reply));
}

std::optional<Epoch> SimulatedFabric::port(const std::string& vm) const {
  const auto found = host_.ports_.find(vm);
  return found == host_.ports_.end() ? std::nullopt : found->second.open;
}

bool SimulatedFabric::learn(const AddressOwner& owner) {
  const auto [found, added] = host_.owners_.try_emplace(owner.address, owner);
  if (added) return true;
  AddressOwner& known = found->second;
  // Epochs of two VMs say nothing about each other: the first keeps the address until it is
  // forgotten.
  if (known.vm != owner.vm || known.epoch > owner.epoch) return false;
  if (known.epoch == owner.epoch && known.node != owner.node) return false;
  known = owner;
  return true;
}

void SimulatedFabric::forget(const std::string& address, Epoch epoch) {
  const auto found = host_.owners_.find(address);
  if (found != host_.owners_.end() && found->second.epoch <= epoch) host_.owners_.erase(found);
}

std::vector<AddressOwner> SimulatedFabric::owners() const {
  std::vector<AddressOwner> owners;
  for (const auto& [address, owner] : host_.owners_) owners.push_back(owner);
  return owners;
}

std::optional<Fabric::Traffic> SimulatedFabric::traffic(const std::string& vm, Epoch epoch) const {
  const auto port = host_.ports_.find(vm);
  if (port == host_.ports_.end()) return std::nullopt;
  const auto found = port->second.traffic.find(epoch);
  if (found == port->second.traffic.end()) return std::nullopt;
  return found->second;
}

std::optional<Duration> SimulatedFabric::blackout(const std::string& vm, Epoch epoch) const {
  const auto port = host_.ports_.find(vm);
  if (port == host_.ports_.end()) return std::nullopt;
  const auto& traffic = port->second.traffic;
  const auto after = traffic.find(epoch);
  if (after == traffic.end() || after == traffic.begin()) return std::nullopt;
  return after->second.first - std::prev(after)->second.last;
}

}  // namespace supercloud
