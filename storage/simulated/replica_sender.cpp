#include "storage/simulated/replica_sender.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

using namespace replica_protocol;

constexpr std::size_t blocks_per_frame = 128;
constexpr Duration pump_interval = absl::Milliseconds(2);
constexpr Duration tick_interval = absl::Seconds(1);
constexpr Duration age_resolution = absl::Milliseconds(10);
constexpr std::size_t ages_max = 4096;

std::string content_of(std::uint64_t value) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

Block block_of(std::uint64_t index, const DiskBlock& block) {
  return {index, block.epoch, block.version, true, content_of(block.value)};
}

}  // namespace

ReplicaSender::ReplicaSender(StoredVolume& volume, Scheduler& scheduler, LinkNetwork& links,
                             const MemoryVolumeOptions& options, std::string node,
                             std::string endpoint, std::function<void(bool)> changed)
    : volume_(volume),
      links_(links),
      options_(options),
      node_(std::move(node)),
      endpoint_(std::move(endpoint)),
      changed_(std::move(changed)),
      backoff_(options.reconnect_min),
      timers_(scheduler) {
  if (volume_.state().version > 0) unstable_.push_back({volume_.state().version, timers_.now()});
  timers_.after(absl::ZeroDuration(), [this] { restart(); });
}

bool ReplicaSender::ready() const {
  const VolumeState& state = volume_.state();
  return state.role != VolumeStatus::Role::replica && !state.crashed && state.complete;
}

template <class Message>
void ReplicaSender::send(Message message) {
  link_->send(encode(Frame(std::move(message))));
}

void ReplicaSender::connect() {
  if (!ready()) {
    error_ = "the volume here is no source";
    return;
  }
  const std::uint64_t attempt = ++attempt_;
  heard_ = timers_.now();
  link_ = links_.connect(endpoint_, std::string(service));
  const VolumeState& state = volume_.state();
  Hello hello;
  hello.vm = volume_.vm();
  hello.source = options_.node;
  hello.epoch = state.fence;
  hello.bytes = volume_.disk().bytes();
  hello.version = state.version;
  hello.history = state.history;
  send(std::move(hello));
  link_->set_handler({
      [this, attempt](std::string frame) {
        if (attempt == attempt_ && link_ != nullptr) on_frame(frame);
      },
      [this, attempt](absl::Status why) {
        if (attempt == attempt_) drop(std::string(why.message()), true);
      },
  });
  timers_.after(tick_interval, [this, attempt] {
    if (attempt == attempt_) tick();
  });
}

void ReplicaSender::drop(std::string why, bool retry) {
  const std::uint64_t attempt = ++attempt_;
  // A link is not destroyed inside its own callback.
  if (link_ != nullptr) {
    retired_.push_back(std::move(link_));
    timers_.after(absl::ZeroDuration(), [this] { retired_.clear(); });
  }
  error_ = std::move(why);
  inventory_.clear();
  differing_.clear();
  pending_.clear();
  syncing_ = streaming_ = false;
  const bool was = std::exchange(connected_, false);
  caught_up_ = false;
  if (was) changed_(true);
  if (!retry) return;
  timers_.after(backoff_, [this, attempt] {
    if (attempt == attempt_ && link_ == nullptr) connect();
  });
  backoff_ = std::min(backoff_ * 2, options_.reconnect_max);
}

void ReplicaSender::restart() {
  drop("connecting", false);
  backoff_ = options_.reconnect_min;
  connect();
}

void ReplicaSender::set_endpoint(std::string endpoint) {
  if (endpoint == endpoint_) return;
  endpoint_ = std::move(endpoint);
  restart();
}

void ReplicaSender::tick() {
  const bool waiting = !connected_ || stable_ < volume_.state().version || !caught_up_;
  if (waiting && timers_.now() - heard_ > options_.stall_timeout) {
    drop(absl::StrCat("no answer for ", absl::FormatDuration(options_.stall_timeout)), true);
    return;
  }
  if (!waiting) heard_ = timers_.now();
  timers_.after(tick_interval, [this, attempt = attempt_] {
    if (attempt == attempt_) tick();
  });
}

void ReplicaSender::on_frame(std::string_view bytes) {
  auto frame = decode(bytes);
  if (!frame.ok()) return drop(std::string(frame.status().message()), true);
  heard_ = timers_.now();
  if (auto* inventory = std::get_if<Inventory>(&*frame)) {
    if (inventory->first) {
      inventory_.clear();
      caught_up_ = false;
    }
    inventory_.insert(inventory_.end(), inventory->entries.begin(), inventory->entries.end());
    if (inventory->last) begin_sync();
  } else if (auto* ack = std::get_if<Ack>(&*frame)) {
    received_ = ack->received;
    stable_ = ack->stable;
    while (!unstable_.empty() && unstable_.front().version <= stable_) unstable_.pop_front();
    if (!caught_up_ && streaming_ && !syncing_ && stable_ >= sync_version_) {
      caught_up_ = true;
      backoff_ = options_.reconnect_min;
      changed_(true);
    } else {
      changed_(false);
    }
  } else if (auto* refuse = std::get_if<Refuse>(&*frame)) {
    backoff_ = std::max(backoff_, absl::Seconds(1));
    drop(absl::StrCat(node_, " refuses: ", refuse->why), true);
    changed_(true);
  } else {
    drop(absl::StrCat(node_, " sent what only a source sends"), true);
  }
}

void ReplicaSender::begin_sync() {
  connected_ = true;
  error_.clear();
  differing_.clear();
  pending_.clear();  // all of it is in what is compared now
  const DiskBlocks& blocks = volume_.disk().blocks();
  auto theirs = inventory_.begin();
  for (auto mine = blocks.begin(); mine != blocks.end() || theirs != inventory_.end();) {
    if (mine == blocks.end() || (theirs != inventory_.end() && theirs->index < mine->first)) {
      differing_.push_back({theirs->index, 0, 0, false, {}});
      ++theirs;
      continue;
    }
    const auto& [index, block] = *mine;
    const bool both = theirs != inventory_.end() && theirs->index == index;
    const bool same = both && theirs->epoch == block.epoch && theirs->version == block.version &&
                      theirs->check == block_digest(index, block.value);
    if (!same) differing_.push_back(block_of(index, block));
    if (both) ++theirs;
    ++mine;
  }
  inventory_.clear();
  sync_version_ = volume_.state().version;
  sync_digest_ = volume_.disk().digest();
  received_ = stable_ = 0;
  syncing_ = streaming_ = true;
  changed_(true);
  pump();
}

void ReplicaSender::wrote(std::uint64_t index, const DiskBlock& block) {
  const Instant now = timers_.now();
  if (!unstable_.empty() &&
      (now - unstable_.back().since < age_resolution || unstable_.size() >= ages_max)) {
    unstable_.back().version = block.version;
  } else {
    unstable_.push_back({block.version, now});
  }
  if (!streaming_) return;
  if (pending_.size() >= options_.pending_writes_max) {
    drop("the replica fell too far behind: beginning again", true);
    return;
  }
  pending_.push_back(block_of(index, block));
  pump();
}

void ReplicaSender::flushed() {
  if (streaming_) pump();
}

void ReplicaSender::pump() {
  const auto more = [this] {
    return syncing_ || !pending_.empty() || volume_.state().flushed > flushed_sent_;
  };
  while (link_ != nullptr && more() && link_->backlog() < options_.backlog_bytes_max) {
    if (!differing_.empty()) {
      if (timers_.now() < paced_until_) break;
      Blocks message;
      while (!differing_.empty() && message.blocks.size() < blocks_per_frame) {
        message.blocks.push_back(std::move(differing_.front()));
        differing_.pop_front();
      }
      if (options_.resync_bytes_per_second > 0) {
        const auto bytes = static_cast<std::int64_t>(message.blocks.size() * block_bytes);
        paced_until_ =
            std::max(paced_until_, timers_.now()) +
            absl::Nanoseconds(bytes * 1'000'000'000 /
                              static_cast<std::int64_t>(options_.resync_bytes_per_second));
      }
      send(std::move(message));
    } else if (syncing_) {
      syncing_ = false;
      // What was flushed since the comparison is told after the writes that it covers.
      flushed_sent_ = std::min(volume_.state().flushed, sync_version_);
      send(Synced{sync_version_, sync_digest_, flushed_sent_});
    } else if (!pending_.empty()) {
      Writes message;
      while (!pending_.empty() && message.blocks.size() < blocks_per_frame) {
        message.blocks.push_back(std::move(pending_.front()));
        pending_.pop_front();
      }
      send(std::move(message));
    } else {
      flushed_sent_ = volume_.state().flushed;
      send(Flushed{flushed_sent_});
    }
  }
  if (link_ == nullptr || !streaming_ || !more() || pump_armed_) return;
  pump_armed_ = true;
  timers_.at(std::max(timers_.now() + pump_interval, differing_.empty() ? Instant{} : paced_until_),
             [this] {
               pump_armed_ = false;
               if (streaming_) pump();
             });
}

ReplicaStatus ReplicaSender::status() const {
  ReplicaStatus status;
  status.node = node_;
  status.error = error_;
  status.connected = connected_;
  status.caught_up = caught_up_;
  status.version_received = received_;
  status.version_stable = stable_;
  const std::uint64_t version = volume_.state().version;
  const std::uint64_t writes =
      connected_ && streaming_ && !syncing_ && version > stable_ ? version - stable_ : 0;
  const std::uint64_t blocks =
      connected_ ? differing_.size() + pending_.size() : volume_.disk().blocks().size();
  status.lag_bytes = std::max(writes, blocks) * block_bytes;
  status.lag = unstable_.empty() ? absl::ZeroDuration() : timers_.now() - unstable_.front().since;
  return status;
}

}  // namespace supercloud
