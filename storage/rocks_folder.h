// A folder with a RocksDB database in it that says what it is, admits one writer, and notices when something is missing.
//
//   <path>/lock     held with flock by the one writer; its text is that process's number
//   <path>/synced   16 bytes: commits known to be on stable storage (big-endian), and a check sum of that
//   <path>/rocks/   the database; column family "default" holds what it is:
//                     "kind" "format" "owner" "identity"
//                   and each family, under the empty key: number of the last commit, sum of the rows' hashes (8 bytes
//                   big-endian each; the sum is 0 for families marked large)
//
// After a power loss the ends of RocksDB's write-ahead log and of its list of files (whole_records.h) may be torn, which must not stop a
// restart; but the same rule would pass over damaged records that had been synced, in silence. So each commit carries a number, and the number of the last
// synced one is also written to `synced`: a database that knows less is refused, untouched. The number stands in every family,
// because damage to RocksDB's list of files can take one family back and not the others, and with it the sum of what is there,
// because it can also take a part of a family back. (`synced` is not itself synced:
// after a power loss it may name less than was committed, never more.)
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"

namespace supercloud {

struct RocksFamily {
  std::string name;
  // Not summed, nor read at opening: its owner sees by itself when rows are missing or old.
  bool large = false;
};

// What one commit changes. Keys are not empty.
class RocksChanges {
 public:
  static constexpr std::size_t in_default = SIZE_MAX;  // the family "default"

  void put(std::size_t family, std::string key, std::string value) {
    rows_.push_back({family, std::move(key), std::move(value), ""});
  }
  void erase(std::size_t family, std::string key) {
    rows_.push_back({family, std::move(key), std::nullopt, ""});
  }
  // All rows from `key` up to, but not with, `end`; of a large family.
  void erase_range(std::size_t family, std::string key, std::string end) {
    rows_.push_back({family, std::move(key), std::nullopt, std::move(end)});
  }

 private:
  friend class RocksFolder;
  struct Row {
    std::size_t family;
    std::string key;
    std::optional<std::string> value;
    std::string end;  // empty: one row
  };
  std::vector<Row> rows_;
};

struct RocksFolderOptions {
  std::string path;
  std::string kind;                   // "event log", "lease table"
  std::uint32_t format = 1;           // newer ones are refused
  std::uint32_t format_made = 1;      // of a new one: programs that know no newer one can use it
  std::string owner;                  // name of the node or cluster whose it is; empty: whoever's
  std::vector<RocksFamily> families;  // column families besides "default"
  rocksdb::Env* env = nullptr;        // its files; the operating system's where null
};

// Thread-bound to whichever thread its owner uses for blocking work.
class RocksFolder {
 public:
  static constexpr const char* format_key = "format";  // in "default": its owner may raise it

  // Creates it where there is none. ResourceExhausted: disk full. DataLoss: damaged. FailedPrecondition: in use, newer, someone
  // else's, or of another kind. Each names the path and a cure.
  static absl::StatusOr<std::unique_ptr<RocksFolder>> open(RocksFolderOptions options);
  // As the folder is now, also while its writer runs. Changes nothing in it. NotFound: nothing there.
  static absl::StatusOr<std::unique_ptr<RocksFolder>> open_read_only(RocksFolderOptions options);
  ~RocksFolder();
  RocksFolder(const RocksFolder&) = delete;
  RocksFolder& operator=(const RocksFolder&) = delete;

  // A family's content.
  std::unique_ptr<rocksdb::Iterator> rows(std::size_t family) const {
    return rows_of(handles_[family + 1]);
  }
  // Null while a failed reopen() could not even open it for reading.
  rocksdb::DB* db() const { return db_.get(); }
  // Of this folder's content: drawn at random when it was made.
  const std::string& identity() const { return identity_; }
  const std::string& path() const { return options_.path; }
  // Number of the last commit in the database.
  std::uint64_t commits() const { return commits_; }

  // Writes and syncs. After a failure what it did is unknown and nothing more is taken until reopen() succeeds.
  absl::Status commit(const RocksChanges& changes);
  // Adds rows to a large family, in one synced file beside the write-ahead log: cheaper than a commit where they are many. They count as
  // there after the commit that has to follow. `next` gives them in the order of their keys, null at the end; what it gives stays
  // valid until it is called again.
  struct RowView {
    std::string_view key, value;
  };
  absl::Status ingest(std::size_t family, absl::FunctionRef<const RowView*()> next);
  // Has RocksDB give back, some time soon, the space of what was erased there. Does not wait.
  void suggest_compaction(std::size_t family, const std::string& from, const std::string& to) const;
  // A row of "default". NotFound: not there.
  absl::StatusOr<std::string> meta(std::string_view key) const;
  bool failed() const { return failed_; }
  // Closes and opens again; then the database tells what became of the commit that failed.
  absl::Status reopen();

  // A RocksDB error as ours, with path and cure.
  absl::Status explain(const rocksdb::Status& status, std::string_view doing) const;
  absl::Status damaged(std::string_view what) const;

 private:
  enum class Mode : std::uint8_t { writer, check, standby, reader };

  explicit RocksFolder(RocksFolderOptions options);

  absl::Status prepare_folder();
  absl::Status open_writer();
  absl::Status open_database(Mode mode);
  // `synced`: so many commits have to be there.
  absl::Status check_what_it_is(std::uint64_t synced);
  absl::Status check_families();
  absl::Status describe_new();
  void close_database();
  // Default first, then the options' families, then those of a newer program.
  void order_handles();
  struct Mark {
    std::uint64_t commits = 0;  // 0: none yet
    std::uint64_t sum = 0;
  };
  absl::StatusOr<Mark> mark_of(rocksdb::ColumnFamilyHandle* family) const;
  // Every row but the mark.
  std::unique_ptr<rocksdb::Iterator> rows_of(rocksdb::ColumnFamilyHandle* family) const;
  bool summed(std::size_t handle) const {
    return handle == 0 || !options_.families[handle - 1].large;
  }
  std::string rocks_path() const { return options_.path + "/rocks"; }

  std::uint64_t read_witness() const;
  void write_witness();

  const RocksFolderOptions options_;
  const std::unique_ptr<rocksdb::Env> env_;
  std::string secondary_path_;  // a reader's own log files; removed with it
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  // Of each handle's rows, where they are summed.
  struct Sum {
    std::map<std::string, std::uint64_t> hashes;  // by key
    std::uint64_t total = 0;
  };
  std::vector<Sum> sums_;
  std::string identity_;
  std::uint64_t commits_ = 0;
  bool failed_ = false;
  int lock_ = -1;
  int witness_ = -1;
};

inline std::string_view view(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// Numbers as keys and values: big-endian, so that their order is the bytes' order.
std::string to_big_endian(std::uint64_t number);
// 0 where `bytes` are not eight.
std::uint64_t from_big_endian(std::string_view bytes);

}  // namespace supercloud
