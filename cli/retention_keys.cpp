#include "cli/retention_keys.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace supercloud {
namespace {

constexpr std::int64_t mib = 1 << 20;

// Policies count a day's moves and the ledger a day's charges when they start; a node may have been down for another day.
const Duration keep_min = 2 * kept_surely;
// What a busy node says in that time, and more.
constexpr std::int64_t keep_mib_min = 64, keep_events_min = 100'000;

}  // namespace

Retention read_retention(TomlTable& table) {
  Retention retention;
  if (table.has("keep")) {
    retention.age = table.duration("keep", keep_min);
    if (retention.age < keep_min)
      table.complain(
          "keep",
          "is too short: actors that start read what happened within a day, and a node may "
          "have been down for another; write \"2d\" or more, such as \"90d\", or leave it "
          "out to keep everything");
  }
  if (table.has("keep_mib"))
    retention.bytes = static_cast<std::uint64_t>(
        table.integer("keep_mib", keep_mib_min, keep_mib_min, INT64_MAX / mib) * mib);
  if (table.has("keep_events"))
    retention.events = static_cast<std::uint64_t>(
        table.integer("keep_events", keep_events_min, keep_events_min, INT64_MAX));
  return retention;
}

std::string to_toml(const Retention& retention) {
  std::string keys;
  if (retention.age != absl::InfiniteDuration())
    absl::StrAppend(&keys, "keep = \"", absl::FormatDuration(retention.age), "\"\n");
  if (retention.bytes != Retention::no_limit)
    absl::StrAppend(&keys, "keep_mib = ", retention.bytes / mib, "\n");
  if (retention.events != Retention::no_limit)
    absl::StrAppend(&keys, "keep_events = ", retention.events, "\n");
  return keys;
}

}  // namespace supercloud
