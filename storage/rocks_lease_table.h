// The lease table of a cluster, on RocksDB, in the one process that is its site.
//
//   family "leases":   key -> stored lease (storage/lease_codec.h)
//   family "sessions": session id -> Request message with `openSession`; the live sessions only
//   family "default":  "sessions_opened" -> how many there ever were (8 bytes big-endian)
//                      "epochs_removed" -> the highest epoch of a record that was removed (likewise)
//
// One write batch with one sync for all calls that waited together. Reads are answered from memory, which never holds more than what
// is synced.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/durable_lease_table.h"

namespace rocksdb {
class Env;
}

namespace supercloud {

struct RocksLeaseTableOptions {
  std::string path;
  std::string cluster;  // whose table it is; another's is refused; empty: whoever's
  LeaseTableOptions table;
  rocksdb::Env* env = nullptr;  // for tests: a disk that fails
};

// Blocks. FailedPrecondition: in use by another process, newer, or another's; DataLoss: damaged; ResourceExhausted: disk full.
// The table is thread-bound to `scheduler`, which must outlive it; its blocking work runs on a thread of its own.
absl::StatusOr<std::unique_ptr<LeaseTable>> open_rocks_lease_table(Scheduler& scheduler,
                                                                   RocksLeaseTableOptions options);

}  // namespace supercloud
