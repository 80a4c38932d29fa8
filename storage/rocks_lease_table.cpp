#include "storage/rocks_lease_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/rocks_folder.h"
#include "storage/worker.h"

namespace supercloud {
namespace {

constexpr std::uint32_t table_format = 1;
constexpr std::size_t leases_family = 0;
constexpr std::size_t sessions_family = 1;
constexpr std::string_view sessions_opened_key = "sessions_opened";
constexpr std::string_view epochs_removed_key = "epochs_removed";
constexpr std::size_t queue_max = 4;  // a table has one commit or load under way

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

absl::StatusOr<LeaseContents> load_contents(const RocksFolder& folder) {
  LeaseContents contents;
  contents.identity = folder.identity().substr(0, 8);
  std::unique_ptr<rocksdb::Iterator> rows = folder.rows(leases_family);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    absl::StatusOr<StoredLease> lease = decode_stored_lease(view(rows->value()));
    if (!lease.ok()) return folder.damaged(std::string(lease.status().message()));
    if (lease->record.key != view(rows->key()))
      return folder.damaged("a lease is under a wrong key");
    std::string key = lease->record.key;
    contents.leases.emplace(std::move(key), *std::move(lease));
  }
  if (!rows->status().ok()) return folder.explain(rows->status(), "reading leases");
  rows = folder.rows(sessions_family);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    absl::StatusOr<StoredSession> session =
        decode_stored_session(rows->key().ToString(), view(rows->value()));
    if (!session.ok()) return folder.damaged(std::string(session.status().message()));
    contents.sessions.emplace(rows->key().ToString(), *std::move(session));
  }
  if (!rows->status().ok()) return folder.explain(rows->status(), "reading sessions");
  std::string opened;
  const rocksdb::Status status =
      folder.db()->Get(rocksdb::ReadOptions(), slice(sessions_opened_key), &opened);
  if (!status.ok() && !status.IsNotFound()) return folder.explain(status, "reading sessions");
  if (status.ok()) contents.sessions_opened = from_big_endian(opened);
  std::string removed;
  const rocksdb::Status floor =
      folder.db()->Get(rocksdb::ReadOptions(), slice(epochs_removed_key), &removed);
  if (!floor.ok() && !floor.IsNotFound()) return folder.explain(floor, "reading removed epochs");
  if (floor.ok()) contents.epochs_removed = from_big_endian(removed);
  if (contents.sessions_opened < contents.sessions.size()) {
    return folder.damaged("it has more sessions than were opened");
  }
  return contents;
}

class RocksLeaseStore final : public LeaseStore {
 public:
  RocksLeaseStore(Scheduler& scheduler, std::unique_ptr<RocksFolder> folder)
      : scheduler_(scheduler), folder_(std::move(folder)), worker_(queue_max) {}

  void commit(LeaseChanges changes, Reply<Done> reply) override {
    run(std::move(reply), [this, changes = std::move(changes)]() -> absl::StatusOr<Done> {
      const absl::Status written = write(changes);
      return written.ok() ? absl::StatusOr<Done>(Done{}) : written;
    });
  }

  void load(Reply<LeaseContents> reply) override {
    run(std::move(reply), [this]() -> absl::StatusOr<LeaseContents> {
      if (absl::Status opened = folder_->reopen(); !opened.ok()) return opened;
      return load_contents(*folder_);
    });
  }

 private:
  template <class T, class Work>
  void run(Reply<T> reply, Work work) {
    auto shared = std::make_shared<Reply<T>>(std::move(reply));
    Task task = [&scheduler = scheduler_, shared, work = std::move(work)]() mutable {
      scheduler.post([shared, result = work()]() mutable { (*shared)(std::move(result)); });
    };
    if (!worker_.offer(task)) (*shared)(absl::ResourceExhaustedError("the lease table is busy"));
  }

  absl::Status write(const LeaseChanges& changes) {
    RocksChanges batch;
    for (const auto& [key, lease] : changes.leases) {
      if (lease) {
        batch.put(leases_family, key, encode_stored_lease(*lease));
      } else {
        batch.erase(leases_family, key);
      }
    }
    for (const auto& [id, session] : changes.sessions) {
      if (session) {
        batch.put(sessions_family, id, encode_stored_session(*session));
      } else {
        batch.erase(sessions_family, id);
      }
    }
    if (changes.epochs_removed) {
      batch.put(RocksChanges::in_default, std::string(epochs_removed_key),
                to_big_endian(*changes.epochs_removed));
    }
    if (changes.sessions_opened) {
      batch.put(RocksChanges::in_default, std::string(sessions_opened_key),
                to_big_endian(*changes.sessions_opened));
    }
    return folder_->commit(batch);
  }

  Scheduler& scheduler_;
  const std::unique_ptr<RocksFolder> folder_;
  Worker worker_;  // last: its thread uses the folder
};

}  // namespace

absl::StatusOr<std::unique_ptr<LeaseTable>> open_rocks_lease_table(Scheduler& scheduler,
                                                                   RocksLeaseTableOptions options) {
  absl::StatusOr<std::unique_ptr<RocksFolder>> folder =
      RocksFolder::open({.path = std::move(options.path),
                         .kind = "lease table",
                         .format = table_format,
                         .owner = std::move(options.cluster),
                         .families = {{"leases"}, {"sessions"}},
                         .env = options.env});
  if (!folder.ok()) return folder.status();
  absl::StatusOr<LeaseContents> contents = load_contents(**folder);
  if (!contents.ok()) return contents.status();
  return std::make_unique<DurableLeaseTable>(
      scheduler, std::make_unique<RocksLeaseStore>(scheduler, *std::move(folder)),
      *std::move(contents), options.table);
}

}  // namespace supercloud
