// The replica's end of one replication stream (storage/replica_protocol.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "storage/replica_protocol.h"
#include "storage/simulated/stored_volume.h"

namespace supercloud {

class ReplicaReceiver;

// What a stream needs of the store that it fills.
class ReplicaHost {
 public:
  virtual ~ReplicaHost() = default;
  // The handshake: finds or makes the volume, raises its fence, makes it a replica of this stream. The error is for the source.
  virtual absl::StatusOr<StoredVolume*> accept(ReplicaReceiver& stream,
                                               const replica_protocol::Hello& hello) = 0;
  // The fence of a volume, for a refusal; 0: none.
  virtual Epoch fence(const std::string& vm) const = 0;
  virtual void applied(const std::string& vm) = 0;
  // The stream has ended; it is destroyed soon, not at once.
  virtual void ended(ReplicaReceiver& stream) = 0;
};

// Thread-bound. After detach() it touches no volume.
class ReplicaReceiver {
 public:
  ReplicaReceiver(ReplicaHost& host, Scheduler& scheduler, std::unique_ptr<Link> link);

  const std::string& vm() const { return vm_; }
  Epoch epoch() const { return epoch_; }
  // Between an inventory and its `synced`: the volume stands still.
  bool staging() const { return staging_; }
  // The content turned out to be another than the source's: compares again.
  void resync();
  // The volume is served, destroyed or another stream's: ends this one, with the reason to the source if there is one.
  void detach(const std::string& why);

 private:
  void on_frame(std::string_view bytes);
  void on_hello(const replica_protocol::Hello& hello);
  absl::Status on_blocks(const replica_protocol::Blocks& message);
  absl::Status on_synced(const replica_protocol::Synced& message);
  absl::Status on_writes(const replica_protocol::Writes& message);
  void send_inventory();
  void acknowledge();
  void end();
  template <class Message>
  void send(Message message);

  ReplicaHost& host_;
  std::unique_ptr<Link> link_;
  bool ended_ = false;
  StoredVolume* volume_ = nullptr;
  std::string vm_;
  Epoch epoch_ = 0;
  replica_protocol::History history_;
  bool staging_ = false;
  std::map<std::uint64_t, std::optional<DiskBlock>> stage_;
  // of comparing: a flush that began in an earlier one acknowledges nothing
  std::uint64_t round_ = 0;
  std::uint64_t stable_ = 0;  // of this round, as acknowledged
  std::uint32_t mismatches_ = 0;
  OwnedTimers timers_;
};

}  // namespace supercloud
