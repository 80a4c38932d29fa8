// A disk under RocksDB whose power can fail.
//
// Files are the real ones in a folder, so that they are read as always; what of it is on stable storage is kept beside:
//   of a file     its length at its last sync, and what was written over since
//   of a folder   its entries at its last sync, and what was made, renamed and removed since, in order
// At the failure nothing more is taken. What is there when power returns is drawn:
//   of a file     what was synced, and of the rest nothing, a part, a part whose last sector is garbage, or all with a page of zeros in it; what
//                 was written over is of before from some write on, whose own bytes are there in part, or in any of its pages
//   of a folder   what was synced, and the first few of the changes since, or none or all of them
// Files that are written without RocksDB ("synced") come back as they were, empty, of zeros, or with what they had when power last returned.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/random.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace supercloud {

// Thread-safe.
class PowerLossDisk {
 public:
  // `root` stays, whatever fails.
  explicit PowerLossDisk(std::string root);
  ~PowerLossDisk();
  PowerLossDisk(const PowerLossDisk&) = delete;
  PowerLossDisk& operator=(const PowerLossDisk&) = delete;

  rocksdb::Env* env() { return env_.get(); }

  // The power fails in the place of the so-manyth change or sync from now on.
  void fail_after(std::uint64_t changes);
  void fail_now() { fail_after(0); }
  bool failed() const;
  // How many changes and syncs there were.
  std::uint64_t changes() const;
  // Power is back. Nobody uses the disk at that moment.
  void restore(Random& random);

  // It says of files that it has synced them, and has not.
  void lie(bool lies) { lies_ = lies; }
  // Files that are written without RocksDB come back as they were.
  void keep_foreign(bool keep) { keep_foreign_ = keep; }

 private:
  friend class PowerLossFile;
  friend class PowerLossFolder;
  friend class PowerLossFileSystem;
  using Id = std::uint64_t;  // of a file or folder, whatever it is called

  struct Change {  // one that a crash makes or does not make
    std::string removed;
    std::string added;
    Id id = 0;  // of `added`
  };
  struct Overwrite {
    std::uint64_t at = 0;
    std::string before;
  };
  struct Object {
    bool folder = false;
    std::string place;  // where a file's bytes are
    std::uint64_t size = 0, synced = 0;
    std::uint64_t longest = 0;          // since its last sync; cut off were zeros
    std::vector<Overwrite> overwrites;  // since its last sync, in order
    std::map<std::string, Id> entries;  // on stable storage
    std::vector<Change> changes;        // since
  };

  // False: the power has failed, or fails here. With mutex_.
  bool step();
  bool inside(const std::string& path) const;
  Id folder_of(const std::string& path);  // the one that the entry `path` is in
  Id folder(const std::string& path);
  void add_file(const std::string& path, bool there);
  // The bytes of what bears that name stay, as stable storage may have it.
  void keep_bytes(const std::string& path);
  void note(const std::string& path, Change change) {
    objects_[folder_of(path)].changes.push_back(std::move(change));
  }
  void put(const Object& folder, const std::string& from, const std::string& to, Random& random);
  void put_file(const Object& file, const std::string& to, Random& random) const;
  static void take_back(const Object& file, std::string& bytes, Random& random);
  void put_foreign(const std::string& from, const std::string& to, Random& random) const;
  void learn(const std::string& path);

  const std::string root_;
  const std::string gone_;  // the bytes of removed files
  std::unique_ptr<rocksdb::Env> env_;
  bool lies_ = false;
  bool keep_foreign_ = false;
  mutable std::mutex mutex_;
  std::map<Id, Object> objects_;                // all guarded by mutex_
  std::map<std::string, Id> names_;             // files and folders, as they are now
  std::map<std::string, std::string> foreign_;  // content when power last returned
  Id last_id_ = 0;
  std::uint64_t changes_ = 0;
  std::uint64_t fails_at_ = UINT64_MAX;
};

}  // namespace supercloud
