#include "storage/simulated/memory_volume.h"

#include <algorithm>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "core/vm_name.h"

namespace supercloud {

using Role = VolumeStatus::Role;

struct MemoryVolumeStore::Volume {
  struct Flush {
    std::uint64_t version = 0;
    bool stable = false;  // here
    Reply<Done> reply;
  };

  Volume(std::string vm, DiskVolume& disk, Scheduler& scheduler, const Pulse& pulse,
         Duration flush_latency)
      : stored(std::move(vm), disk, scheduler, pulse, flush_latency) {}

  StoredVolume stored;
  // Grows when this becomes another's replica: what a guest is still waiting for then is never answered.
  std::uint64_t service = 0;
  Instant deadline = far_future;
  std::deque<std::shared_ptr<Flush>> flushes;                     // of the guest, oldest first
  std::map<std::string, std::unique_ptr<ReplicaSender>> senders;  // by node
  ReplicaReceiver* stream = nullptr;
};

struct MemoryVolumeStore::Verify {
  std::uint64_t id = 0;
  Seal seal;
  Reply<Done> reply;
  bool closing = false;  // content is right and on its way to stable storage
};

MemoryVolumeStore::MemoryVolumeStore(MemoryDisk& disk, Scheduler& scheduler, LinkNetwork& links,
                                     MemoryVolumeOptions options)
    : disk_(disk),
      scheduler_(scheduler),
      links_(links),
      options_(std::move(options)),
      timers_(scheduler),
      pulse_(scheduler, options_.pulse) {
  for (auto& [vm, volume] : disk_.volumes()) open(vm);
  // Fails if an earlier store of this host listened on the same network: the network is a process's own, so that is a bug there.
  const absl::Status listening = links_.listen(
      std::string(replica_protocol::service),
      [this, alive = timers_.token()](std::unique_ptr<Link> link) {
        if (alive.lock() == nullptr) return;
        ReplicaHost& host = *this;
        streams_.push_back(std::make_unique<ReplicaReceiver>(host, scheduler_, std::move(link)));
      });
  if (!listening.ok())
    ABSL_RAW_LOG(FATAL, "volume store: %s", std::string(listening.message()).c_str());
}

MemoryVolumeStore::~MemoryVolumeStore() {
  while (!streams_.empty()) streams_.pop_front();
}

template <class T>
void MemoryVolumeStore::answer(Duration latency, Reply<T> reply, absl::StatusOr<T> value) {
  timers_.after(latency, [reply = std::move(reply), value = std::move(value)]() mutable {
    reply(std::move(value));
  });
}

MemoryVolumeStore::Volume* MemoryVolumeStore::find(const std::string& vm) {
  auto found = volumes_.find(vm);
  return found == volumes_.end() ? nullptr : found->second.get();
}

const MemoryVolumeStore::Volume* MemoryVolumeStore::find(const std::string& vm) const {
  auto found = volumes_.find(vm);
  return found == volumes_.end() ? nullptr : found->second.get();
}

MemoryVolumeStore::Volume& MemoryVolumeStore::open(const std::string& vm) {
  auto& volume = volumes_[vm];
  volume = std::make_unique<Volume>(vm, disk_.volumes().at(vm), scheduler_, pulse_,
                                    options_.flush_latency);
  return *volume;
}

VolumeStatus MemoryVolumeStore::status(const Volume& volume) const {
  const DiskVolume& disk = volume.stored.disk();
  const VolumeState& state = disk.state();
  VolumeStatus status;
  status.vm = volume.stored.vm();
  status.role = state.role;
  status.epoch = state.fence;
  status.closed = state.closed;
  status.version = state.version;
  status.version_stable = std::min(disk.version_stable(), state.version);
  status.version_flushed = state.flushed;
  status.digest = disk.digest();
  status.bytes = disk.bytes();
  status.complete = state.complete;
  status.crashed = state.crashed;
  status.streaming = volume.stream != nullptr;
  status.heard = volume.stored.heard();
  for (const auto& flush : volume.flushes) status.flushes_waiting += flush->stable ? 1 : 0;
  return status;
}

// ---- life cycle -------------------------------------------------------------------------------------------------

std::uint64_t MemoryVolumeStore::bytes_free() const {
  std::uint64_t left = options_.disk_bytes;
  for (const auto& [vm, volume] : volumes_) left -= std::min(left, volume->stored.disk().bytes());
  return left;
}

absl::Status MemoryVolumeStore::check_new(const std::string& vm, std::uint64_t bytes) const {
  if (absl::Status named = VmName::check(vm); !named.ok()) return named;
  if (absl::Status admitted = disk_.admits(vm); !admitted.ok()) return admitted;
  const std::uint64_t left = bytes_free();
  if (bytes <= left) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the disk of ", options_.node, " has ", left >> 20U, " MiB left, the volume of ",
                   vm, " needs ", bytes >> 20U, ": use a node with more room"));
}

void MemoryVolumeStore::create(std::string vm, std::uint64_t bytes, Reply<VolumeStatus> reply) {
  Volume* volume = find(vm);
  if (volume == nullptr) {
    if (absl::Status refused = check_new(vm, bytes); !refused.ok())
      return answer<VolumeStatus>(options_.call_latency, std::move(reply), std::move(refused));
    disk_.make(vm, bytes);
    volume = &open(vm);
  }
  answer<VolumeStatus>(options_.call_latency, std::move(reply), status(*volume));
}

void MemoryVolumeStore::serve(std::string vm, Epoch epoch, Reply<VolumeStatus> reply) {
  const auto refuse = [&](absl::Status why) {
    answer<VolumeStatus>(options_.call_latency, std::move(reply), std::move(why));
  };
  Volume* volume = find(vm);
  if (volume == nullptr)
    return refuse(absl::NotFoundError(absl::StrCat(options_.node, " has no volume of ", vm)));
  VolumeState state = volume->stored.state();
  const bool serving = state.role == Role::serving && state.fence == epoch && !state.crashed;
  if (!serving) {
    if (epoch == 0 || epoch <= state.closed || epoch < state.fence ||
        (epoch == state.fence && state.fence > 0)) {
      return refuse(absl::FailedPreconditionError(
          absl::StrCat("volume of ", vm, " on ", options_.node, " is fenced at epoch ", state.fence,
                       " (closed to ", state.closed, "): it serves only an epoch above that, and ",
                       epoch, " is not")));
    }
    if (!state.complete) {
      return refuse(absl::FailedPreconditionError(
          absl::StrCat("volume of ", vm, " on ", options_.node,
                       " has no complete content: let it replicate from the holder first")));
    }
    state.role = Role::serving;
    state.fence = epoch;
    state.lineage = epoch;
    state.crashed = false;
    state.history.push_back({epoch, state.version + 1});
    volume->stored.disk().update(state);
    detach(*volume, absl::StrCat(options_.node, " serves epoch ", epoch, " itself"));
    for (auto& [node, sender] : volume->senders) sender->restart();
    check_verifies(vm);
    changed(vm);
  }
  answer<VolumeStatus>(options_.call_latency, std::move(reply), status(*volume));
}

void MemoryVolumeStore::seal(std::string vm, Epoch epoch, Reply<Seal> reply) {
  Volume* volume = find(vm);
  if (volume == nullptr) {
    return answer<Seal>(options_.call_latency, std::move(reply),
                        absl::NotFoundError(absl::StrCat(options_.node, " has no volume of ", vm)));
  }
  VolumeState state = volume->stored.state();
  if (state.role == Role::replica || state.fence != epoch || state.crashed) {
    return answer<Seal>(
        options_.call_latency, std::move(reply),
        absl::FailedPreconditionError(absl::StrCat(
            "volume of ", vm, " on ", options_.node, " does not serve epoch ", epoch,
            state.crashed ? ": its host crashed while it did" : ": it stands at epoch ",
            state.crashed ? "" : absl::StrCat(state.fence))));
  }
  if (state.role == Role::serving) {
    state.role = Role::sealed;
    volume->stored.disk().update(state);
  }
  const Seal seal{epoch, state.version, volume->stored.disk().digest()};
  volume->stored.when_stable([this, vm, seal, reply = std::move(reply)]() mutable {
    changed(vm);
    answer<Seal>(options_.call_latency, std::move(reply), seal);
  });
}

void MemoryVolumeStore::destroy(std::string vm, Reply<Done> reply) {
  if (Volume* volume = find(vm); volume != nullptr) {
    detach(*volume, absl::StrCat("the volume on ", options_.node, " was destroyed"));
    volumes_.erase(vm);
    disk_.remove(vm);
    changed(vm);
  }
  answer<Done>(options_.call_latency, std::move(reply), Done{});
}

std::vector<VolumeStatus> MemoryVolumeStore::list() const {
  std::vector<VolumeStatus> all;
  for (const auto& [vm, volume] : volumes_) all.push_back(status(*volume));
  return all;
}

// ---- verify -----------------------------------------------------------------------------------------------------

void MemoryVolumeStore::verify(std::string vm, Seal seal, Reply<Done> reply) {
  const Instant deadline = reply.deadline();
  const std::uint64_t id = ++verifies_made_;
  verifies_[vm].push_back({id, seal, std::move(reply)});
  if (deadline < far_future) {
    timers_.at(deadline, [this, vm, id] {
      auto waiting = verifies_.find(vm);
      if (waiting == verifies_.end()) return;
      for (auto verify = waiting->second.begin(); verify != waiting->second.end(); ++verify) {
        if (verify->id != id) continue;
        Reply<Done> late = std::move(verify->reply);
        waiting->second.erase(verify);
        return late(absl::DeadlineExceededError(
            absl::StrCat("the replica of ", vm, " on ", options_.node,
                         " did not come to the seal's content in time")));
      }
    });
  }
  timers_.after(options_.call_latency, [this, vm] { check_verifies(vm); });
}

void MemoryVolumeStore::check_verifies(const std::string& vm) {
  auto found = verifies_.find(vm);
  if (found == verifies_.end()) return;
  std::deque<Verify>& waiting = found->second;
  for (auto verify = waiting.begin(); verify != waiting.end();) {
    Volume* volume = find(vm);
    const Seal& seal = verify->seal;
    if (volume == nullptr || verify->closing) {
      ++verify;
      continue;
    }
    VolumeState state = volume->stored.state();
    if (state.fence > seal.epoch || state.role != Role::replica) {
      answer<Done>(
          absl::ZeroDuration(), std::move(verify->reply),
          absl::FailedPreconditionError(absl::StrCat(
              "volume of ", vm, " on ", options_.node,
              state.role == Role::replica ? " is" : " is no replica and", " fenced at epoch ",
              state.fence, ": a seal of epoch ", seal.epoch, " is history")));
      verify = waiting.erase(verify);
      continue;
    }
    const bool standing = volume->stream != nullptr && volume->stream->staging();
    const bool equal =
        state.version == seal.version && volume->stored.disk().digest() == seal.digest;
    if (standing || !state.complete || !equal) {
      // At or beyond the seal's version and yet another content: only comparing anew can help.
      if (!standing && !equal && state.version >= seal.version && volume->stream != nullptr &&
          volume->stream->epoch() == seal.epoch) {
        volume->stream->resync();
      }
      ++verify;
      continue;
    }
    // Closed in the step that saw the content right, so that it stays right; said once that is stable.
    state.fence = std::max(state.fence, seal.epoch);
    state.closed = std::max(state.closed, seal.epoch);
    volume->stored.disk().update(state);
    verify->closing = true;
    volume->stored.when_stable([this, vm, id = verify->id] {
      auto closing = verifies_.find(vm);
      if (closing == verifies_.end()) return;
      for (auto done = closing->second.begin(); done != closing->second.end(); ++done) {
        if (done->id != id) continue;
        answer<Done>(absl::ZeroDuration(), std::move(done->reply), Done{});
        closing->second.erase(done);
        break;
      }
      changed(vm);
    });
    ++verify;
  }
  if (waiting.empty()) verifies_.erase(found);
}

// ---- replication ------------------------------------------------------------------------------------------------

void MemoryVolumeStore::replicate(std::string vm, std::string node, std::string endpoint) {
  Volume* volume = find(vm);
  if (volume == nullptr) return;  // asked again when there is one
  auto& sender = volume->senders[node];
  if (sender != nullptr) return sender->set_endpoint(std::move(endpoint));
  sender = std::make_unique<ReplicaSender>(
      volume->stored, scheduler_, links_, options_, node, std::move(endpoint),
      [this, vm](bool worth_a_look) { changed(vm, worth_a_look); });
}

void MemoryVolumeStore::stop_replicating(std::string vm, std::string node) {
  Volume* volume = find(vm);
  if (volume != nullptr && volume->senders.erase(node) > 0) changed(vm);
}

std::vector<ReplicaStatus> MemoryVolumeStore::replicas(const std::string& vm) const {
  std::vector<ReplicaStatus> all;
  if (const Volume* volume = find(vm); volume != nullptr) {
    for (const auto& [node, sender] : volume->senders) all.push_back(sender->status());
  }
  return all;
}

void MemoryVolumeStore::set_sync_peers(std::string vm, std::vector<std::string> nodes) {
  Volume* volume = find(vm);
  if (volume == nullptr) return;
  VolumeState state = volume->stored.state();
  if (state.sync_peers == nodes) return;
  state.sync_peers = std::move(nodes);
  volume->stored.disk().update(state);
  changed(vm);
}

absl::StatusOr<StoredVolume*> MemoryVolumeStore::accept(ReplicaReceiver& stream,
                                                        const replica_protocol::Hello& hello) {
  Volume* volume = find(hello.vm);
  if (volume == nullptr) {
    if (absl::Status refused = check_new(hello.vm, hello.bytes); !refused.ok()) return refused;
    disk_.make(hello.vm, hello.bytes);
    volume = &open(hello.vm);
  }
  VolumeState state = volume->stored.state();
  const bool own = state.role != Role::replica && hello.epoch == state.fence;
  if (hello.epoch < state.fence || hello.epoch <= state.closed || own) {
    return absl::FailedPreconditionError(absl::StrCat(
        "volume of ", hello.vm, " on ", options_.node, own ? " serves" : " is fenced at", " epoch ",
        state.fence, ", closed to ", state.closed, ": no blocks of epoch ", hello.epoch));
  }
  detach(*volume, "another stream took its place");
  if (state.role != Role::replica) {
    // The epoch that was served here has ended elsewhere, and with it every copy that waits for an answer.
    ++volume->service;
    volume->flushes.clear();
  }
  const std::uint64_t branch =
      replica_protocol::branch_point(hello.history, hello.version, state.history, state.version);
  const bool fresh = state.lineage == 0 && hello.version > 0;
  if (fresh || state.version > branch) state.complete = false;
  state.role = Role::replica;
  state.fence = hello.epoch;
  state.crashed = false;
  state.sync_peers.clear();
  volume->stored.disk().update(state);
  volume->stream = &stream;
  for (auto& [node, sender] : volume->senders) sender->restart();
  check_verifies(hello.vm);
  changed(hello.vm);
  return &volume->stored;
}

Epoch MemoryVolumeStore::fence(const std::string& vm) const {
  const Volume* volume = find(vm);
  return volume == nullptr ? 0 : volume->stored.state().fence;
}

void MemoryVolumeStore::applied(const std::string& vm) { check_verifies(vm); }

void MemoryVolumeStore::ended(ReplicaReceiver& stream) {
  if (Volume* volume = find(stream.vm()); volume != nullptr && volume->stream == &stream) {
    volume->stream = nullptr;
    changed(stream.vm());
  }
  timers_.after(absl::ZeroDuration(), [this, ended = &stream] {
    std::erase_if(streams_, [ended](const auto& each) { return each.get() == ended; });
  });
}

void MemoryVolumeStore::detach(Volume& volume, const std::string& why) {
  if (volume.stream != nullptr) std::exchange(volume.stream, nullptr)->detach(why);
}

void MemoryVolumeStore::arm(const std::string& vm, Instant deadline) {
  if (Volume* volume = find(vm)) volume->deadline = deadline;
}

// ---- guest I/O --------------------------------------------------------------------------------------------------

bool MemoryVolumeStore::takes(const Volume& volume, Epoch epoch) {
  const VolumeState& state = volume.stored.state();
  if (state.role == Role::serving && state.fence == epoch && !state.crashed &&
      scheduler_.clock().now() < volume.deadline)
    return true;
  ++held_;
  return false;
}

void MemoryVolumeStore::write(const std::string& vm, Epoch epoch, std::uint64_t block,
                              std::uint64_t value, Reply<Done> reply) {
  Volume* volume = find(vm);
  if (volume == nullptr)
    return answer<Done>(options_.call_latency, std::move(reply), absl::NotFoundError(vm));
  if (!takes(*volume, epoch)) return;
  DiskVolume& disk = volume->stored.disk();
  if (block >= disk.bytes() / block_bytes) {
    return answer<Done>(
        options_.call_latency, std::move(reply),
        absl::OutOfRangeError(absl::StrCat("block ", block, " of ", vm, ": the volume has ",
                                           disk.bytes() / block_bytes)));
  }
  const DiskBlock written{value, epoch, disk.state().version + 1};
  disk.write(block, written);
  for (auto& [node, sender] : volume->senders) sender->wrote(block, written);
  timers_.after(options_.write_latency, [this, vm, service = volume->service,
                                         reply = std::move(reply)]() mutable {
    const Volume* now = find(vm);
    if (now != nullptr && now->service == service && scheduler_.clock().now() < now->deadline)
      reply(Done{});
  });
}

void MemoryVolumeStore::read(const std::string& vm, Epoch epoch, std::uint64_t block,
                             Reply<std::uint64_t> reply) {
  Volume* volume = find(vm);
  if (volume == nullptr)
    return answer<std::uint64_t>(options_.call_latency, std::move(reply), absl::NotFoundError(vm));
  if (!takes(*volume, epoch)) return;
  const DiskBlocks& blocks = volume->stored.disk().blocks();
  auto found = blocks.find(block);
  answer<std::uint64_t>(options_.read_latency, std::move(reply),
                        found == blocks.end() ? 0 : found->second.value);
}

void MemoryVolumeStore::flush(const std::string& vm, Epoch epoch, Reply<Done> reply) {
  Volume* volume = find(vm);
  if (volume == nullptr)
    return answer<Done>(options_.call_latency, std::move(reply), absl::NotFoundError(vm));
  if (!takes(*volume, epoch)) return;
  auto flush = std::make_shared<Volume::Flush>();
  flush->version = volume->stored.state().version;
  flush->reply = std::move(reply);
  volume->flushes.push_back(flush);
  volume->stored.when_stable([this, vm, flush] {
    flush->stable = true;
    check_flushes(vm);
    if (flush->reply) changed(vm);  // it waits for a peer
  });
}

void MemoryVolumeStore::check_flushes(const std::string& vm) {
  Volume* volume = find(vm);
  if (volume == nullptr) return;
  while (!volume->flushes.empty()) {
    auto flush = volume->flushes.front();
    bool everywhere = flush->stable;
    for (const std::string& node : volume->stored.state().sync_peers) {
      auto sender = volume->senders.find(node);
      everywhere = everywhere && sender != volume->senders.end() &&
                   sender->second->has_stable(flush->version);
    }
    if (!everywhere) return;
    volume->flushes.pop_front();
    VolumeState state = volume->stored.state();
    if (flush->version > state.flushed) {
      state.flushed = flush->version;
      volume->stored.disk().update(state);
      for (auto& [node, sender] : volume->senders) sender->flushed();
    }
    answer<Done>(absl::ZeroDuration(), std::move(flush->reply), Done{});
  }
}

// ---- watch ------------------------------------------------------------------------------------------------------

void MemoryVolumeStore::watch(std::function<void(const std::string& vm)> look) {
  watchers_.push_back(std::move(look));
}

void MemoryVolumeStore::changed(const std::string& vm, bool worth_a_look) {
  bool& watched = changed_[vm];
  watched = watched || worth_a_look;
  if (std::exchange(look_armed_, true)) return;
  timers_.after(absl::ZeroDuration(), [this] { look(); });
}

void MemoryVolumeStore::look() {
  look_armed_ = false;
  const std::map<std::string, bool> all = std::exchange(changed_, {});
  for (const auto& [vm, watched] : all) {
    check_flushes(vm);
    for (std::size_t i = 0; watched && i < watchers_.size(); ++i) watchers_[i](vm);
  }
}

}  // namespace supercloud
