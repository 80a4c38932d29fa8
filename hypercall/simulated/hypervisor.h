// The hypervisor seam over a simulated host: what a daemon holds. Destroying it is the daemon's
// crash: what it has called takes effect, and nobody hears of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hypercall/hypervisor.h"
#include "hypercall/simulated/host.h"

namespace supercloud {

// Thread-bound. At most one per host at a time; the host outlives it.
class SimulatedHypervisor final : public Hypervisor {
 public:
  explicit SimulatedHypervisor(SimulatedHost& host) : host_(host) { host_.drop_standbys(); }
  ~SimulatedHypervisor() override { host_.watch(nullptr); }
  SimulatedHypervisor(const SimulatedHypervisor&) = delete;
  SimulatedHypervisor& operator=(const SimulatedHypervisor&) = delete;

  std::string description() const override { return "simulated"; }
  std::uint64_t memory_free_bytes() const override { return host_.memory_free_bytes(); }
  std::vector<GuestStatus> list() const override { return host_.list(); }
  absl::Status check(schema::VmSpec::Reader spec) const override;

  void try_way(std::string endpoint, bool measure, Reply<Way> reply) override;
  std::uint64_t touched_bytes(const std::string& vm) const override {
    return host_.memory_bytes(vm);
  }
  void create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) override;
  void prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                        Reply<Done> reply) override;
  void keep_standby(Message<schema::VmSpec> spec, Instant until, Reply<Done> reply) override;
  std::uint64_t standby_bytes(const std::string& vm) const override {
    return host_.standby_bytes(vm);
  }
  void drop_standbys() override { host_.drop_standbys(); }
  void send(std::string vm, TransferOptions options,
            std::function<void(const TransferProgress&)> progress,
            Reply<TransferProgress> converged) override;
  void slow_down(const std::string& vm) override { host_.slow_down(vm); }
  void start_post_copy(const std::string& vm) override { host_.start_post_copy(vm); }
  void pause(std::string vm, Reply<Done> reply) override;
  void finish_send(std::string vm, Reply<TransferProgress> reply) override;
  void stop_send(std::string vm, Reply<Done> reply) override;
  void resume(std::string vm, Epoch epoch, Reply<Done> reply) override;
  void destroy(std::string vm, Reply<Done> reply) override;
  void arm(const std::string& vm, Instant deadline) override { host_.arm(vm, deadline); }
  void watch(std::function<void(const std::string& vm)> look) override {
    host_.watch(std::move(look));
  }
  DirtyRate dirty_rate(const std::string& vm) const override { return host_.dirty_rate(vm); }

 private:
  // A reply that is dropped once this object is gone.
  template <class T>
  Reply<T> while_alive(Reply<T> reply);

  SimulatedHost& host_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
