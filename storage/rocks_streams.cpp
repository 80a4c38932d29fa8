#include "storage/rocks_streams.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/notary.h"
#include "storage/rocks_log_rows.h"

namespace supercloud {
namespace {

constexpr std::uint64_t index_every = 1024;  // positions, where a log without rows is indexed
constexpr std::uint64_t sequence_max = std::numeric_limits<std::uint64_t>::max();

// Of a row of "streams" that begins with the origin.
OriginStands::Stand stand_of(std::string_view key, std::size_t origin_bytes) {
  return {from_big_endian(key.substr(origin_bytes, 8)),
          from_big_endian(key.substr(origin_bytes + 8, 8))};
}

}  // namespace

absl::StatusOr<Event> event_at(const RocksFolder& folder, EventPool& pool, std::uint64_t position,
                               std::string_view bytes) {
  absl::StatusOr<Event> event =
      pool.parse(Bytes(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()));
  if (event.ok()) return event;
  return folder.damaged(absl::StrCat("event ", position, ": ", event.status().message()));
}

absl::StatusOr<std::uint64_t> RocksStreams::position_of(const StreamRange& range) const {
  const std::string lead = origin_key(range.origin, to_big_endian(range.incarnation));
  std::unique_ptr<rocksdb::Iterator> rows = log_.folder.rows(streams_family);
  const auto ours = [&] { return rows->Valid() && view(rows->key()).starts_with(lead); };
  // The commit in which the first one may be, or the first commit of all.
  rows->SeekForPrev(stream_key(range.origin, range.incarnation, range.after + 1));
  if (!ours()) rows->Seek(lead);
  if (!rows->status().ok()) return log_.folder.explain(rows->status(), "reading streams");
  if (!ours()) {
    return absl::NotFoundError(absl::StrCat("nothing of ", range.origin, ":", range.incarnation,
                                            " is in the event log in ", log_.folder.path()));
  }
  const std::uint64_t position = from_big_endian(view(rows->value()));
  const auto kept = log_.past.first_kept([&](const RetainedPast::Kept& it) {
    return it.incarnation == range.incarnation && it.sequence > range.after &&
           it.origin == range.origin;
  });
  return std::min(position, kept.value_or(position));
}

std::uint64_t RocksStreams::end_of(const StreamRange& range) const {
  const std::string lead = origin_key(range.origin, "");
  std::unique_ptr<rocksdb::Iterator> rows = log_.folder.rows(streams_family);
  rows->Seek(origin_key(range.origin, to_big_endian(range.incarnation + 1)));
  if (!rows->Valid() || !view(rows->key()).starts_with(lead)) return log_.end;
  return std::min(log_.end, from_big_endian(view(rows->value())));
}

absl::StatusOr<StreamPart> RocksStreams::read(const StreamRange& range,
                                              std::size_t bytes_max) const {
  const absl::StatusOr<std::uint64_t> from = position_of(range);
  if (!from.ok()) return from.status();
  StreamPart part;
  part.through = range.up_to;
  // Behind its newest event of them nothing is looked for: that may be the whole rest of the log.
  const std::uint64_t newest =
      log_.origins.newest_of(range.origin, range.incarnation, range.prefixes)
          .value_or(sequence_max);
  if (newest <= range.after) return part;
  part.through = range.after;
  const std::uint64_t end = end_of(range);
  bool whole = false;      // it has all its events; of their checkpoints the last may follow
  std::size_t proven = 0;  // so many of them
  std::size_t bytes = 0, proof_bytes = 0;
  std::size_t looks = 0, looks_behind = 0;
  std::unique_ptr<rocksdb::Iterator> rows = log_.folder.rows(events_family);
  for (rows->Seek(to_big_endian(*from)); rows->Valid(); rows->Next()) {
    const std::uint64_t position = from_big_endian(view(rows->key()));
    const bool is_proven = !range.proofs || proven == part.events.size();
    if (position >= end || (whole && (is_proven || ++looks_behind > log_.scan_max))) break;
    const bool full = bytes >= bytes_max || looks++ >= log_.scan_max;
    absl::StatusOr<Event> event = event_at(log_.folder, log_.pool, position, view(rows->value()));
    if (!event.ok()) return event.status();
    const std::size_t size = rows->value().size();
    const bool ours = event->origin() == range.origin && event->incarnation() == range.incarnation;
    if (!whole && ours && event->sequence() > range.up_to) {
      whole = true;
      part.through = range.up_to;
    }
    if (!whole && ours && event->sequence() > range.after) {
      const bool wanted = range.has(event->topic());
      whole = part.through > range.after && (full || (wanted && bytes + size > bytes_max));
      if (!whole) {
        part.through = event->sequence();
        if (part.through >= newest) {
          whole = true;
          part.through = range.up_to;
        }
        if (wanted) {
          bytes += size;
          part.events.push_back(*std::move(event));
          continue;
        }
      }
    }
    if (!range.proofs || proven == part.events.size() || !is_checkpoint_of(*event, range.origin))
      continue;
    if (bytes + proof_bytes + size > proven_bytes_max && proven > 0) {
      part.cut(proven);
      return part;
    }
    proof_bytes += size;
    part.checkpoints.push_back(*std::move(event));
    proven = part.events.size();
  }
  if (!rows->status().ok()) return log_.folder.explain(rows->status(), "reading events");
  if (!whole) part.through = range.up_to;
  return part;
}

absl::StatusOr<std::uint64_t> RocksStreams::seek(const LogBeginning& beginning,
                                                 const Pattern& pattern) const {
  const OriginStands stands(beginning.behind);
  const std::string& prefix = pattern.wire_prefix();
  std::uint64_t first = log_.end;
  for (const auto& [origin, entry] : log_.origins.entries()) {
    absl::StatusOr<std::uint64_t> position = log_.end;
    if (const auto stand = stands.of(origin)) {
      if (stand->first > entry.incarnation) continue;
      const auto newest = log_.origins.newest_of(origin, stand->first, {&prefix, 1});
      if (newest && *newest <= stand->second) continue;
      position = behind(origin, *stand);
    } else {
      position = since(origin, beginning.since);
    }
    if (!position.ok()) return position;
    // Of its events none has a row: an earlier program, or make(), wrote none.
    const bool no_row = *position == log_.end && !entry.tails.empty();
    first = no_row ? RetainedPast::first : std::min(first, *position);
  }
  const auto kept = log_.past.first_kept([&](const RetainedPast::Kept& it) {
    const auto stand = stands.of(it.origin);
    return stand ? *stand < std::pair(it.incarnation, it.sequence) : it.time >= beginning.since;
  });
  return std::min(first, kept.value_or(first));
}

// Those behind it are in the commit whose row is the last up to them, or in later ones.
absl::StatusOr<std::uint64_t> RocksStreams::behind(std::string_view origin,
                                                   OriginStands::Stand stand) const {
  const std::string lead = origin_key(origin, "");
  std::unique_ptr<rocksdb::Iterator> rows = log_.folder.rows(streams_family);
  const auto ours = [&] { return rows->Valid() && view(rows->key()).starts_with(lead); };
  rows->SeekForPrev(stream_key(origin, stand.first, stand.second));
  if (!ours()) rows->Seek(lead);
  if (!rows->status().ok()) return log_.folder.explain(rows->status(), "reading streams");
  return ours() ? from_big_endian(view(rows->value())) : log_.end;
}

// In each of its incarnations times ascend.
absl::StatusOr<std::uint64_t> RocksStreams::since(std::string_view origin, HybridTime time) const {
  const std::string lead = origin_key(origin, "");
  std::uint64_t first = log_.end;
  std::unique_ptr<rocksdb::Iterator> rows = log_.folder.rows(streams_family);
  const auto ours = [&] { return rows->Valid() && view(rows->key()).starts_with(lead); };
  for (rows->Seek(lead); ours();) {
    auto [incarnation, low] = stand_of(view(rows->key()), lead.size());
    std::uint64_t found = from_big_endian(view(rows->value()));
    const auto position_at = [&, of = incarnation](std::uint64_t sequence) {
      rows->SeekForPrev(stream_key(origin, of, sequence));
      return from_big_endian(view(rows->value()));
    };
    position_at(sequence_max);
    std::uint64_t high = stand_of(view(rows->key()), lead.size()).second;
    // The last row whose event is older.
    while (low < high && time.value != 0) {
      const std::uint64_t middle = low + (high - low + 1) / 2;
      const std::uint64_t position = position_at(middle);
      const absl::StatusOr<bool> older = is_older(position, time);
      if (!older.ok()) return older.status();
      if (*older) {
        low = middle;
        found = position;
      } else {
        high = middle - 1;
      }
    }
    first = std::min(first, found);
    rows->Seek(origin_key(origin, to_big_endian(incarnation + 1)));
  }
  if (!rows->status().ok()) return log_.folder.explain(rows->status(), "reading streams");
  return first;
}

absl::StatusOr<bool> RocksStreams::is_older(std::uint64_t position, HybridTime time) const {
  std::unique_ptr<rocksdb::Iterator> rows = log_.folder.rows(events_family);
  rows->Seek(to_big_endian(position));
  if (!rows->status().ok()) return log_.folder.explain(rows->status(), "reading events");
  const bool there = rows->Valid() && from_big_endian(view(rows->key())) == position;
  if (!there) return position < log_.past.begins();
  const absl::StatusOr<Event> event =
      event_at(log_.folder, log_.pool, position, view(rows->value()));
  if (!event.ok()) return event.status();
  return event->time() < time;
}

absl::StatusOr<RocksChanges> RocksStreams::index() const {
  RocksChanges changes;
  std::map<std::string, std::uint64_t> last;  // position of the last row of each stream
  std::unique_ptr<rocksdb::Iterator> rows = log_.folder.rows(events_family);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    const std::uint64_t position = from_big_endian(view(rows->key()));
    const absl::StatusOr<Event> event =
        event_at(log_.folder, log_.pool, position, view(rows->value()));
    if (!event.ok()) return event.status();
    std::uint64_t& at = last[origin_key(event->origin(), to_big_endian(event->incarnation()))];
    if (at != 0 && position - at < index_every) continue;
    at = position;
    changes.put(streams_family,
                stream_key(event->origin(), event->incarnation(), event->sequence()),
                to_big_endian(position));
  }
  if (!rows->status().ok()) return log_.folder.explain(rows->status(), "reading events");
  return changes;
}

}  // namespace supercloud
