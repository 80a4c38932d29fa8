// The volume seam: the disks that one node keeps, as the serving copy of a VM or as a replica of another node's.
//
// A volume holds content, a fence (the highest epoch it has served or heard of) and a version that grows with every write.
// It takes guest I/O only from the epoch that it serves, and replicated blocks only from the epoch of the handshake; the check and
// the action are one step (choreography, rule 11). Guest I/O at a lower or sealed epoch is never answered with an I/O error: it
// waits, and is dropped with the copy that sent it (rule 9).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/reply.h"
#include "core/schema/types.capnp.h"
#include "core/units.h"

namespace supercloud {

struct Seal {
  Epoch epoch = 0;
  std::uint64_t version = 0;
  std::uint64_t digest = 0;  // over the whole content
  friend bool operator==(const Seal&, const Seal&) = default;
};

struct VolumeStatus {
  enum class Role : std::uint8_t { replica, serving, sealed };
  std::string vm;  // "tenant/name", as in every seam
  Role role = Role::replica;
  Epoch epoch = 0;  // the fence: lower epochs are refused
  // verified: blocks of this epoch and below are refused (rule 10)
  Epoch closed = 0;
  std::uint64_t version = 0;          // of the newest write here
  std::uint64_t version_stable = 0;   // ... on stable storage
  std::uint64_t version_flushed = 0;  // ... covered by an acknowledged guest flush
  std::uint64_t digest = 0;
  std::uint64_t bytes = 0;
  // may serve as a base; false: a replica that is being filled, or holds what ended elsewhere (rule 10)
  bool complete = true;
  // unflushed writes may be lost: takes no I/O and is no source until it serves a new epoch
  bool crashed = false;
  bool streaming = false;  // replica: its source is connected
  // replica: when its source's last word came, of which nothing is missing here; what the source acknowledged since is not
  // known here. A little earlier rather than later. Absent: since before this store was opened
  std::optional<Instant> heard;
  std::uint32_t flushes_waiting = 0;  // guest flushes that are stable here and wait for a sync peer
};

struct ReplicaStatus {
  std::string node;
  std::string error;  // why it is not connected, for a person
  bool connected = false;
  // has had every block once since the handshake, and lags only by what is in flight
  bool caught_up = false;
  std::uint64_t version_received = 0;
  std::uint64_t version_stable = 0;
  std::uint64_t lag_bytes = 0;
  Duration lag;  // age of the oldest write that the replica has not made stable
};

// Thread-bound. Survives the daemon as far as its contents were made stable; guest I/O goes on without the daemon.
class VolumeStore {
 public:
  virtual ~VolumeStore() = default;

  // Room for volumes that are not there yet; each takes all of its bytes from the start.
  virtual std::uint64_t bytes_free() const = 0;
  // idempotent; a replica at epoch 0 with nothing in it. ResourceExhausted: no room. InvalidArgument: no VM is called so.
  // FailedPrecondition: there was one, whose fence cannot be read.
  virtual void create(std::string vm, std::uint64_t bytes, Reply<VolumeStatus> reply) = 0;
  // From now on guest I/O of exactly `epoch` is taken; raises the fence, unseals, all before it returns. FailedPrecondition: below
  // the fence, at an epoch that another serves or that was sealed or crashed here, or not complete. NotFound: no such volume.
  virtual void serve(std::string vm, Epoch epoch, Reply<VolumeStatus> reply) = 0;
  // Guest I/O is held from `deadline` on, unless it was moved by then: the keeper's deadline, checked where I/O passes, so that what
  // a machine that was frozen as a whole still does as it thaws has no effect (rule 8). In effect when it returns; in either
  // direction; a volume that was never armed has none.
  virtual void arm(const std::string& vm, Instant deadline) = 0;
  // No guest I/O from now on (when it returns, not when it replies). Flushed; every acknowledged write is in version and digest.
  // Idempotent within an epoch.
  virtual void seal(std::string vm, Epoch epoch, Reply<Seal> reply) = 0;
  // At the target: waits until the replica has the seal's version and digest on stable storage, then closes it to the seal's epoch.
  // Waits up to the reply's deadline; FailedPrecondition once the volume has heard of a higher epoch.
  virtual void verify(std::string vm, Seal seal, Reply<Done> reply) = 0;
  virtual void destroy(std::string vm, Reply<Done> reply) = 0;  // idempotent
  virtual std::vector<VolumeStatus> list() const = 0;           // by vm

  // Replication out of a serving or sealed volume: keeps a stream to the replica on `node` (at its link endpoint), reconnecting,
  // with a handshake that raises the replica's fence and rolls it back to the branch point. Idempotent. A node without room for the
  // replica refuses, until it has some.
  virtual void replicate(std::string vm, std::string node, std::string endpoint) = 0;
  virtual void stop_replicating(std::string vm, std::string node) = 0;
  virtual std::vector<ReplicaStatus> replicas(const std::string& vm) const = 0;
  // Whose stable copy a guest flush waits for (loss mode sync); empty: this node's alone. Kept with the volume.
  virtual void set_sync_peers(std::string vm, std::vector<std::string> nodes) = 0;

  // "Look at this VM's volume": a replica caught up or fell behind, a peer was lost, a flush waits for one, it was sealed,
  // verified, or became a replica. Coalesced; never from inside a call. Each call adds a watcher for the store's life, which
  // may be longer than its caller's: hold a weak token in it, and do the looking in a turn of the actor (Context::after).
  virtual void watch(std::function<void(const std::string& vm)> look) = 0;
};

}  // namespace supercloud
