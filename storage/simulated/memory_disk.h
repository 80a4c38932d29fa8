// The disk of a simulated host: what it keeps survives the process, and what was flushed survives the host.
//
// Every change goes into a write cache and a log of what is not yet flushed; a flush moves a prefix of that log to the platter.
// A crash loses the log: of guest writes any subset may have reached the platter, and a block among them may be torn;
// replicated writes are journalled, of them a prefix survives. Version and fences are found again as of the last flush.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/random.h"
#include "storage/replica_protocol.h"
#include "storage/volume.h"

namespace supercloud {

struct DiskBlock {
  std::uint64_t value = 0;
  Epoch epoch = 0;
  std::uint64_t version = 0;
};
using DiskBlocks = std::map<std::uint64_t, DiskBlock>;

// What is known of a volume besides its blocks.
struct VolumeState {
  VolumeStatus::Role role = VolumeStatus::Role::replica;
  Epoch fence = 0;
  Epoch closed = 0;
  // epoch of the newest write, or of the service that is about to make it; 0: nothing yet
  Epoch lineage = 0;
  std::uint64_t version = 0;
  std::uint64_t flushed = 0;  // covered by an acknowledged guest flush
  replica_protocol::History history;
  bool complete = true;
  bool crashed = false;
  std::vector<std::string> sync_peers;
};

// Order-independent: the sum over the blocks, so that one write changes it in one step.
std::uint64_t block_digest(std::uint64_t index, std::uint64_t value);

// What keeps the states of volumes beyond the process. Told inside the call that changes one, so that it is kept before that returns.
// Blocks are not: it serves volumes of no bytes.
class StateKeeper {
 public:
  virtual ~StateKeeper() = default;
  virtual void keep(const std::string& vm, std::uint64_t bytes, const VolumeState& state) = 0;
  virtual void drop(const std::string& vm) = 0;
  // Whether a volume may be made anew: FailedPrecondition, with the cure, where one was that cannot be read.
  virtual absl::Status admits(const std::string& vm) const = 0;
};

// Thread-bound.
class DiskVolume {
 public:
  using Updated = std::function<void(const VolumeState&)>;

  explicit DiskVolume(std::uint64_t bytes, const VolumeState& state = {}, Updated updated = nullptr)
      : bytes_(bytes), state_(state), stable_state_(state), updated_(std::move(updated)) {}

  std::uint64_t bytes() const { return bytes_; }
  const VolumeState& state() const { return state_; }
  const DiskBlocks& blocks() const { return blocks_; }
  std::uint64_t digest() const { return digest_; }
  std::uint64_t version_stable() const { return stable_state_.version; }
  const DiskBlocks& stable_blocks() const { return stable_blocks_; }

  // Each change gets a position in the log; what is at or below flushed() is on the platter.
  // A write is a step of its own, and takes version and lineage along; what is staged becomes a step with the next update():
  // a journal does not end within a step.
  void write(std::uint64_t index, const DiskBlock& block);
  void stage(std::uint64_t index, std::optional<DiskBlock> block);  // nullopt: erased
  void update(const VolumeState& state);
  std::uint64_t position() const { return position_; }
  std::uint64_t flushed() const { return flushed_; }
  // All changes up to `position` reach the platter, with the state as it was then.
  void flush(std::uint64_t position);

  // Power loss. Without `random` the whole log is lost.
  void crash(Random* random);
  // Bit rot: the content changes, and whoever reads it sees that.
  void corrupt(std::uint64_t index, std::uint64_t value);

 private:
  struct Change {
    std::uint64_t position = 0;
    std::uint64_t index = 0;
    bool step = false;                 // a journal may end after it
    std::optional<DiskBlock> block;    // nullopt: erased
    std::optional<VolumeState> state;  // a change of the state instead
  };
  static void apply(const Change& change, DiskBlocks& blocks, VolumeState& state);
  void put(std::uint64_t index, std::optional<DiskBlock> block, bool step);

  std::uint64_t bytes_;
  VolumeState state_, stable_state_;
  DiskBlocks blocks_, stable_blocks_;
  std::uint64_t digest_ = 0;
  std::deque<Change> log_;
  Updated updated_;
  std::uint64_t position_ = 0;
  std::uint64_t flushed_ = 0;
};

// Thread-bound; outlives the stores that open it, one at a time.
class MemoryDisk {
 public:
  // `keeper`: null: nothing outlives the process.
  explicit MemoryDisk(StateKeeper* keeper = nullptr) : keeper_(keeper) {}

  // Power loss of the host: everything unflushed is gone, or with `random` a part of it.
  void crash(Random* random = nullptr);

  std::map<std::string, DiskVolume>& volumes() { return volumes_; }
  const std::map<std::string, DiskVolume>& volumes() const { return volumes_; }
  absl::Status admits(const std::string& vm) const {
    return keeper_ == nullptr ? absl::OkStatus() : keeper_->admits(vm);
  }
  // As it was kept, or with nothing in it.
  void make(const std::string& vm, std::uint64_t bytes, const VolumeState& state = {});
  void remove(const std::string& vm);

 private:
  StateKeeper* keeper_;
  std::map<std::string, DiskVolume> volumes_;  // by vm
};

}  // namespace supercloud
