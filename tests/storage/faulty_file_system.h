// A disk under RocksDB that a test can fill up.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace supercloud {

// What the disk does from now on. Thread-safe.
struct DiskFaults {
  std::atomic<bool> full = false;        // writes and new files are refused
  std::atomic<bool> torn = false;        // ... and of a refused write the first half arrives
  std::atomic<bool> sync_fails = false;  // writes arrive, but their sync is refused
  std::atomic<int> syncs_left = -1;      // ... after that many; negative: never

  bool refuse_sync() {
    if (sync_fails || syncs_left == 0) return true;
    if (syncs_left > 0) --syncs_left;
    return false;
  }
};

class FaultyFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultyFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::shared_ptr<DiskFaults> faults)
      : FSWritableFileOwnerWrapper(std::move(file)), faults_(std::move(faults)) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
    if (!faults_->full) return FSWritableFileOwnerWrapper::Append(data, options, debug);
    if (faults_->torn) {
      FSWritableFileOwnerWrapper::Append({data.data(), data.size() / 2}, options, debug)
          .PermitUncheckedError();
    }
    return rocksdb::IOStatus::NoSpace("No space left on device");
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo&,
                           rocksdb::IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset,
                                     const rocksdb::IOOptions& options,
                                     rocksdb::IODebugContext* debug) override {
    if (!faults_->full)
      return FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
    if (faults_->torn) {
      FSWritableFileOwnerWrapper::PositionedAppend({data.data(), data.size() / 2}, offset, options,
                                                   debug)
          .PermitUncheckedError();
    }
    return rocksdb::IOStatus::NoSpace("No space left on device");
  }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                         rocksdb::IODebugContext* debug) override {
    if (faults_->refuse_sync()) return rocksdb::IOStatus::IOError("Input/output error");
    return FSWritableFileOwnerWrapper::Sync(options, debug);
  }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                          rocksdb::IODebugContext* debug) override {
    if (faults_->refuse_sync()) return rocksdb::IOStatus::IOError("Input/output error");
    return FSWritableFileOwnerWrapper::Fsync(options, debug);
  }

 private:
  std::shared_ptr<DiskFaults> faults_;
};

class FaultyFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit FaultyFileSystem(std::shared_ptr<DiskFaults> faults)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), faults_(std::move(faults)) {}
  const char* Name() const override { return "FaultyFileSystem"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    if (faults_->full) return rocksdb::IOStatus::NoSpace("No space left on device");
    rocksdb::IOStatus status = FileSystemWrapper::NewWritableFile(name, options, file, debug);
    if (status.ok()) *file = std::make_unique<FaultyFile>(std::move(*file), faults_);
    return status;
  }

 private:
  std::shared_ptr<DiskFaults> faults_;
};

// The environment in which RocksDB sees that disk.
struct FaultyDisk {
  std::shared_ptr<DiskFaults> faults = std::make_shared<DiskFaults>();
  std::unique_ptr<rocksdb::Env> env =
      rocksdb::NewCompositeEnv(std::make_shared<FaultyFileSystem>(faults));
};

}  // namespace supercloud
