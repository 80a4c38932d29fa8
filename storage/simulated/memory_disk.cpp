#include "storage/simulated/memory_disk.h"

#include <algorithm>
#include <utility>

namespace supercloud {
namespace {

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

}  // namespace

std::uint64_t block_digest(std::uint64_t index, std::uint64_t value) {
  return mix(mix(index + 0x9e3779b97f4a7c15U) + value);
}

void DiskVolume::apply(const Change& change, DiskBlocks& blocks, VolumeState& state) {
  if (change.state) {
    state = *change.state;
  } else if (change.block) {
    blocks[change.index] = *change.block;
    if (change.step) {
      state.version = std::max(state.version, change.block->version);
      state.lineage = std::max(state.lineage, change.block->epoch);
    }
  } else {
    blocks.erase(change.index);
  }
}

void DiskVolume::put(std::uint64_t index, std::optional<DiskBlock> block, bool step) {
  if (auto old = blocks_.find(index); old != blocks_.end())
    digest_ -= block_digest(index, old->second.value);
  if (block) digest_ += block_digest(index, block->value);
  Change change;
  change.position = ++position_;
  change.index = index;
  change.step = step;
  change.block = block;
  apply(change, blocks_, state_);
  log_.push_back(std::move(change));
}

void DiskVolume::write(std::uint64_t index, const DiskBlock& block) { put(index, block, true); }
void DiskVolume::stage(std::uint64_t index, std::optional<DiskBlock> block) {
  put(index, block, false);
}

void DiskVolume::update(const VolumeState& state) {
  state_ = state;
  if (updated_) updated_(state);
  Change change;
  change.position = ++position_;
  change.step = true;
  change.state = state;
  log_.push_back(std::move(change));
}

void DiskVolume::flush(std::uint64_t position) {
  while (!log_.empty() && log_.front().position <= position) {
    apply(log_.front(), stable_blocks_, stable_state_);
    log_.pop_front();
  }
  flushed_ = std::max(flushed_, std::min(position, position_));
}

void DiskVolume::crash(Random* random) {
  // By the role that the disk will find again: only a volume in service takes writes past the journal.
  const bool guest = stable_state_.role == VolumeStatus::Role::serving;
  if (random != nullptr && guest) {
    for (const Change& change : log_) {
      if (change.state || !change.block) continue;
      if (change.block->epoch != stable_state_.lineage) break;  // of a later service or stream
      const std::uint64_t fate = random->below(4);
      if (fate >= 2) continue;  // lost
      Change reached = change;
      // torn: neither the old content nor the new, and nothing that says which write it was
      if (fate == 0) {
        reached.block = DiskBlock{change.block->value ^ random->next(), 0, 0};
        reached.step = false;
      }
      apply(reached, stable_blocks_, stable_state_);
      stable_state_.version = std::max(stable_state_.version, change.block->version);
    }
  } else if (random != nullptr) {
    const std::uint64_t kept = random->below(log_.size() + 1);
    std::size_t end = 0;
    for (std::size_t i = 0; i < kept; ++i) {
      if (log_[i].step) end = i + 1;
    }
    for (std::size_t i = 0; i < end; ++i) apply(log_[i], stable_blocks_, stable_state_);
  }
  log_.clear();
  // A copy in service had unflushed state in its guest too: its epoch is over.
  if (stable_state_.role == VolumeStatus::Role::serving) stable_state_.crashed = true;
  state_ = stable_state_;
  blocks_ = stable_blocks_;
  flushed_ = position_;
  digest_ = 0;
  for (const auto& [index, block] : blocks_) digest_ += block_digest(index, block.value);
}

void DiskVolume::corrupt(std::uint64_t index, std::uint64_t value) {
  auto found = blocks_.find(index);
  if (found == blocks_.end()) return;
  digest_ -= block_digest(index, found->second.value);
  digest_ += block_digest(index, value);
  found->second.value = value;
  if (auto stable = stable_blocks_.find(index); stable != stable_blocks_.end())
    stable->second.value = value;
}

void MemoryDisk::make(const std::string& vm, std::uint64_t bytes, const VolumeState& state) {
  DiskVolume::Updated updated;
  if (keeper_ != nullptr) {
    updated = [keeper = keeper_, vm, bytes](const VolumeState& of) { keeper->keep(vm, bytes, of); };
    updated(state);
  }
  volumes_.insert_or_assign(vm, DiskVolume(bytes, state, std::move(updated)));
}

void MemoryDisk::remove(const std::string& vm) {
  if (volumes_.erase(vm) > 0 && keeper_ != nullptr) keeper_->drop(vm);
}

void MemoryDisk::crash(Random* random) {
  for (auto& [vm, volume] : volumes_) volume.crash(random);
}

}  // namespace supercloud
