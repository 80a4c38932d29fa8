// How an event log on RocksDB forgets: the rows that go, as a part of each append's batch.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/event.h"
#include "storage/retention.h"
#include "storage/rocks_folder.h"

namespace supercloud {

// Thread-bound to whichever thread uses the folder.
class RocksRetention {
 public:
  // The oldest format that tells what the log has: 2 once it has forgotten something.
  static constexpr std::uint32_t format_of_all = 1, format = 2;

  RocksRetention(Retention limits, EventPool& pool) : limits_(limits), pool_(pool) {}

  // As the folder has it: the beginning alone, and then, as far as there is a limit for them, the bytes of the events before `next`.
  absl::Status load(const RocksFolder& folder);
  absl::Status count(const RocksFolder& folder, std::uint64_t next);

  // False: load() failed, and has to be called again.
  bool loaded() const { return loaded_; }
  const RetainedPast& past() const { return past_; }

  // An event of `bytes` is appended by the batch.
  void take(std::uint64_t bytes) { past_.take(bytes); }
  // Adds to the batch what is to be forgotten with it: of the events before `stored`, the next position before the batch; all but the last of
  // them. `next`: after it. If the batch is not committed, load() and count() have to follow.
  void forget(const RocksFolder& folder, RocksChanges& batch, std::uint64_t stored,
              std::uint64_t next, absl::Time now);
  // After a batch is committed.
  void committed(const RocksFolder& folder);
  // Adds to the batch that the bytes have to be counted anew.
  void uncount(RocksChanges& batch) const;

 private:
  void put(RocksChanges& batch, std::uint64_t bytes, std::uint64_t counted) const;

  const Retention limits_;
  EventPool& pool_;
  RetainedPast past_;
  std::optional<HybridTime> oldest_;  // of the event at past_.begins(), once it was looked at
  bool loaded_ = false;
  bool stored_ = false;        // it is in the folder
  std::uint64_t counted_ = 0;  // as the folder has it: bytes of events below this position
  std::uint64_t counted_bytes_ = 0;
  std::uint64_t removed_ = 0;  // bytes since the space was last asked back
};

}  // namespace supercloud
