#include "storage/simulated/replica_receiver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

using namespace replica_protocol;

constexpr std::size_t inventory_per_frame = 4096;
constexpr std::uint32_t mismatches_max = 3;
// for a last message to leave before the link is closed
constexpr Duration farewell = absl::Seconds(1);

absl::StatusOr<DiskBlock> disk_block(const Block& block) {
  if (block.content.size() != 8)
    return absl::InvalidArgumentError("replica blocks: content of a simulated block is 8 bytes");
  DiskBlock result{0, block.epoch, block.version};
  for (std::size_t i = 0; i < 8; ++i) {
    result.value |= static_cast<std::uint64_t>(static_cast<unsigned char>(block.content[i]))
                    << (8 * i);
  }
  return result;
}

}  // namespace

ReplicaReceiver::ReplicaReceiver(ReplicaHost& host, Scheduler& scheduler,
                                 std::unique_ptr<Link> link)
    : host_(host), link_(std::move(link)), timers_(scheduler) {
  link_->set_handler({
      [this](std::string frame) {
        if (!ended_) on_frame(frame);
      },
      [this](absl::Status) { end(); },
  });
}

template <class Message>
void ReplicaReceiver::send(Message message) {
  link_->send(encode(Frame(std::move(message))));
}

void ReplicaReceiver::end() {
  if (std::exchange(ended_, true)) return;
  volume_ = nullptr;
  stage_.clear();
  host_.ended(*this);
}

void ReplicaReceiver::detach(const std::string& why) {
  if (ended_) return;
  volume_ = nullptr;
  staging_ = false;
  stage_.clear();
  if (why.empty()) return end();
  send(Refuse{host_.fence(vm_), why.substr(0, name_bytes_max)});
  timers_.after(farewell, [this] { end(); });
}

void ReplicaReceiver::on_frame(std::string_view bytes) {
  auto frame = decode(bytes);
  absl::Status status = frame.status();
  if (frame.ok()) {
    if (auto* hello = std::get_if<Hello>(&*frame)) {
      if (vm_.empty()) return on_hello(*hello);
      status = absl::InvalidArgumentError("replica hello: a second one on the same link");
    } else if (volume_ == nullptr) {
      return;  // refused or detached: what was on its way
    } else if (auto* blocks = std::get_if<Blocks>(&*frame)) {
      status = on_blocks(*blocks);
    } else if (auto* synced = std::get_if<Synced>(&*frame)) {
      status = on_synced(*synced);
    } else if (auto* writes = std::get_if<Writes>(&*frame)) {
      status = on_writes(*writes);
    } else if (auto* flushed = std::get_if<Flushed>(&*frame)) {
      VolumeState state = volume_->state();
      if (!staging_ && flushed->version > state.flushed) {
        state.flushed = std::min(flushed->version, state.version);
        volume_->disk().update(state);
      }
    } else {
      status = absl::InvalidArgumentError("a source sent what only a replica sends");
    }
  }
  if (status.ok() && volume_ != nullptr && !staging_) volume_->hear();
  if (!status.ok() && !ended_) detach(std::string(status.message()));
}

void ReplicaReceiver::on_hello(const Hello& hello) {
  vm_ = hello.vm;
  epoch_ = hello.epoch;
  history_ = hello.history;
  auto volume = host_.accept(*this, hello);
  if (!volume.ok()) return detach(std::string(volume.status().message()));
  volume_ = *volume;
  send_inventory();
}

void ReplicaReceiver::send_inventory() {
  staging_ = true;
  stage_.clear();
  ++round_;
  stable_ = 0;
  Inventory message;
  message.first = true;
  for (const auto& [index, block] : volume_->disk().blocks()) {
    if (message.entries.size() == inventory_per_frame) send(std::exchange(message, {}));
    message.entries.push_back(
        {index, block.epoch, block.version, block_digest(index, block.value)});
  }
  message.last = true;
  send(std::move(message));
}

void ReplicaReceiver::resync() {
  if (volume_ != nullptr && !staging_) send_inventory();
}

absl::Status ReplicaReceiver::on_blocks(const Blocks& message) {
  if (!staging_) return absl::FailedPreconditionError("replica blocks: nothing was asked for");
  for (const Block& block : message.blocks) {
    if (!block.present) {
      stage_[block.index] = std::nullopt;
      continue;
    }
    auto content = disk_block(block);
    if (!content.ok()) return content.status();
    stage_[block.index] = *content;
  }
  return absl::OkStatus();
}

absl::Status ReplicaReceiver::on_synced(const Synced& message) {
  if (!staging_) return absl::FailedPreconditionError("replica synced: nothing was asked for");
  if (volume_->state().closed >= epoch_)
    return absl::FailedPreconditionError("closed: the volume is verified");
  DiskVolume& disk = volume_->disk();
  for (const auto& [index, block] : stage_) disk.stage(index, block);
  stage_.clear();
  staging_ = false;
  VolumeState state = disk.state();
  state.version = message.version;
  state.history = history_;
  state.lineage = history_.empty() ? epoch_ : history_.back().epoch;
  state.flushed = std::min(message.flushed, message.version);
  state.complete = disk.digest() == message.digest;
  disk.update(state);
  if (!state.complete) {
    if (++mismatches_ >= mismatches_max) {
      return absl::DataLossError(absl::StrCat(
          "after ", mismatches_, " resyncs the content is still another than the source's"));
    }
    send_inventory();
  } else {
    mismatches_ = 0;
  }
  acknowledge();
  host_.applied(vm_);
  return absl::OkStatus();
}

absl::Status ReplicaReceiver::on_writes(const Writes& message) {
  // While staging they are ignored: whatever was sent before the source compares is in what it compares.
  if (staging_) return absl::OkStatus();
  if (volume_->state().closed >= epoch_)
    return absl::FailedPreconditionError("closed: the volume is verified");
  for (const Block& block : message.blocks) {
    if (block.epoch != epoch_)
      return absl::FailedPreconditionError("replica writes: of another epoch than the handshake's");
    if (block.version <= volume_->state().version) continue;  // never older over newer
    auto content = disk_block(block);
    if (!content.ok()) return content.status();
    volume_->disk().write(block.index, *content);
  }
  acknowledge();
  host_.applied(vm_);
  return absl::OkStatus();
}

void ReplicaReceiver::acknowledge() {
  if (staging_) return;
  const std::uint64_t version = volume_->state().version;
  send(Ack{version, stable_});
  volume_->when_stable([this, alive = timers_.token(), version, round = round_] {
    if (alive.lock() == nullptr || volume_ == nullptr || round != round_) return;
    stable_ = std::max(stable_, version);
    send(Ack{volume_->state().version, stable_});
  });
}

}  // namespace supercloud
