// How an event log on RocksDB finds what an origin has said: by the family "streams" (rocks_event_log.h), whose rows tell where in the log each
// commit of an origin begins. Between two rows, and behind the last, the log is looked through.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/event_log.h"
#include "storage/origin_book.h"
#include "storage/retention.h"
#include "storage/rocks_folder.h"

namespace supercloud {

// The event that is stored at a position.
absl::StatusOr<Event> event_at(const RocksFolder& folder, EventPool& pool, std::uint64_t position,
                               std::string_view bytes);

// A log as it is for one call. Thread-bound to whichever thread uses the folder.
class RocksStreams {
 public:
  struct Log {
    const RocksFolder& folder;
    EventPool& pool;
    const RetainedPast& past;
    const OriginBook& origins;
    std::uint64_t end = 0;     // of what is in it, a position
    std::size_t scan_max = 0;  // events looked at for one part
  };

  explicit RocksStreams(const Log& log) : log_(log) {}

  // As EventLog.
  absl::StatusOr<StreamPart> read(const StreamRange& range, std::size_t bytes_max) const;
  absl::StatusOr<std::uint64_t> seek(const LogBeginning& beginning, const Pattern& pattern) const;

  // The rows of a log that has none: earlier programs wrote none.
  absl::StatusOr<RocksChanges> index() const;

 private:
  // Where to look for the first event of the range.
  absl::StatusOr<std::uint64_t> position_of(const StreamRange& range) const;
  // Behind the stand, and not older; the log's end: there is nothing.
  absl::StatusOr<std::uint64_t> behind(std::string_view origin, OriginStands::Stand stand) const;
  absl::StatusOr<std::uint64_t> since(std::string_view origin, HybridTime time) const;
  // Whether the event there is older, or forgotten.
  absl::StatusOr<bool> is_older(std::uint64_t position, HybridTime time) const;
  // Of a stream's first row in the log behind it, of whichever later incarnation.
  std::uint64_t end_of(const StreamRange& range) const;

  const Log log_;
};

}  // namespace supercloud
