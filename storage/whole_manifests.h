// RocksDB's list of its files, read up to its last whole record.
//
// RocksDB appends to its list (MANIFEST-…) and syncs it. A power loss between the two may leave what was appended there in part, of zeros or of
// whatever the disk held. RocksDB takes a list that is cut short, but refuses to open one that ends in bytes of no meaning, although nothing
// that it had promised is in them. Read through this file system, a list ends in front of them.
//
// Damage with a whole record behind it is none of that and is left for RocksDB to find. Damage to the last record of a list that was
// synced looks the same as a torn end: who opens a database through this has to see by itself that nothing is missing.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "rocksdb/env.h"

namespace supercloud {

// How many bytes of a list to read: up to its last whole record where no record follows, all of them otherwise.
// Format: "Write Ahead Log File Format" in RocksDB's wiki, without recycled files; the list is kept in it too.
std::size_t whole_records_of(std::string_view manifest);

// The files of `env` with lists read so; threads and clocks are the operating system's. Thread-safe; `env` outlives it.
std::unique_ptr<rocksdb::Env> env_of_whole_manifests(rocksdb::Env& env);

}  // namespace supercloud
