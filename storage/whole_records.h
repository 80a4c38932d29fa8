// RocksDB's list of its files and its logs, read up to their last whole record.
//
// RocksDB appends to its list (MANIFEST-…) and syncs it. A power loss between the two may leave what was appended there in part, of zeros or of
// whatever the disk held. RocksDB takes a list that is cut short, but refuses to open one that ends in bytes of no meaning, although nothing
// that it had promised is in them. Read through this file system, a list ends in front of them.
//
// Logs have zeros behind their end (zeroed_logs.h). A record that is cut short in front of these is no error to who opens a database for writing,
// but to one who reads it meanwhile. So a log that ends in a zero ends in front of such a record, too.
//
// Damage with the beginning of a record behind it is none of that and is left for RocksDB to find. Damage to the last record of a list that was
// synced looks the same as a torn end: who opens a database through this has to see by itself that nothing is missing.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "rocksdb/env.h"

namespace supercloud {

// How many bytes of a list or log to read: up to its last whole record where none begins behind that, all of them otherwise.
// Format: "Write Ahead Log File Format" in RocksDB's wiki, without recycled files; the list is kept in it too.
std::size_t whole_records_of(std::string_view file);

// The files of `env` with lists and logs read so; threads and clocks are the operating system's. Thread-safe; `env` outlives it.
std::unique_ptr<rocksdb::Env> env_of_whole_records(rocksdb::Env& env);

}  // namespace supercloud
