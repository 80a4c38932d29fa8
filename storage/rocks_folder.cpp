#include "storage/rocks_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "rocksdb/experimental.h"
#include "rocksdb/options.h"
#include "rocksdb/sst_file_writer.h"
#include "rocksdb/write_batch.h"
#include "storage/whole_records.h"
#include "storage/zeroed_logs.h"

namespace supercloud {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t witness_salt = 0x5c1d5e5a9f0b7d31U;
constexpr std::size_t witness_bytes = 16;
constexpr char mark_key[] = "";
// the writer may drop a file between a reader's listing and its opening
constexpr int reader_tries = 5;

rocksdb::DBOptions database_options(rocksdb::Env* env) {
  rocksdb::DBOptions options;
  options.env = env;
  options.create_missing_column_families = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.track_and_verify_wals_in_manifest = true;
  options.max_total_wal_size = 64 << 20;
  options.max_open_files = 256;
  options.max_background_jobs = 2;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  return options;
}

rocksdb::ColumnFamilyOptions family_options() {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = 16 << 20;
  return options;
}

std::string system_error_text(int error) { return std::generic_category().message(error); }

absl::Status system_error(int error, const std::string& doing) {
  const std::string what = absl::StrCat(doing, ": ", system_error_text(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(absl::StrCat(what, "; free some space on that disk"));
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "; give this user the right to write there, or name another folder"));
    default:
      return absl::UnavailableError(absl::StrCat(what, "; check the path and the disk"));
  }
}

std::string new_identity() {
  unsigned char bytes[16];
  std::size_t have = 0;
  while (have < sizeof bytes) {
    const ssize_t got = getrandom(bytes + have, sizeof bytes - have, 0);
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof bytes));
}

// FNV-1a over length of key, key and value: it tells accidents, not attacks.
std::uint64_t row_hash(std::string_view key, std::string_view value) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const std::string length = to_big_endian(key.size());
  for (const std::string_view part : {std::string_view(length), key, value}) {
    for (const char byte : part) {
      hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
    }
  }
  return hash;
}

// The entries of a folder and of all above it on the same file system, whoever made them. What may not be opened was there before. By `env`,
// so that a test sees it.
rocksdb::Status sync_folders(rocksdb::Env& env, const std::string& path) {
  const auto device = [](const fs::path& at) {
    struct stat found = {};
    return ::stat(at.c_str(), &found) == 0 ? found.st_dev : 0;
  };
  std::error_code error;
  fs::path at = fs::canonical(path, error);
  if (error) at = fs::absolute(path, error);
  for (;; at = at.parent_path()) {
    std::unique_ptr<rocksdb::Directory> folder;
    if (::access(at.c_str(), R_OK) == 0) {
      if (rocksdb::Status opened = env.NewDirectory(at.string(), &folder); !opened.ok())
        return opened;
      if (rocksdb::Status synced = folder->Fsync(); !synced.ok()) return synced;
    }
    if (at == at.parent_path() || device(at) != device(at.parent_path()))
      return rocksdb::Status::OK();
  }
}

}  // namespace

RocksFolder::RocksFolder(RocksFolderOptions options)
    : options_(std::move(options)),
      env_(env_of_zeroed_logs(*env_of_whole_records(
          options_.env == nullptr ? *rocksdb::Env::Default() : *options_.env))) {}

std::string to_big_endian(std::uint64_t number) {
  std::string bytes(8, '\0');
  for (int i = 7; i >= 0; --i) {
    bytes[static_cast<std::size_t>(i)] = static_cast<char>(number & 0xffU);
    number >>= 8U;
  }
  return bytes;
}

std::uint64_t from_big_endian(std::string_view bytes) {
  if (bytes.size() != 8) return 0;
  std::uint64_t number = 0;
  for (const char byte : bytes) number = number << 8U | static_cast<unsigned char>(byte);
  return number;
}

absl::StatusOr<std::unique_ptr<RocksFolder>> RocksFolder::open(RocksFolderOptions options) {
  std::unique_ptr<RocksFolder> folder(new RocksFolder(std::move(options)));
  if (absl::Status ready = folder->prepare_folder(); !ready.ok()) return ready;
  if (absl::Status opened = folder->open_writer(); !opened.ok()) return opened;
  return folder;
}

absl::StatusOr<std::unique_ptr<RocksFolder>> RocksFolder::open_read_only(
    RocksFolderOptions options) {
  std::unique_ptr<RocksFolder> folder(new RocksFolder(std::move(options)));
  const std::string& path = folder->options_.path;
  std::error_code error;
  if (!fs::exists(folder->rocks_path() + "/CURRENT", error)) {
    if (fs::is_directory(folder->rocks_path(), error)) {
      return folder->damaged("rocks/CURRENT is missing");
    }
    return absl::NotFoundError(
        absl::StrCat("no ", folder->options_.kind, " in ", path, "; check the path"));
  }
  folder->witness_ = ::open((path + "/synced").c_str(), O_RDONLY | O_CLOEXEC);
  std::string secondary = (fs::temp_directory_path(error) / "supercloud-reader-XXXXXX").string();
  if (::mkdtemp(secondary.data()) == nullptr) {
    return system_error(errno, absl::StrCat("cannot make the folder ", secondary));
  }
  folder->secondary_path_ = secondary;
  absl::Status opened;
  for (int tries = 0; tries < reader_tries; ++tries) {
    // Read first: what its writer commits meanwhile is not missing.
    const std::uint64_t synced = folder->read_witness();
    opened = folder->open_database(Mode::reader);
    if (opened.ok()) opened = folder->check_what_it_is(synced);
    if (opened.ok()) return folder;
    folder->close_database();
  }
  return opened;
}

RocksFolder::~RocksFolder() {
  close_database();
  if (witness_ >= 0) ::close(witness_);
  if (lock_ >= 0) ::close(lock_);
  if (!secondary_path_.empty()) {
    std::error_code error;
    fs::remove_all(secondary_path_, error);
  }
}

absl::Status RocksFolder::prepare_folder() {
  std::error_code error;
  fs::create_directories(options_.path, error);
  if (error) return system_error(error.value(), absl::StrCat("cannot make ", options_.path));

  const std::string lock_path = options_.path + "/lock";
  lock_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) return system_error(errno, absl::StrCat("cannot open ", lock_path));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_error(errno, absl::StrCat("cannot lock ", lock_path));
    char number[24] = {};
    const ssize_t read = ::pread(lock_, number, sizeof number - 1, 0);
    return absl::FailedPreconditionError(
        absl::StrCat("the ", options_.kind, " in ", options_.path, " is in use by process ",
                     read > 0 ? number : "?", "; end that process first, or name another folder"));
  }
  const std::string number = absl::StrCat(::getpid());
  if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, number.data(), number.size(), 0) < 0) {
    // Only the error message of others misses it.
  }

  const std::string witness_path = options_.path + "/synced";
  witness_ = ::open(witness_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (witness_ < 0) return system_error(errno, absl::StrCat("cannot open ", witness_path));
  return absl::OkStatus();
}

absl::Status RocksFolder::open_writer() {
  std::error_code error;
  const bool there = fs::exists(rocks_path() + "/CURRENT", error);
  if (!there && read_witness() > 0) return damaged("rocks/CURRENT is missing");
  if (there) {
    // First without changing anything: opening for writing would make final what recovery passed over.
    absl::Status checked = open_database(Mode::check);
    if (checked.ok()) checked = check_what_it_is(read_witness());
    close_database();
    if (!checked.ok()) return checked;
  }
  if (absl::Status opened = open_database(Mode::writer); !opened.ok()) return opened;
  absl::Status described = commits_ == 0 ? describe_new() : check_what_it_is(read_witness());
  if (!described.ok()) {
    close_database();
    return described;
  }
  failed_ = false;
  write_witness();
  return absl::OkStatus();
}

absl::Status RocksFolder::open_database(Mode mode) {
  rocksdb::DBOptions options = database_options(env_.get());
  options.create_if_missing = mode == Mode::writer;
  std::vector<std::string> names;
  rocksdb::Status status;
  if (mode == Mode::check || mode == Mode::reader) {
    // It is not known yet that this program knows the folder's families.
    status = rocksdb::DB::ListColumnFamilies(options, rocks_path(), &names);
    if (!status.ok()) return explain(status, "opening it");
  } else {
    for (const RocksFamily& family : options_.families) names.push_back(family.name);
    names.push_back(rocksdb::kDefaultColumnFamilyName);
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const std::string& name : names) families.emplace_back(name, family_options());
  rocksdb::DB* db = nullptr;
  switch (mode) {
    case Mode::writer:
      status = rocksdb::DB::Open(options, rocks_path(), families, &handles_, &db);
      break;
    case Mode::check:
    case Mode::standby:
      status = rocksdb::DB::OpenForReadOnly(options, rocks_path(), families, &handles_, &db);
      break;
    case Mode::reader:
      options.max_open_files = -1;  // what the writer drops stays readable
      status = rocksdb::DB::OpenAsSecondary(options, rocks_path(), secondary_path_, families,
                                            &handles_, &db);
      break;
  }
  if (!status.ok()) {
    handles_.clear();
    return explain(status, "opening it");
  }
  db_.reset(db);
  order_handles();
  const absl::StatusOr<Mark> mark = mark_of(handles_[0]);
  if (!mark.ok()) return mark.status();
  commits_ = mark->commits;
  sums_.assign(options_.families.size() + 1, Sum{});
  return absl::OkStatus();
}

void RocksFolder::order_handles() {
  const auto rank = [this](const rocksdb::ColumnFamilyHandle* handle) -> std::size_t {
    if (handle->GetName() == rocksdb::kDefaultColumnFamilyName) return 0;
    const auto found =
        std::find_if(options_.families.begin(), options_.families.end(),
                     [&](const RocksFamily& family) { return family.name == handle->GetName(); });
    return 1 + static_cast<std::size_t>(found - options_.families.begin());
  };
  std::sort(handles_.begin(), handles_.end(),
            [&](const auto* a, const auto* b) { return rank(a) < rank(b); });
}

absl::Status RocksFolder::check_families() {
  for (std::size_t i = 0; i <= options_.families.size(); ++i) {
    const std::string name =
        i == 0 ? rocksdb::kDefaultColumnFamilyName : options_.families[i - 1].name;
    if (handles_.size() <= i || handles_[i]->GetName() != name) {
      return damaged(absl::StrCat("its ", name, " are missing"));
    }
    const absl::StatusOr<Mark> mark = mark_of(handles_[i]);
    if (!mark.ok()) return mark.status();
    if (mark->commits != commits_) {
      return damaged(
          absl::StrCat("its ", name, " are of commit ", mark->commits, ", the rest of ", commits_));
    }
    Sum& sum = sums_[i];
    sum = {};
    if (!summed(i)) continue;
    const auto all = rows_of(handles_[i]);
    for (all->SeekToFirst(); all->Valid(); all->Next()) {
      const rocksdb::Slice key = all->key();
      const rocksdb::Slice value = all->value();
      const std::uint64_t hash = row_hash({key.data(), key.size()}, {value.data(), value.size()});
      sum.hashes[key.ToString()] = hash;
      sum.total += hash;
    }
    if (!all->status().ok()) return explain(all->status(), "reading it");
    if (sum.total != mark->sum) {
      return damaged(absl::StrCat("a part of its ", name, " is missing or old"));
    }
  }
  return absl::OkStatus();
}

absl::Status RocksFolder::check_what_it_is(std::uint64_t synced) {
  if (commits_ < synced) {
    return damaged(
        absl::StrCat("of ", synced, " commits that were synced only ", commits_, " can be read"));
  }
  if (commits_ == 0) return absl::OkStatus();  // its making was cut short: nothing in it
  const absl::StatusOr<std::string> kind = meta("kind");
  if (!kind.ok()) return damaged("it does not say what it is");
  if (*kind != options_.kind) {
    return absl::FailedPreconditionError(absl::StrCat(options_.path, " holds another thing, '",
                                                      *kind, "', not the ", options_.kind,
                                                      "; name another folder"));
  }
  const absl::StatusOr<std::string> format = meta(format_key);
  std::uint32_t number = 0;
  if (!format.ok() || !absl::SimpleAtoi(*format, &number)) return damaged("it has no format");
  if (number > options_.format) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the ", options_.kind, " in ", options_.path, " has format ", number,
        ", this program knows ", options_.format, " and older; use a newer supercloud"));
  }
  const absl::StatusOr<std::string> owner = meta("owner");
  if (!owner.ok()) return damaged("it has no owner");
  if (!options_.owner.empty() && *owner != options_.owner) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the ", options_.kind, " in ", options_.path, " belongs to '", *owner, "', not to '",
        options_.owner, "'; name another folder, or give the node its old name"));
  }
  const absl::StatusOr<std::string> identity = meta("identity");
  if (!identity.ok()) return damaged("it has no identity");
  identity_ = *identity;
  return check_families();
}

absl::Status RocksFolder::describe_new() {
  // Before anything says that there is something.
  if (const rocksdb::Status synced = sync_folders(*env_, options_.path); !synced.ok())
    return explain(synced, "making it");
  identity_ = new_identity();
  RocksChanges changes;
  changes.put(RocksChanges::in_default, "kind", options_.kind);
  changes.put(RocksChanges::in_default, format_key, absl::StrCat(options_.format_made));
  changes.put(RocksChanges::in_default, "owner", options_.owner);
  changes.put(RocksChanges::in_default, "identity", identity_);
  return commit(changes);
}

void RocksFolder::close_database() {
  if (db_ != nullptr) {
    for (rocksdb::ColumnFamilyHandle* handle : handles_) db_->DestroyColumnFamilyHandle(handle);
    db_->Close().PermitUncheckedError();  // a failed one says again what failed
  }
  handles_.clear();
  db_.reset();
}

absl::Status RocksFolder::commit(const RocksChanges& changes) {
  if (failed_ || db_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("the ", options_.kind, " in ", options_.path,
                                               " is closed after a failed write"));
  }
  // The sums are brought forward at once: after a failure they are made anew by reopen().
  rocksdb::WriteBatch batch;
  rocksdb::Status built;
  const auto add = [&built](const rocksdb::Status& status) {
    if (built.ok()) built = status;
  };
  for (const RocksChanges::Row& row : changes.rows_) {
    const std::size_t index = row.family == RocksChanges::in_default ? 0 : row.family + 1;
    if (row.value) {
      add(batch.Put(handles_[index], row.key, *row.value));
    } else if (!row.end.empty()) {
      add(batch.DeleteRange(handles_[index], row.key, row.end));
    } else {
      add(batch.Delete(handles_[index], row.key));
    }
    if (!summed(index)) continue;
    Sum& sum = sums_[index];
    const auto known = sum.hashes.find(row.key);
    if (known != sum.hashes.end()) {
      sum.total -= known->second;
      sum.hashes.erase(known);
    }
    if (row.value) {
      const std::uint64_t hash = row_hash(row.key, *row.value);
      sum.hashes[row.key] = hash;
      sum.total += hash;
    }
  }
  for (std::size_t i = 0; i < handles_.size(); ++i) {
    add(batch.Put(handles_[i], mark_key,
                  to_big_endian(commits_ + 1) + to_big_endian(sums_[i].total)));
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  const rocksdb::Status written = built.ok() ? db_->Write(options, &batch) : built;
  if (!written.ok()) {
    failed_ = true;
    return explain(written, "writing to it");
  }
  ++commits_;
  write_witness();
  return absl::OkStatus();
}

absl::Status RocksFolder::ingest(std::size_t family, absl::FunctionRef<const RowView*()> next) {
  const std::string file = options_.path + "/ingested.sst";
  rocksdb::ColumnFamilyHandle* const handle = handles_[family + 1];
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), db_->GetOptions(handle));
  const auto slice = [](std::string_view bytes) {
    return rocksdb::Slice(bytes.data(), bytes.size());
  };
  rocksdb::Status status = writer.Open(file);
  for (const RowView* row = next(); status.ok() && row != nullptr; row = next())
    status = writer.Put(slice(row->key), slice(row->value));
  if (status.ok()) status = writer.Finish();
  if (status.ok()) {
    rocksdb::IngestExternalFileOptions options;
    options.move_files = true;
    status = db_->IngestExternalFile(handle, {file}, options);
  }
  return status.ok() ? absl::OkStatus() : explain(status, "writing to it");
}

void RocksFolder::suggest_compaction(std::size_t family, const std::string& from,
                                     const std::string& to) const {
  const rocksdb::Slice begin(from), end(to);
  // Without it the space comes back later.
  rocksdb::experimental::SuggestCompactRange(db_.get(), handles_[family + 1], &begin, &end)
      .PermitUncheckedError();
}

absl::Status RocksFolder::reopen() {
  close_database();
  failed_ = true;
  absl::Status opened = open_writer();
  if (opened.ok()) return opened;
  // Readers at least may go on.
  if (!open_database(Mode::standby).ok()) close_database();
  return opened;
}

absl::StatusOr<std::string> RocksFolder::meta(std::string_view key) const {
  std::string value;
  const rocksdb::Status status =
      db_->Get(rocksdb::ReadOptions(), rocksdb::Slice(key.data(), key.size()), &value);
  if (status.IsNotFound()) return absl::NotFoundError(absl_view(key));
  if (!status.ok()) return explain(status, "reading what it is");
  return value;
}

absl::StatusOr<RocksFolder::Mark> RocksFolder::mark_of(rocksdb::ColumnFamilyHandle* family) const {
  std::string value;
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), family, mark_key, &value);
  if (status.IsNotFound()) return Mark{};
  if (!status.ok()) return explain(status, "reading what it is");
  if (value.size() != 16) return damaged("a family's mark is malformed");
  const std::string_view view(value);
  return Mark{from_big_endian(view.substr(0, 8)), from_big_endian(view.substr(8, 8))};
}

std::unique_ptr<rocksdb::Iterator> RocksFolder::rows_of(rocksdb::ColumnFamilyHandle* family) const {
  static const std::string first_key(1, '\0');
  static const rocksdb::Slice first(first_key);  // after the mark
  rocksdb::ReadOptions options;
  options.iterate_lower_bound = &first;
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options, family));
}

absl::Status RocksFolder::damaged(std::string_view what) const {
  return absl::DataLossError(
      absl::StrCat("the ", options_.kind, " in ", options_.path, " is damaged: ", absl_view(what),
                   "; it was left as it is. Restore the folder from a copy, or move it away and "
                   "start without it"));
}

absl::Status RocksFolder::explain(const rocksdb::Status& status, std::string_view doing) const {
  const std::string text = status.ToString();
  const std::string what = absl::StrCat("the ", options_.kind, " in ", options_.path, ": ",
                                        absl_view(doing), ": ", text);
  if (status.IsNoSpace() || text.find("No space left") != std::string::npos) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, "; free some space on that disk, it then goes on by itself"));
  }
  if (text.find("Permission denied") != std::string::npos ||
      text.find("Read-only file system") != std::string::npos) {
    return absl::PermissionDeniedError(
        absl::StrCat(what, "; give this user the right to write there, or name another folder"));
  }
  // A file that is named but not there, is cut short, or is none of RocksDB's: each says it in its own class.
  if (status.IsCorruption() || status.IsPathNotFound() || status.IsNotFound() ||
      status.IsInvalidArgument() || status.IsNotSupported() ||
      text.find("No such file") != std::string::npos) {
    return damaged(text);
  }
  return absl::UnavailableError(absl::StrCat(what, "; check the disk"));
}

std::uint64_t RocksFolder::read_witness() const {
  char bytes[witness_bytes];
  if (witness_ < 0 ||
      ::pread(witness_, bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
    return 0;
  }
  const std::uint64_t number = from_big_endian({bytes, 8});
  const std::uint64_t check = from_big_endian({bytes + 8, 8});
  // A witness that is itself damaged says nothing.
  return check == (number ^ witness_salt) ? number : 0;
}

void RocksFolder::write_witness() {
  const std::string bytes = to_big_endian(commits_) + to_big_endian(commits_ ^ witness_salt);
  // It may fail on a full disk: then it names less than was committed, which is allowed.
  [[maybe_unused]] const ssize_t written = ::pwrite(witness_, bytes.data(), bytes.size(), 0);
}

}  // namespace supercloud
