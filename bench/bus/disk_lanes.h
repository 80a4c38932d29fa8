// Durable events until they are on disk, and the same bytes written and synced by hand.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

namespace supercloud {

class DiskLane {
 public:
  virtual ~DiskLane() = default;
  // Seconds until so many events that are published together are on stable storage.
  virtual absl::StatusOr<double> store(int together) = 0;
};

// A node's actor publishes; the log is RocksDB's.
absl::StatusOr<std::unique_ptr<DiskLane>> log_lane();
// One write of as many bytes for each, and one fdatasync, in one file that grows.
std::unique_ptr<DiskLane> file_lane();

}  // namespace supercloud
