// Hosts with a volume store each, for the conformance suite: one world per implementation of the seam.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/memory_link.h"
#include "core/random.h"
#include "core/virtual_scheduler.h"
#include "storage/simulated/memory_volume.h"
#include "storage/volume.h"

namespace supercloud {

using Role = VolumeStatus::Role;

inline const std::string vm = "main/web1";

class VolumeWorld {
 public:
  static constexpr std::uint64_t disk_bytes = 64 << 20;  // of each host

  virtual ~VolumeWorld() = default;
  virtual VolumeStore& store(const std::string& host) = 0;
  virtual GuestDisk& guest(const std::string& host) = 0;
  virtual std::string endpoint(const std::string& host) = 0;
  virtual Instant now() = 0;
  // Lets `span` pass.
  virtual void run(Duration span) = 0;
  // The process ends and comes back; nothing on disk is lost.
  virtual void restart(const std::string& host) = 0;
  // The host loses power and comes back. With `random`, part of what was not flushed survives, and blocks are torn.
  virtual void crash(const std::string& host, Random* random) = 0;
  virtual void set_blocked(bool blocked) = 0;  // all ways between hosts
};

class MemoryVolumeWorld final : public VolumeWorld {
 public:
  VolumeStore& store(const std::string& host) override { return *at(host).store; }
  GuestDisk& guest(const std::string& host) override { return *at(host).store; }
  std::string endpoint(const std::string& host) override { return at(host).network->endpoint(); }
  Instant now() override { return scheduler.now(); }
  void run(Duration span) override { scheduler.run_for(span); }
  void restart(const std::string& host) override {
    Host& it = at(host);
    it.store.reset();
    it.network.reset();
    start(host, it);
  }
  void crash(const std::string& host, Random* random) override {
    Host& it = at(host);
    it.store.reset();
    it.network.reset();
    it.disk.crash(random);
    start(host, it);
  }
  void set_blocked(bool blocked) override {
    hub.set_blocked([blocked](const std::string&, const std::string&) { return blocked; });
  }

  struct Host {
    MemoryDisk disk;
    std::unique_ptr<LinkNetwork> network;
    std::unique_ptr<MemoryVolumeStore> store;
  };
  Host& at(const std::string& name) {
    Host& host = hosts[name];
    if (host.store == nullptr) start(name, host);
    return host;
  }

  VirtualScheduler scheduler;
  MemoryLinkHub hub{scheduler};
  std::map<std::string, Host> hosts;

 private:
  void start(const std::string& name, Host& host) {
    host.network = hub.network(name, scheduler);
    MemoryVolumeOptions options;
    options.node = name;
    options.disk_bytes = disk_bytes;
    host.store = std::make_unique<MemoryVolumeStore>(host.disk, scheduler, *host.network, options);
  }
};

// A call's answer, once there is one.
template <class T>
struct Outcome {
  std::shared_ptr<std::optional<absl::StatusOr<T>>> value =
      std::make_shared<std::optional<absl::StatusOr<T>>>();
  Reply<T> reply(Instant deadline = far_future) {
    return Reply<T>(deadline,
                    [value = value](absl::StatusOr<T> answer) { *value = std::move(answer); });
  }
  bool answered() const { return value->has_value(); }
  bool ok() const { return answered() && (*value)->ok(); }
  absl::Status status() const {
    return answered() ? (*value)->status() : absl::UnknownError("no answer");
  }
  const T& operator*() const { return ***value; }
};

}  // namespace supercloud
