#include "hypercall/qemu/progress.h"

#include <algorithm>
#include <limits>

namespace supercloud {
namespace {

// Below it, what was sent says nothing about the rate.
constexpr Duration measured_min = absl::Milliseconds(50);
// As long as QEMU has not sent for that long, its own default for the rate.
constexpr std::uint64_t rate_expected = 128 << 20;

std::uint32_t percent_of(const QemuMigration& migration) {
  if (migration.status == "completed") return 100;
  if (migration.total_bytes == 0) return 0;
  const std::uint64_t left = std::min(migration.remaining_bytes, migration.total_bytes);
  const double part = 1.0 - static_cast<double>(left) / static_cast<double>(migration.total_bytes);
  return std::min(static_cast<std::uint32_t>(part * 100), 99U);
}

// How much longer it would take to send all pages anew, none of which were zeros.
double most_times(const QemuMigration& migration) {
  const auto sent = static_cast<double>(migration.sent_bytes);
  return 1 + static_cast<double>(migration.zero_pages) * static_cast<double>(migration.page_bytes) /
                 sent;
}

}  // namespace

QemuMigration QemuMigration::parse(const QmpValue& value) {
  QemuMigration migration;
  migration.status = qmp_text(value, "status");
  if (migration.status.empty()) migration.status = "none";
  migration.error = qmp_text(value, "error-desc");
  migration.time = absl::Milliseconds(static_cast<std::int64_t>(
      std::min<std::uint64_t>(qmp_number(value, "total-time"), 1U << 30U)));
  const QmpValue& ram = qmp_member(value, "ram");
  migration.total_bytes = qmp_number(ram, "total");
  migration.remaining_bytes = qmp_number(ram, "remaining");
  migration.sent_bytes = qmp_number(ram, "transferred");
  migration.zero_pages = qmp_number(ram, "duplicate");
  migration.passes = qmp_number(ram, "dirty-sync-count");
  migration.dirty_pages_per_second = qmp_number(ram, "dirty-pages-rate");
  constexpr std::uint64_t page_bytes_max = 1 << 30;
  if (const std::uint64_t page = qmp_number(ram, "page-size"); page > 0 && page <= page_bytes_max)
    migration.page_bytes = page;
  return migration;
}

const TransferProgress& TransferMeter::update(const QemuMigration& migration, Instant now) {
  const Duration since = now - last_;
  if (last_ == Instant{} && migration.time >= measured_min) {
    progress_.bytes_per_second = static_cast<std::uint64_t>(
        static_cast<double>(migration.sent_bytes) / absl::ToDoubleSeconds(migration.time));
  } else if (last_ != Instant{} && since >= measured_min && migration.sent_bytes > last_sent_ &&
             !progress_.converged) {
    // While little is dirtied, little is sent: what the way can carry was seen before.
    progress_.bytes_per_second =
        std::max(progress_.bytes_per_second / 2,
                 static_cast<std::uint64_t>(static_cast<double>(migration.sent_bytes - last_sent_) /
                                            absl::ToDoubleSeconds(since)));
  }
  progress_.percent = std::max(progress_.percent, percent_of(migration));
  progress_.pass = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(migration.passes, std::numeric_limits<std::uint32_t>::max()));
  progress_.sent_bytes = migration.sent_bytes;
  progress_.remaining_bytes = migration.remaining_bytes;
  const bool follows = migration.status.starts_with("postcopy");
  progress_.dirty_pages_per_second = follows ? 0 : migration.dirty_pages_per_second;
  const double rate = static_cast<double>(
      progress_.bytes_per_second == 0 ? rate_expected : progress_.bytes_per_second);
  const double left = static_cast<double>(migration.remaining_bytes);
  const double dirtied = static_cast<double>(progress_.dirty_pages_per_second) *
                         static_cast<double>(migration.page_bytes);
  progress_.eta_low = absl::Seconds(left / rate);
  progress_.eta_high =
      dirtied < rate ? absl::Seconds(left / (rate - dirtied)) : absl::InfiniteDuration();
  // The first pass is all of memory; after it, what remains is what was dirtied since. A pass that ends between two looks counts too.
  const bool second = migration.passes >= 2;
  const bool fits = absl::Seconds(left / rate) <= blackout_budget_;
  const bool short_passes = migration.passes > last_passes_ + 1 || dirtied < rate;
  // QEMU begins no second one before it has measured a rate, for a tenth of a second. What a first one that was shorter leaves is not known: at
  // most all of memory, pages that were zeros and cost nothing among it.
  const bool all_sent = migration.passes == 1 && migration.remaining_bytes == 0 &&
                        migration.sent_bytes > 0 &&
                        migration.time * most_times(migration) <= blackout_budget_;
  if (all_sent || (second && ((fits && short_passes) || migration.passes > passes_max_)))
    progress_.converged = true;
  last_ = now;
  last_sent_ = migration.sent_bytes;
  last_passes_ = migration.passes;
  return progress_;
}

}  // namespace supercloud
