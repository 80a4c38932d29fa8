// A volume of a running store: its disk with a group commit, and who asks to hear of its changes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/link.h"
#include "core/scheduler.h"
#include "storage/simulated/memory_disk.h"

namespace supercloud {

// Timers that end with their owner. Thread-bound to the scheduler.
class OwnedTimers {
 public:
  explicit OwnedTimers(Scheduler& scheduler)
      : scheduler_(scheduler), alive_(std::make_shared<int>(0)) {}

  // Expires with the owner: for what runs elsewhere.
  std::weak_ptr<int> token() const { return alive_; }
  Instant now() const { return scheduler_.clock().now(); }
  void at(Instant when, Task task) {
    scheduler_.at(when, [alive = std::weak_ptr<int>(alive_), task = std::move(task)]() mutable {
      if (alive.lock() != nullptr) std::move(task)();
    });
  }
  void after(Duration delay, Task task) { at(now() + delay, std::move(task)); }

 private:
  Scheduler& scheduler_;
  std::shared_ptr<int> alive_;
};

struct MemoryVolumeOptions {
  std::string node;
  std::uint64_t disk_bytes = 1ULL << 40;  // for all volumes
  Duration call_latency = absl::Microseconds(50);
  Duration read_latency = absl::Microseconds(100);
  Duration write_latency = absl::Microseconds(100);
  Duration flush_latency = absl::Milliseconds(1);
  // Replication: the pace of resyncs (0: as fast as the link takes it), reconnecting, and when a silent peer counts as lost.
  std::uint64_t resync_bytes_per_second = 0;
  Duration reconnect_min = absl::Milliseconds(100);
  Duration reconnect_max = absl::Seconds(2);
  Duration stall_timeout = absl::Seconds(5);
  Duration pulse = absl::Milliseconds(100);   // how exactly it is known when a peer was heard
  std::size_t backlog_bytes_max = 256 << 10;  // on the link; more waits in the store
  // waiting for one replica; more begins again with a resync
  std::size_t pending_writes_max = 65536;
};

inline constexpr std::uint64_t block_bytes = 4096;  // what one block stands for

// Tells words that have just come from words that waited while this machine stood still: what is read now had certainly not come at the
// tick before the last. Thread-bound.
class Pulse {
 public:
  Pulse(Scheduler& scheduler, Duration interval)
      : timers_(scheduler), interval_(interval), last_(timers_.now()), before_(last_) {
    timers_.after(interval_, [this] { tick(); });
  }
  Instant before() const { return before_; }

 private:
  void tick() {
    before_ = std::exchange(last_, timers_.now());
    timers_.after(interval_, [this] { tick(); });
  }

  OwnedTimers timers_;
  const Duration interval_;
  Instant last_, before_;
};

// Thread-bound.
class StoredVolume {
 public:
  StoredVolume(std::string vm, DiskVolume& disk, Scheduler& scheduler, const Pulse& pulse,
               Duration flush_latency)
      : vm_(std::move(vm)),
        disk_(disk),
        timers_(scheduler),
        pulse_(pulse),
        flush_latency_(flush_latency) {}

  const std::string& vm() const { return vm_; }
  DiskVolume& disk() { return disk_; }
  const DiskVolume& disk() const { return disk_; }
  const VolumeState& state() const { return disk_.state(); }

  // As a replica: its source's last word, of which nothing is missing.
  const std::optional<Instant>& heard() const { return heard_; }
  void hear() { heard_ = pulse_.before(); }

  // Runs `then` once all that has been changed so far is on stable storage.
  void when_stable(Task then) {
    waiting_.emplace(disk_.position(), std::move(then));
    flush();
  }

 private:
  void flush() {
    if (flushing_ || waiting_.empty()) return;
    flushing_ = true;
    const std::uint64_t position = disk_.position();
    timers_.after(flush_latency_, [this, position] {
      flushing_ = false;
      disk_.flush(position);
      std::multimap<std::uint64_t, Task> due;
      while (!waiting_.empty() && waiting_.begin()->first <= position)
        due.insert(waiting_.extract(waiting_.begin()));
      flush();
      // A task may end this volume: nothing of it is touched after.
      for (auto& [at, task] : due) std::move(task)();
    });
  }

  std::string vm_;
  DiskVolume& disk_;
  OwnedTimers timers_;
  const Pulse& pulse_;
  Duration flush_latency_;
  bool flushing_ = false;
  std::optional<Instant> heard_;
  std::multimap<std::uint64_t, Task> waiting_;  // by position in the disk's log
};

}  // namespace supercloud
