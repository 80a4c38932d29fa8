#include "storage/zeroed_logs.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "rocksdb/file_system.h"

namespace supercloud {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// Short logs get no zeros: most folders are opened, changed a little and closed.
constexpr std::uint64_t without = 16 << 10;
constexpr std::size_t piece = 256 << 10;

rocksdb::Slice zeros() {
  static const std::string bytes(piece, '\0');
  return bytes;
}

// Thread-bound, as RocksDB's logs are, but for syncs.
class ZeroedLog final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    const IOStatus written = target()->PositionedAppend(data, end_, options, debug);
    if (!written.ok()) return written;
    end_ += data.size();
    if (end_ <= zeroed_ || end_ <= without || refused_) return written;
    // They share the sync of what was written.
    zeroed_ = end_ + piece;
    refused_ = !target()->PositionedAppend(zeros(), end_, options, debug).ok();
    // A full disk: who needs the room shall have it.
    if (refused_) cut(options, debug).PermitUncheckedError();
    return written;
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    if (IOStatus cut_off = cut(options, debug); !cut_off.ok()) return cut_off;
    return FSWritableFileOwnerWrapper::Close(options, debug);
  }
  std::uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return end_; }

 private:
  IOStatus cut(const IOOptions& options, IODebugContext* debug) {
    if (zeroed_ <= end_) return IOStatus::OK();
    IOStatus done = target()->Truncate(end_, options, debug);
    if (done.ok()) zeroed_ = end_;
    return done;
  }

  std::uint64_t end_ = 0;     // of what RocksDB has written
  std::uint64_t zeroed_ = 0;  // up to where the file reaches, if further
  bool refused_ = false;
};

class ZeroedLogs final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "ZeroedLogs"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    IOStatus made = FileSystemWrapper::NewWritableFile(path, options, file, debug);
    if (made.ok() && path.ends_with(".log")) *file = std::make_unique<ZeroedLog>(std::move(*file));
    return made;
  }
};

}  // namespace

std::unique_ptr<rocksdb::Env> env_of_zeroed_logs(rocksdb::Env& env) {
  return rocksdb::NewCompositeEnv(std::make_shared<ZeroedLogs>(env.GetFileSystem()));
}

}  // namespace supercloud
