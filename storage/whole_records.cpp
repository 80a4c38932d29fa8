#include "storage/whole_records.h"

#include <algorithm>
#include <boost/crc.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "rocksdb/file_system.h"

namespace supercloud {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// A record does not cross the end of a block: it is cut into a first, middle and a last one. It begins with check sum (4 bytes,
// little-endian), length of its payload (2) and type (1).
constexpr std::size_t block = 32768;
constexpr std::size_t header = 7;
constexpr std::size_t type_at = 6;
enum class Type : std::uint8_t { full = 1, first = 2, middle = 3, last = 4 };

// CRC-32C of type and payload, masked as RocksDB stores it.
std::uint32_t check_sum(std::string_view type_and_payload) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(type_and_payload.data(), type_and_payload.size());
  const std::uint32_t sum = crc.checksum();
  return (sum >> 15U | sum << 17U) + 0xa282ead8U;
}

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = bytes.size(); i > 0; --i)
    number = number << 8U | static_cast<unsigned char>(bytes[i - 1]);
  return number;
}

struct Record {
  Type type;
  std::size_t end;
};

std::optional<Record> record_at(std::string_view bytes, std::size_t at) {
  const std::size_t left = std::min(block - at % block, bytes.size() - at);
  if (left < header) return std::nullopt;
  const auto type = static_cast<unsigned char>(bytes[at + type_at]);
  const std::size_t length = little_endian(bytes.substr(at + 4, 2));
  if (type < 1 || type > 4 || length > left - header) return std::nullopt;
  if (little_endian(bytes.substr(at, 4)) != check_sum(bytes.substr(at + type_at, 1 + length)))
    return std::nullopt;
  return Record{static_cast<Type>(type), at + header + length};
}

// A block's end that is too short for a header is filled up.
std::size_t next_place(std::size_t at) {
  const std::size_t left = block - at % block;
  return left < header ? at + left : at;
}

class ShortenedFile final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  ShortenedFile(std::unique_ptr<rocksdb::FSSequentialFile>&& file, std::size_t bytes)
      : FSSequentialFileOwnerWrapper(std::move(file)), left_(bytes) {}

  IOStatus Read(std::size_t bytes, const IOOptions& options, rocksdb::Slice* result, char* scratch,
                IODebugContext* debug) override {
    IOStatus status =
        FSSequentialFileOwnerWrapper::Read(std::min(bytes, left_), options, result, scratch, debug);
    if (status.ok()) left_ -= result->size();
    return status;
  }
  IOStatus Skip(std::uint64_t bytes) override {
    const std::uint64_t most = std::min<std::uint64_t>(bytes, left_);
    left_ -= most;
    return FSSequentialFileOwnerWrapper::Skip(most);
  }
  IOStatus PositionedRead(std::uint64_t, std::size_t, const IOOptions&, rocksdb::Slice*, char*,
                          IODebugContext*) override {
    return IOStatus::NotSupported("lists and logs are read from their beginning");
  }

 private:
  std::size_t left_;
};

class WholeRecords final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "WholeRecords"; }

  IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file,
                             IODebugContext* debug) override {
    IOStatus opened = FileSystemWrapper::NewSequentialFile(path, options, file, debug);
    if (!opened.ok()) return opened;
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    const bool log = name.ends_with(".log") && ends_in_zero(path, options, debug);
    if (!log && !name.starts_with("MANIFEST-")) return opened;
    std::string bytes;
    IOStatus read = rocksdb::ReadFileToString(target(), path, &bytes);
    if (!read.ok()) return read;
    const std::size_t whole = whole_records_of(bytes);
    if (whole < bytes.size()) *file = std::make_unique<ShortenedFile>(std::move(*file), whole);
    return opened;
  }

 private:
  bool ends_in_zero(const std::string& path, const rocksdb::FileOptions& options,
                    IODebugContext* debug) {
    std::uint64_t size = 0;
    std::unique_ptr<rocksdb::FSRandomAccessFile> file;
    if (!target()->GetFileSize(path, options.io_options, &size, debug).ok() || size == 0 ||
        !target()->NewRandomAccessFile(path, options, &file, debug).ok())
      return false;
    char last = 1;
    rocksdb::Slice read;
    return file->Read(size - 1, 1, options.io_options, &read, &last, debug).ok() &&
           read.size() == 1 && read[0] == 0;
  }
};

}  // namespace

std::size_t whole_records_of(std::string_view file) {
  const auto begins = [](Type type) { return type == Type::full || type == Type::first; };
  std::size_t at = 0;
  std::size_t whole = 0;
  while (at < file.size()) {
    const std::optional<Record> record = record_at(file, at);
    if (!record) break;
    at = next_place(record->end);
    if (record->type == Type::full || record->type == Type::last) whole = record->end;
  }
  for (std::size_t behind = at + 1; behind < file.size(); ++behind) {
    const std::optional<Record> record = record_at(file, behind);
    if (record && begins(record->type)) return file.size();
  }
  return whole;
}

std::unique_ptr<rocksdb::Env> env_of_whole_records(rocksdb::Env& env) {
  return rocksdb::NewCompositeEnv(std::make_shared<WholeRecords>(env.GetFileSystem()));
}

}  // namespace supercloud
