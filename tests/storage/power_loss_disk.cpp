#include "tests/storage/power_loss_disk.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>

namespace supercloud {

namespace files = std::filesystem;
using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

namespace {

constexpr std::size_t sector = 512;
constexpr std::size_t page = 4096;

IOStatus power_failed() { return IOStatus::IOError("the power has failed"); }

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

class PowerLossFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  PowerLossFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, PowerLossDisk& disk,
                PowerLossDisk::Id id)
      : FSWritableFileOwnerWrapper(std::move(file)), disk_(disk), id_(id) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    const IOStatus status = FSWritableFileOwnerWrapper::Append(data, options, debug);
    PowerLossDisk::Object& object = disk_.objects_[id_];
    if (status.ok()) object.longest = std::max(object.longest, object.size += data.size());
    return status;
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset,
                            const IOOptions& options, IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    PowerLossDisk::Object& object = disk_.objects_[id_];
    if (offset < object.size) {
      const std::uint64_t over = std::min<std::uint64_t>(data.size(), object.size - offset);
      object.overwrites.push_back({offset, content(object.place).substr(offset, over)});
    }
    const IOStatus status =
        FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
    if (status.ok()) {
      object.size = std::max<std::uint64_t>(object.size, offset + data.size());
      object.longest = std::max(object.longest, object.size);
    }
    return status;
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset,
                            const IOOptions& options, const rocksdb::DataVerificationInfo&,
                            IODebugContext* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    PowerLossDisk::Object& object = disk_.objects_[id_];
    if (size < object.size) {
      const std::string cut = content(object.place).substr(size);
      if (!std::ranges::all_of(cut, [](char byte) { return byte == 0; }))
        return IOStatus::NotSupported("only zeros are cut off");
    }
    const IOStatus status = FSWritableFileOwnerWrapper::Truncate(size, options, debug);
    if (!status.ok() || size >= object.size) return status;
    object.size = size;
    object.synced = std::min(object.synced, size);
    return status;
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    PowerLossDisk::Object& object = disk_.objects_[id_];
    if (disk_.lies_) return IOStatus::OK();
    object.synced = object.longest = object.size;
    object.overwrites.clear();
    return IOStatus::OK();
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  // What a disk may do of itself at any time promises nothing.
  IOStatus RangeSync(std::uint64_t, std::uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  PowerLossDisk& disk_;
  const PowerLossDisk::Id id_;
};

class PowerLossFolder final : public rocksdb::FSDirectory {
 public:
  PowerLossFolder(PowerLossDisk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    if (!disk_.inside(path_)) return IOStatus::OK();
    PowerLossDisk::Object& object = disk_.objects_[disk_.folder(path_)];
    for (const PowerLossDisk::Change& change : object.changes) {
      object.entries.erase(change.removed);
      if (!change.added.empty()) object.entries[change.added] = change.id;
    }
    object.changes.clear();
    return IOStatus::OK();
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  PowerLossDisk& disk_;
  const std::string path_;
};

class PowerLossFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit PowerLossFileSystem(PowerLossDisk& disk)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), disk_(disk) {}
  const char* Name() const override { return "PowerLossFileSystem"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    disk_.keep_bytes(path);
    IOStatus status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
    if (!status.ok()) return status;
    disk_.add_file(path, false);
    *file = std::make_unique<PowerLossFile>(std::move(*file), disk_, disk_.names_[path]);
    return status;
  }
  IOStatus ReopenWritableFile(const std::string&, const FileOptions&,
                              std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("files are written once");
  }
  IOStatus ReuseWritableFile(const std::string&, const std::string&, const FileOptions&,
                             std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("files are written once");
  }
  IOStatus NewRandomRWFile(const std::string&, const FileOptions&,
                           std::unique_ptr<rocksdb::FSRandomRWFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("files are appended to");
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* folder,
                        IODebugContext* debug) override {
    const IOStatus status = FileSystemWrapper::NewDirectory(path, options, folder, debug);
    if (status.ok()) *folder = std::make_unique<PowerLossFolder>(disk_, path);
    return status;
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& options,
                     IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    return FileSystemWrapper::CreateDir(path, options, debug);
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options,
                              IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    return FileSystemWrapper::CreateDirIfMissing(path, options, debug);
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    disk_.keep_bytes(path);
    IOStatus status = FileSystemWrapper::DeleteFile(path, options, debug);
    if (status.ok() && disk_.names_.erase(path) > 0) disk_.note(path, {.removed = name_of(path)});
    return status;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    disk_.keep_bytes(to);
    IOStatus status = FileSystemWrapper::RenameFile(from, to, options, debug);
    const auto found = disk_.names_.find(from);
    if (!status.ok() || found == disk_.names_.end()) return status;
    const PowerLossDisk::Id id = found->second;
    disk_.names_.erase(found);
    disk_.names_[to] = id;
    disk_.objects_[id].place = to;
    disk_.note(to, {.removed = name_of(from), .added = name_of(to), .id = id});
    return status;
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    IODebugContext* debug) override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.step()) return power_failed();
    IOStatus status = FileSystemWrapper::LinkFile(from, to, options, debug);
    const auto found = disk_.names_.find(from);
    if (!status.ok() || found == disk_.names_.end()) return status;
    disk_.names_[to] = found->second;
    disk_.note(to, {.removed = "", .added = name_of(to), .id = found->second});
    return status;
  }

 private:
  PowerLossDisk& disk_;
};

PowerLossDisk::PowerLossDisk(std::string root)
    : root_(std::move(root)),
      gone_(root_ + ".gone"),
      env_(rocksdb::NewCompositeEnv(std::make_shared<PowerLossFileSystem>(*this))) {
  files::create_directories(root_);
  files::create_directories(gone_);
  learn(root_);
}

PowerLossDisk::~PowerLossDisk() {
  std::error_code error;
  files::remove_all(gone_, error);
}

void PowerLossDisk::fail_after(std::uint64_t changes) {
  const std::lock_guard lock(mutex_);
  fails_at_ = changes_ + changes;
}

bool PowerLossDisk::failed() const {
  const std::lock_guard lock(mutex_);
  return changes_ >= fails_at_;
}

std::uint64_t PowerLossDisk::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

bool PowerLossDisk::step() {
  if (changes_ >= fails_at_) return false;
  ++changes_;
  return true;
}

bool PowerLossDisk::inside(const std::string& path) const {
  return path == root_ || path.starts_with(root_ + "/");
}

PowerLossDisk::Id PowerLossDisk::folder_of(const std::string& path) {
  return folder(path.substr(0, path.rfind('/')));
}

// One that is seen for the first time was made without RocksDB, and its entry was never synced.
PowerLossDisk::Id PowerLossDisk::folder(const std::string& path) {
  const auto found = names_.find(path);
  if (found != names_.end()) return found->second;
  const Id id = ++last_id_;
  names_[path] = id;
  objects_[id].folder = true;
  if (path != root_) note(path, {.removed = "", .added = name_of(path), .id = id});
  return id;
}

void PowerLossDisk::add_file(const std::string& path, bool there) {
  const Id id = ++last_id_;
  names_[path] = id;
  Object& object = objects_[id];
  object.place = path;
  if (there) object.size = object.synced = files::file_size(path);
  note(path, {.removed = "", .added = name_of(path), .id = id});
}

void PowerLossDisk::keep_bytes(const std::string& path) {
  const auto found = names_.find(path);
  if (found == names_.end()) return;
  Object& object = objects_[found->second];
  if (object.place != path) return;  // it has another name
  object.place = gone_ + "/" + std::to_string(found->second);
  if (::link(path.c_str(), object.place.c_str()) != 0) std::abort();
}

// What is there now is on stable storage.
void PowerLossDisk::learn(const std::string& path) {
  const Id id = folder(path);
  for (const auto& entry : files::directory_iterator(path)) {
    const std::string at = entry.path().string();
    if (entry.is_directory()) {
      learn(at);
    } else if (name_of(at) == "synced") {
      foreign_[at] = content(at);
    } else {
      add_file(at, true);
    }
  }
  Object& object = objects_[id];
  for (const Change& change : object.changes) object.entries[change.added] = change.id;
  object.changes.clear();
}

void PowerLossDisk::restore(Random& random) {
  const std::lock_guard lock(mutex_);
  const std::string made = root_ + ".made";
  files::create_directory(made);
  put(objects_[names_[root_]], root_, made, random);
  files::remove_all(root_);
  files::rename(made, root_);
  files::remove_all(gone_);
  files::create_directory(gone_);
  objects_.clear();
  names_.clear();
  foreign_.clear();
  fails_at_ = UINT64_MAX;
  learn(root_);
}

void PowerLossDisk::put(const Object& folder, const std::string& from, const std::string& to,
                        Random& random) {
  std::map<std::string, Id> entries = folder.entries;
  std::size_t arrived = random.below(folder.changes.size() + 1);
  if (random.below(2) == 0) arrived = random.below(2) == 0 ? 0 : folder.changes.size();
  for (std::size_t i = 0; i < arrived; ++i) {
    entries.erase(folder.changes[i].removed);
    if (!folder.changes[i].added.empty()) entries[folder.changes[i].added] = folder.changes[i].id;
  }
  for (const auto& [name, id] : entries) {
    const Object& object = objects_[id];
    if (object.folder) {
      files::create_directory(to + "/" + name);
      put(object, from + "/" + name, to + "/" + name, random);
    } else {
      put_file(object, to + "/" + name, random);
    }
  }
  if (files::exists(from + "/synced")) put_foreign(from + "/synced", to + "/synced", random);
}

// What was written over since the last sync, but for the first few times; or any of its pages.
void PowerLossDisk::take_back(const Object& file, std::string& bytes, Random& random) {
  const bool any_page = random.below(3) == 0;
  std::size_t arrived = any_page ? 0 : random.below(file.overwrites.size() + 1);
  if (!any_page && random.below(2) == 0)
    arrived = random.below(2) == 0 ? 0 : file.overwrites.size();
  for (std::size_t i = file.overwrites.size(); i > arrived; --i) {
    const Overwrite& over = file.overwrites[i - 1];
    if (any_page) {
      for (std::size_t at = 0; at < over.before.size();) {
        const std::size_t size = std::min(page - (over.at + at) % page, over.before.size() - at);
        if (random.below(2) == 0) bytes.replace(over.at + at, size, over.before, at, size);
        at += size;
      }
      continue;
    }
    // Of the first that did not arrive as a whole some bytes may be there.
    const std::size_t there = i == arrived + 1 ? random.below(over.before.size() + 1) : 0;
    bytes.replace(over.at + there, over.before.size() - there, over.before, there);
    const std::size_t torn = std::min(sector, there);
    if (there > 0 && random.below(2) == 0) {
      for (std::size_t at = over.at + there - torn; at < over.at + there; ++at)
        bytes[at] = static_cast<char>(random.next());
    }
  }
}

void PowerLossDisk::put_file(const Object& file, const std::string& to, Random& random) const {
  std::string bytes = content(file.place);
  const std::uint64_t size = std::min<std::uint64_t>(file.size, bytes.size());
  if (!file.overwrites.empty()) take_back(file, bytes, random);
  const std::uint64_t loose = size - std::min(size, file.synced);
  bytes.resize(size);
  if (loose > 0) {
    const std::uint64_t way = random.below(4);
    if (way == 0) bytes.resize(size - loose);
    if (way == 1 || way == 2) bytes.resize(size - loose + random.below(loose + 1));
    if (way == 2) {
      const std::size_t last = std::min(sector, bytes.size() - (size - loose));
      for (std::size_t i = bytes.size() - last; i < bytes.size(); ++i)
        bytes[i] = static_cast<char>(random.next());
    }
    if (way == 3) {
      const std::size_t first = size - loose + random.below(loose);
      const std::size_t end = std::min<std::size_t>((first / page + 1) * page, size);
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(first),
                bytes.begin() + static_cast<std::ptrdiff_t>(end), '\0');
    }
  }
  // That zeros were cut off may not have arrived.
  if (file.longest > size && bytes.size() == size && random.below(2) == 0)
    bytes.resize(file.longest, '\0');
  write(to, bytes);
}

void PowerLossDisk::put_foreign(const std::string& from, const std::string& to,
                                Random& random) const {
  const std::string now = content(from);
  const auto before = foreign_.find(from);
  switch (keep_foreign_ ? 0 : random.below(5)) {
    case 1:
      return write(to, "");
    case 2:
      return write(to, std::string(now.size(), '\0'));
    case 3:
      if (before != foreign_.end()) write(to, before->second);
      return;
    default:
      return write(to, now);
  }
}

}  // namespace supercloud
