// A folder with a RocksDB database in it that says what it is, admits one writer, and notices when something is missing.
//
//   <path>/lock     held with flock by the one writer; its text is that process's number
//   <path>/synced   16 bytes: commits known to be on stable storage (big-endian), and a check sum of that
//   <path>/rocks/   the database; column family "default" holds what it is:
//                     "kind" "format" "owner" "identity" "commits"
//
// After a power loss the end of RocksDB's write-ahead log may be torn, which must not stop a restart; but the same rule would
// pass over damaged records that had been synced, in silence. So each commit carries a number, and the number of the last
// synced one is also written to `synced`: a database that knows less is refused, untouched. (That file is not itself synced: after a
// power loss it may name less than was committed, never more.)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/write_batch.h"

namespace supercloud {

struct RocksFolderOptions {
  std::string path;
  std::string kind;                    // "event log", "lease table"
  std::uint32_t format = 1;            // newer ones are refused
  std::string owner;                   // name of the node or cluster whose it is; empty: whoever's
  std::vector<std::string> families;   // column families besides "default"
  rocksdb::Env* env = nullptr;         // the operating system's where null
};

// Thread-bound to whichever thread its owner uses for blocking work.
class RocksFolder {
 public:
  // Creates it where there is none. ResourceExhausted: disk full. DataLoss: damaged. FailedPrecondition: in use, newer, someone
  // else's, or of another kind. Each names the path and a cure.
  static absl::StatusOr<std::unique_ptr<RocksFolder>> open(RocksFolderOptions options);
  // As the folder is now, also while its writer runs. Changes nothing in it. NotFound: nothing there.
  static absl::StatusOr<std::unique_ptr<RocksFolder>> open_read_only(RocksFolderOptions options);
  ~RocksFolder();
  RocksFolder(const RocksFolder&) = delete;
  RocksFolder& operator=(const RocksFolder&) = delete;

  // Null while a failed reopen() could not even open it for reading.
  rocksdb::DB* db() const { return db_.get(); }
  rocksdb::ColumnFamilyHandle* family(std::size_t index) const { return handles_[index + 1]; }
  // Of this folder's content: drawn at random when it was made.
  const std::string& identity() const { return identity_; }
  const std::string& path() const { return options_.path; }
  // Number of the last commit in the database.
  std::uint64_t commits() const { return commits_; }

  // Writes and syncs. After a failure what it did is unknown and nothing more is taken until reopen() succeeds.
  absl::Status commit(rocksdb::WriteBatch& batch);
  bool failed() const { return failed_; }
  // Closes and opens again; then the database tells what became of the commit that failed.
  absl::Status reopen();

  // A RocksDB error as ours, with path and cure.
  absl::Status explain(const rocksdb::Status& status, std::string_view doing) const;
  absl::Status damaged(std::string_view what) const;

 private:
  enum class Mode : std::uint8_t { writer, check, standby, reader };

  explicit RocksFolder(RocksFolderOptions options) : options_(std::move(options)) {}

  absl::Status prepare_folder();
  absl::Status open_writer();
  absl::Status open_database(Mode mode);
  absl::Status check_what_it_is();
  absl::Status describe_new();
  void close_database();
  absl::StatusOr<std::string> meta(std::string_view key) const;
  std::string rocks_path() const { return options_.path + "/rocks"; }

  std::uint64_t read_witness() const;
  void write_witness();

  RocksFolderOptions options_;
  std::string secondary_path_;  // a reader's own log files; removed with it
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  std::string identity_;
  std::uint64_t commits_ = 0;
  bool failed_ = false;
  int lock_ = -1;
  int witness_ = -1;
};

// Numbers as keys and values: big-endian, so that their order is the bytes' order.
std::string to_big_endian(std::uint64_t number);
// 0 where `bytes` are not eight.
std::uint64_t from_big_endian(std::string_view bytes);

}  // namespace supercloud
