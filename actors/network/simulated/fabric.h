// A simulated fabric: who owns which address, as one host's network knows it, and the ports of its
// guests.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/network/fabric.h"
#include "core/scheduler.h"

namespace supercloud {

// The host's part, as a bridge in its kernel: outlives the daemon; destroying it is a reboot.
// Thread-bound.
class FabricHost {
 public:
  // Told of each frame that passes: for checkers.
  using Delivered =
      std::function<void(const std::string& node, const std::string& vm, Epoch epoch)>;

  FabricHost(Scheduler& scheduler, std::string node, Delivered delivered = nullptr);

  // A frame of a guest that executes at `epoch`. Passes if its port is open at that epoch and no
  // higher one is known for its address; the check and the passing are one step (rule 11).
  bool transmit(const std::string& vm, Epoch epoch);

 private:
  friend class SimulatedFabric;

  struct Port {
    std::string address;
    std::optional<Epoch> open;
    Instant deadline = far_future;
    // The newest epochs under which frames passed; two are enough for the gap between them.
    std::map<Epoch, Fabric::Traffic> traffic;
  };
  const AddressOwner* owner(const std::string& address) const;

  Scheduler& scheduler_;
  std::string node_;
  Delivered delivered_;
  std::map<std::string, Port> ports_;           // by vm
  std::map<std::string, AddressOwner> owners_;  // by address
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The seam over it: what a daemon holds. The host outlives it.
class SimulatedFabric final : public Fabric {
 public:
  explicit SimulatedFabric(FabricHost& host, Duration call_time = absl::Milliseconds(1))
      : host_(host), call_time_(call_time) {}

  void prepare(std::string vm, std::string address, Reply<Done> reply) override;
  absl::Status open(const std::string& vm, Epoch epoch) override;
  void arm(const std::string& vm, Instant deadline) override;
  void close(const std::string& vm) override;
  void remove(std::string vm, Reply<Done> reply) override;
  std::optional<Epoch> port(const std::string& vm) const override;
  bool learn(const AddressOwner& owner) override;
  void forget(const std::string& address, Epoch epoch) override;
  std::vector<AddressOwner> owners() const override;
  std::optional<Duration> blackout(const std::string& vm, Epoch epoch) const override;
  std::optional<Traffic> traffic(const std::string& vm, Epoch epoch) const override;

 private:
  void later(std::function<absl::Status()> effect, Reply<Done> reply);

  FabricHost& host_;
  Duration call_time_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
