// What is written down about a copy, in the file "state" of its folder: what neither its keeper nor its QEMU knows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/event.h"
#include "core/units.h"

namespace supercloud {

struct QemuRecord {
  std::string vm;
  std::string address;
  std::uint64_t memory_bytes = 0;
  Epoch epoch = 0;
  bool own = false;
  EventId migration;       // that brings it, or sends it
  std::string endpoint;    // of the target of the latter
  bool post_copy = false;  // incoming: a part of its memory is enough for it to execute
  EventId brought;         // own: by this migration
  bool rest = false;       // of its memory is not here yet

  std::string to_text() const;
  static absl::StatusOr<QemuRecord> from_text(std::string_view text);

  static constexpr const char* file = "state";
  // In one step, so that a reader finds the record before or after it. Not flushed to the disk, which a blackout would wait for: the
  // record outlives its daemon, and like its guest not the machine; a folder whose record is torn is swept when it is needed.
  absl::Status save(const std::string& folder) const;
  // NotFound: there is none. DataLoss names the file.
  static absl::StatusOr<QemuRecord> load(const std::string& folder);
};

}  // namespace supercloud
