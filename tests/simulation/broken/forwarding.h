// The seams of a node, passed on as they are: a broken part overrides what it breaks.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/node_actors.h"

namespace supercloud {

// Thread-bound, as what they stand for; that outlives them.
class ForwardingHypervisor : public Hypervisor {
 public:
  explicit ForwardingHypervisor(Hypervisor& real) : real_(real) {}

  std::string description() const override { return real_.description(); }
  std::uint64_t memory_free_bytes() const override { return real_.memory_free_bytes(); }
  std::vector<GuestStatus> list() const override { return real_.list(); }
  absl::Status check(schema::VmSpec::Reader spec) const override { return real_.check(spec); }
  void try_way(std::string endpoint, bool measure, Reply<Way> reply) override {
    real_.try_way(std::move(endpoint), measure, std::move(reply));
  }
  std::uint64_t touched_bytes(const std::string& vm) const override {
    return real_.touched_bytes(vm);
  }
  void create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) override {
    real_.create(std::move(spec), epoch, std::move(reply));
  }
  void prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                        Reply<Done> reply) override {
    real_.prepare_incoming(std::move(spec), std::move(migration), epoch, std::move(reply));
  }
  void keep_standby(Message<schema::VmSpec> spec, Instant until, Reply<Done> reply) override {
    real_.keep_standby(std::move(spec), until, std::move(reply));
  }
  std::uint64_t standby_bytes(const std::string& vm) const override {
    return real_.standby_bytes(vm);
  }
  void drop_standbys() override { real_.drop_standbys(); }
  void send(std::string vm, TransferOptions options,
            std::function<void(const TransferProgress&)> progress,
            Reply<TransferProgress> converged) override {
    real_.send(std::move(vm), std::move(options), std::move(progress), std::move(converged));
  }
  void slow_down(const std::string& vm) override { real_.slow_down(vm); }
  void start_post_copy(const std::string& vm) override { real_.start_post_copy(vm); }
  void pause(std::string vm, Reply<Done> reply) override {
    real_.pause(std::move(vm), std::move(reply));
  }
  void finish_send(std::string vm, Reply<TransferProgress> reply) override {
    real_.finish_send(std::move(vm), std::move(reply));
  }
  void stop_send(std::string vm, Reply<Done> reply) override {
    real_.stop_send(std::move(vm), std::move(reply));
  }
  void resume(std::string vm, Epoch epoch, Reply<Done> reply) override {
    real_.resume(std::move(vm), epoch, std::move(reply));
  }
  void destroy(std::string vm, Reply<Done> reply) override {
    real_.destroy(std::move(vm), std::move(reply));
  }
  void arm(const std::string& vm, Instant deadline) override { real_.arm(vm, deadline); }
  void watch(std::function<void(const std::string& vm)> look) override {
    real_.watch(std::move(look));
  }
  DirtyRate dirty_rate(const std::string& vm) const override { return real_.dirty_rate(vm); }

 protected:
  Hypervisor& real_;
};

class ForwardingVolumes : public VolumeStore {
 public:
  explicit ForwardingVolumes(VolumeStore& real) : real_(real) {}

  std::uint64_t bytes_free() const override { return real_.bytes_free(); }
  void create(std::string vm, std::uint64_t bytes, Reply<VolumeStatus> reply) override {
    real_.create(std::move(vm), bytes, std::move(reply));
  }
  void serve(std::string vm, Epoch epoch, Reply<VolumeStatus> reply) override {
    real_.serve(std::move(vm), epoch, std::move(reply));
  }
  void arm(const std::string& vm, Instant deadline) override { real_.arm(vm, deadline); }
  void seal(std::string vm, Epoch epoch, Reply<Seal> reply) override {
    real_.seal(std::move(vm), epoch, std::move(reply));
  }
  void verify(std::string vm, Seal seal, Reply<Done> reply) override {
    real_.verify(std::move(vm), seal, std::move(reply));
  }
  void destroy(std::string vm, Reply<Done> reply) override {
    real_.destroy(std::move(vm), std::move(reply));
  }
  std::vector<VolumeStatus> list() const override { return real_.list(); }
  void replicate(std::string vm, std::string node, std::string endpoint) override {
    real_.replicate(std::move(vm), std::move(node), std::move(endpoint));
  }
  void stop_replicating(std::string vm, std::string node) override {
    real_.stop_replicating(std::move(vm), std::move(node));
  }
  std::vector<ReplicaStatus> replicas(const std::string& vm) const override {
    return real_.replicas(vm);
  }
  void set_sync_peers(std::string vm, std::vector<std::string> nodes) override {
    real_.set_sync_peers(std::move(vm), std::move(nodes));
  }
  void watch(std::function<void(const std::string& vm)> look) override {
    real_.watch(std::move(look));
  }

 protected:
  VolumeStore& real_;
};

class ForwardingLeases : public LeaseTable {
 public:
  explicit ForwardingLeases(LeaseTable& real) : real_(real) {}

  void open_session(OpenSession request, Reply<Session> reply) override {
    real_.open_session(std::move(request), std::move(reply));
  }
  void renew(SessionId session, Reply<Done> reply) override {
    real_.renew(std::move(session), std::move(reply));
  }
  void end_session(SessionId session, Reply<Done> reply) override {
    real_.end_session(std::move(session), std::move(reply));
  }
  void swap(Swap swap, Reply<SwapResult> reply) override {
    real_.swap(std::move(swap), std::move(reply));
  }
  void read(std::string key, Reply<LeaseRecord> reply) override {
    real_.read(std::move(key), std::move(reply));
  }
  void list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) override {
    real_.list(std::move(query), std::move(reply));
  }

 protected:
  LeaseTable& real_;
};

class ForwardingFabric : public Fabric {
 public:
  explicit ForwardingFabric(Fabric& real) : real_(real) {}

  void prepare(std::string vm, std::string address, Reply<Done> reply) override {
    real_.prepare(std::move(vm), std::move(address), std::move(reply));
  }
  absl::Status open(const std::string& vm, Epoch epoch) override { return real_.open(vm, epoch); }
  void arm(const std::string& vm, Instant deadline) override { real_.arm(vm, deadline); }
  void close(const std::string& vm) override { real_.close(vm); }
  void remove(std::string vm, Reply<Done> reply) override {
    real_.remove(std::move(vm), std::move(reply));
  }
  std::optional<Epoch> port(const std::string& vm) const override { return real_.port(vm); }
  bool learn(const AddressOwner& owner) override { return real_.learn(owner); }
  void forget(const std::string& address, Epoch epoch) override { real_.forget(address, epoch); }
  std::vector<AddressOwner> owners() const override { return real_.owners(); }
  std::optional<Duration> blackout(const std::string& vm, Epoch epoch) const override {
    return real_.blackout(vm, epoch);
  }
  std::optional<Traffic> traffic(const std::string& vm, Epoch epoch) const override {
    return real_.traffic(vm, epoch);
  }

 protected:
  Fabric& real_;
};

}  // namespace supercloud
