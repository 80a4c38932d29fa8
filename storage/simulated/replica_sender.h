// The source's end of one replication stream (storage/replica_protocol.h): connects, and connects again, for as long as it lives.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/replica_protocol.h"
#include "storage/simulated/stored_volume.h"

namespace supercloud {

// Thread-bound. Sends while its volume serves or is sealed, and rests while it is a replica itself.
class ReplicaSender {
 public:
  // `changed`: with true when it connected, lost its replica or caught up, with false when more is stable. May be called from
  // inside any call.
  ReplicaSender(StoredVolume& volume, Scheduler& scheduler, LinkNetwork& links,
                const MemoryVolumeOptions& options, std::string node, std::string endpoint,
                std::function<void(bool)> changed);

  void wrote(std::uint64_t index, const DiskBlock& block);
  void flushed();
  // The volume's role or epoch is another one: begins again, or rests.
  void restart();
  void set_endpoint(std::string endpoint);

  ReplicaStatus status() const;
  // The connected replica has everything up to `version` on stable storage.
  bool has_stable(std::uint64_t version) const {
    return connected_ && caught_up_ && stable_ >= version;
  }

 private:
  bool ready() const;
  void connect();
  void on_frame(std::string_view bytes);
  void drop(std::string why, bool retry);
  void begin_sync();
  void pump();
  void tick();
  template <class Message>
  void send(Message message);

  StoredVolume& volume_;
  LinkNetwork& links_;
  const MemoryVolumeOptions& options_;
  const std::string node_;
  std::string endpoint_;
  std::function<void(bool)> changed_;

  std::unique_ptr<Link> link_;
  std::vector<std::unique_ptr<Link>> retired_;
  std::uint64_t attempt_ = 0;  // timers of an earlier connection find another number
  Duration backoff_;
  std::string error_;
  bool connected_ = false;  // the replica has answered the hello
  bool caught_up_ = false;
  Instant heard_;

  std::vector<replica_protocol::Inventory::Entry> inventory_;
  bool syncing_ = false;  // between the inventory's end and the sending of `synced`
  std::deque<replica_protocol::Block> differing_;
  std::uint64_t sync_version_ = 0;
  std::uint64_t sync_digest_ = 0;
  bool streaming_ = false;  // `synced` is sent, or on its way: writes are queued
  std::deque<replica_protocol::Block> pending_;
  std::uint64_t flushed_sent_ = 0;
  Instant paced_until_;
  bool pump_armed_ = false;

  std::uint64_t received_ = 0;
  std::uint64_t stable_ = 0;
  struct Age {
    std::uint64_t version;  // the last of a few writes
    Instant since;          // when the first of them was made
  };
  std::deque<Age> unstable_;
  OwnedTimers timers_;
};

}  // namespace supercloud
