// The volume store of a simulated host: contents are 64-bit values in a MemoryDisk, replication is the real protocol.
//
// Used by the simulator in virtual time, and by live nodes: for simulated guests, and for real ones while these have no disks. All timing
// goes through the scheduler.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/link.h"
#include "core/scheduler.h"
#include "storage/simulated/memory_disk.h"
#include "storage/simulated/replica_receiver.h"
#include "storage/simulated/replica_sender.h"
#include "storage/simulated/stored_volume.h"
#include "storage/volume.h"

namespace supercloud {

// The disk as a guest sees it. Thread-bound. What the volume does not take at this epoch is never answered: its Reply is dropped.
// What it has taken is answered also after a seal or a swap back, for the copy goes on here; never once the epoch ended elsewhere.
class GuestDisk {
 public:
  virtual ~GuestDisk() = default;
  // OutOfRange beyond the volume's end. NotFound: no such volume.
  virtual void write(const std::string& vm, Epoch epoch, std::uint64_t block, std::uint64_t value,
                     Reply<Done> reply) = 0;
  virtual void read(const std::string& vm, Epoch epoch, std::uint64_t block,
                    Reply<std::uint64_t> reply) = 0;
  // Answered when every write that was acknowledged before is stable here and at every sync peer.
  virtual void flush(const std::string& vm, Epoch epoch, Reply<Done> reply) = 0;
};

// Thread-bound. The disk outlives it; a store opened on it later finds everything but the streams and the waiting I/O.
class MemoryVolumeStore final : public VolumeStore, public GuestDisk, private ReplicaHost {
 public:
  // Listens for service "replica" of `links`, if nobody does yet.
  MemoryVolumeStore(MemoryDisk& disk, Scheduler& scheduler, LinkNetwork& links,
                    MemoryVolumeOptions options);
  ~MemoryVolumeStore() override;

  std::uint64_t bytes_free() const override;
  void create(std::string vm, std::uint64_t bytes, Reply<VolumeStatus> reply) override;
  void serve(std::string vm, Epoch epoch, Reply<VolumeStatus> reply) override;
  void arm(const std::string& vm, Instant deadline) override;
  void seal(std::string vm, Epoch epoch, Reply<Seal> reply) override;
  void verify(std::string vm, Seal seal, Reply<Done> reply) override;
  void destroy(std::string vm, Reply<Done> reply) override;
  std::vector<VolumeStatus> list() const override;
  void replicate(std::string vm, std::string node, std::string endpoint) override;
  void stop_replicating(std::string vm, std::string node) override;
  std::vector<ReplicaStatus> replicas(const std::string& vm) const override;
  void set_sync_peers(std::string vm, std::vector<std::string> nodes) override;
  void watch(std::function<void(const std::string& vm)> look) override;

  void write(const std::string& vm, Epoch epoch, std::uint64_t block, std::uint64_t value,
             Reply<Done> reply) override;
  void read(const std::string& vm, Epoch epoch, std::uint64_t block,
            Reply<std::uint64_t> reply) override;
  void flush(const std::string& vm, Epoch epoch, Reply<Done> reply) override;

  // Guest requests so far that were not taken, for tests.
  std::uint64_t held() const { return held_; }

 private:
  struct Volume;

  absl::StatusOr<StoredVolume*> accept(ReplicaReceiver& stream,
                                       const replica_protocol::Hello& hello) override;
  Epoch fence(const std::string& vm) const override;
  void applied(const std::string& vm) override;
  void ended(ReplicaReceiver& stream) override;

  // Of a volume of so many bytes that is not here; also one that another host names.
  absl::Status check_new(const std::string& vm, std::uint64_t bytes) const;
  Volume* find(const std::string& vm);
  const Volume* find(const std::string& vm) const;
  Volume& open(const std::string& vm);
  VolumeStatus status(const Volume& volume) const;
  bool takes(const Volume& volume, Epoch epoch);
  void detach(Volume& volume, const std::string& why);
  void changed(const std::string& vm, bool worth_a_look = true);
  void look();
  void check_verifies(const std::string& vm);
  void check_flushes(const std::string& vm);
  template <class T>
  void answer(Duration latency, Reply<T> reply, absl::StatusOr<T> value);

  MemoryDisk& disk_;
  Scheduler& scheduler_;
  LinkNetwork& links_;
  MemoryVolumeOptions options_;
  std::map<std::string, std::unique_ptr<Volume>> volumes_;
  struct Verify;
  // by vm; may wait for a volume that a handshake has yet to make
  std::map<std::string, std::deque<Verify>> verifies_;
  // In the order of their connections, in which they also end with the process: their peers hear of it in that order.
  std::deque<std::unique_ptr<ReplicaReceiver>> streams_;
  std::vector<std::function<void(const std::string& vm)>> watchers_;
  std::map<std::string, bool> changed_;  // by vm: also the watchers', or only for what waits here
  bool look_armed_ = false;
  std::uint64_t held_ = 0;
  std::uint64_t verifies_made_ = 0;
  OwnedTimers timers_;
  Pulse pulse_;
};

}  // namespace supercloud
