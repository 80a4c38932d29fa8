// Durable events until they are on disk (and, in bench/, the same bytes written and synced by hand).
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"

namespace supercloud {

class DiskLane {
 public:
  virtual ~DiskLane() = default;
  // Seconds until so many events that are published together are on stable storage.
  virtual absl::StatusOr<double> store(int together) = 0;
};

// A node's actor publishes; the log is RocksDB's, in a folder of its own below `parent` that goes with the lane. Empty: below the system's for
// temporary files. `signs`: as a node with a key does, each group commit with a checkpoint of it.
absl::StatusOr<std::unique_ptr<DiskLane>> log_lane(const std::filesystem::path& parent = {},
                                                   bool signs = false);

}  // namespace supercloud
