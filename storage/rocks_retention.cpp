#include "storage/rocks_retention.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/rocks_log_rows.h"

namespace supercloud {
namespace {

constexpr const char* row_key = "retained";
constexpr std::uint64_t count_every = 16 << 20;   // bytes appended, between two stored counts
constexpr std::uint64_t compact_every = 8 << 20;  // bytes removed

Bytes bytes_of(const rocksdb::Slice& slice) {
  return {reinterpret_cast<const std::byte*>(slice.data()), slice.size()};
}

// Each run of positions as one row of the batch.
void erase_positions(RocksChanges& batch, std::vector<std::uint64_t> positions) {
  std::ranges::sort(positions);
  for (std::size_t i = 0; i < positions.size();) {
    std::size_t end = i + 1;
    while (end < positions.size() && positions[end] == positions[end - 1] + 1) ++end;
    if (end - i == 1)
      batch.erase(events_family, to_big_endian(positions[i]));
    else
      batch.erase_range(events_family, to_big_endian(positions[i]),
                        to_big_endian(positions[end - 1] + 1));
    i = end;
  }
}

}  // namespace

absl::Status RocksRetention::load(const RocksFolder& folder) {
  loaded_ = false;
  past_ = RetainedPast();
  oldest_.reset();
  stored_ = false;
  counted_ = counted_bytes_ = 0;
  const absl::StatusOr<std::string> row = folder.meta(row_key);
  if (absl::IsNotFound(row.status())) {
    loaded_ = true;
    return absl::OkStatus();
  }
  if (!row.ok()) return row.status();
  if (row->size() != 32) return folder.damaged("what it retains is malformed");
  const std::string_view fields(*row);
  const std::uint64_t begins = from_big_endian(fields.substr(0, 8));
  const std::uint64_t kept = from_big_endian(fields.substr(8, 8));
  counted_bytes_ = from_big_endian(fields.substr(16, 8));
  counted_ = from_big_endian(fields.substr(24, 8));
  stored_ = true;
  past_.restore(begins, 0);
  std::uint64_t found = 0;
  const auto rows = folder.rows(events_family);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next(), ++found) {
    const std::uint64_t position = from_big_endian(view(rows->key()));
    if (position >= begins) break;
    const absl::StatusOr<Event> event = pool_.parse(bytes_of(rows->value()));
    if (event.ok())
      past_.keep(RetainedPast::passed(position, *event));  // else told when it is read
  }
  if (!rows->status().ok()) return folder.explain(rows->status(), "reading what it retains");
  loaded_ = found == kept;
  if (loaded_) return absl::OkStatus();
  return folder.damaged(
      absl::StrCat("of ", kept, " events that it retains of its past ", found, " are there"));
}

absl::Status RocksRetention::count(const RocksFolder& folder, std::uint64_t next) {
  if (limits_.bytes == Retention::no_limit) return absl::OkStatus();
  loaded_ = false;
  const bool known = counted_ >= past_.begins() && counted_ <= next;
  std::uint64_t bytes = known ? counted_bytes_ : 0;
  const auto rows = folder.rows(events_family);
  for (rows->Seek(to_big_endian(known ? counted_ : past_.begins())); rows->Valid(); rows->Next()) {
    if (from_big_endian(view(rows->key())) >= next) break;
    bytes += rows->value().size();
  }
  if (!rows->status().ok()) return folder.explain(rows->status(), "reading events");
  past_.restore(past_.begins(), bytes);
  loaded_ = true;
  return absl::OkStatus();
}

void RocksRetention::forget(const RocksFolder& folder, RocksChanges& batch, std::uint64_t stored,
                            std::uint64_t next, absl::Time now) {
  if (limits_.keeps_all()) return;
  const std::uint64_t began = past_.begins();
  const std::size_t step = RetainedPast::step(next - stored);
  std::vector<std::uint64_t> gone;
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> streams;  // newest that is passed
  std::unique_ptr<rocksdb::Iterator> rows;
  // The last one tells where the log ends, and its time.
  while (past_.begins() + 1 < stored && past_.begins() - began < step) {
    if (oldest_ && !past_.over(limits_, next, now, *oldest_)) break;
    if (rows == nullptr) {
      rows = folder.rows(events_family);
      rows->Seek(to_big_endian(past_.begins()));
    }
    // What is missing or damaged is told when it is read, and nothing behind it is forgotten.
    if (!rows->Valid() || from_big_endian(view(rows->key())) != past_.begins()) break;
    const absl::StatusOr<Event> event = pool_.parse(bytes_of(rows->value()));
    if (!event.ok()) break;
    oldest_ = event->time();
    if (!past_.over(limits_, next, now, *oldest_)) break;
    const RetainedPast::Passed passed = RetainedPast::passed(past_.begins(), *event);
    if (const auto position = past_.pass(passed)) gone.push_back(*position);
    streams[{std::string(passed.origin), passed.incarnation}] = passed.sequence;
    removed_ += passed.bytes;
    oldest_.reset();
    rows->Next();
  }
  const bool begun = past_.begins() != began;
  if (!begun &&
      (limits_.bytes == Retention::no_limit || past_.bytes() < counted_bytes_ + count_every))
    return;
  erase_positions(batch, std::move(gone));
  // Of each stream the last row at or before what is passed still tells where to look for what follows.
  rows = folder.rows(streams_family);
  for (const auto& [stream, sequence] : streams) {
    const std::string lead = stream_key(stream.first, stream.second, 0);
    rows->SeekForPrev(stream_key(stream.first, stream.second, sequence));
    if (!rows->Valid() || view(rows->key()) <= lead) continue;
    std::string last = rows->key().ToString();
    rows->Prev();
    if (rows->Valid() && view(rows->key()) >= lead)
      batch.erase_range(streams_family, lead, std::move(last));
  }
  if (begun && began == RetainedPast::first)
    batch.put(RocksChanges::in_default, RocksFolder::format_key, absl::StrCat(format));
  counted_ = limits_.bytes == Retention::no_limit ? past_.begins() : next;
  counted_bytes_ = past_.bytes();
  if (limits_.bytes == Retention::no_limit) counted_bytes_ = 0;
  put(batch, counted_bytes_, counted_);
  stored_ = true;
}

void RocksRetention::committed(const RocksFolder& folder) {
  if (removed_ < compact_every) return;
  removed_ = 0;
  folder.suggest_compaction(events_family, to_big_endian(0), to_big_endian(past_.begins()));
}

void RocksRetention::uncount(RocksChanges& batch) const {
  if (stored_) put(batch, 0, past_.begins());
}

void RocksRetention::put(RocksChanges& batch, std::uint64_t bytes, std::uint64_t counted) const {
  batch.put(RocksChanges::in_default, row_key,
            to_big_endian(past_.begins()) + to_big_endian(past_.kept()) + to_big_endian(bytes) +
                to_big_endian(counted));
}

}  // namespace supercloud
