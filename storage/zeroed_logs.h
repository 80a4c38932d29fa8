// RocksDB's logs, written into bytes that are there already.
//
// A commit is a write to the end of a log and a sync. Where that makes the file longer, the file system has to put its new length, and
// the place of what is new, on the disk as well, which costs as much again as the bytes themselves. So in front of what is written the log is kept
// filled with zeros, a piece at a time: most commits then write over bytes that the file has, and their sync is of these alone.
//
// RocksDB reads a log up to its zeros and goes on to its end: it takes them for what an allocation in advance leaves there. A log that is
// closed has none. Where power fails while a commit is synced, any of its pages may be zeros: whoever writes through this has one record under
// way at a time, and syncs each.
#pragma once

#include <memory>

#include "rocksdb/env.h"

namespace supercloud {

// The files of `env` with logs written so. Thread-safe.
std::unique_ptr<rocksdb::Env> env_of_zeroed_logs(rocksdb::Env& env);

}  // namespace supercloud
