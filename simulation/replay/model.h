// Under which assumptions prices are replayed: each is printed with every result, and all but the last two are flags of the command.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "actors/ledger/billing.h"
#include "core/schema/event.capnp.h"
#include "core/units.h"

namespace supercloud {

// What moves and machines cost, and how long they take.
struct ReplayModel {
  schema::Billing billing = schema::Billing::HOURLY;
  std::optional<Money> bid;  // per hour; without it the on-demand price
  absl::Duration notice = absl::Seconds(120);
  absl::Duration launch_delay = absl::Seconds(60);
  absl::Duration migration = absl::Seconds(30);  // for which both machines are paid
  // Before the end of a paid hour a move begins; without it what a move takes, and `lead_spare`.
  std::optional<absl::Duration> lead;
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;
  int dirty_percent = 130;  // what is sent of the memory, as pages are dirtied meanwhile
  std::uint64_t disk_delta_bytes = std::uint64_t{1} << 30;
  Money egress_per_gib = usual_egress_per_gib;
  Money downtime_per_hour;
  std::uint32_t moves_per_day = 0;  // of all VMs; 0: no limit
  std::uint32_t moving_max = 0;     // VMs at once, to save money; 0: no limit
  // Bytes a second that the moves of all VMs share, besides what each takes by `migration`; 0: no limit.
  std::uint64_t bandwidth = 0;

  static constexpr absl::Duration lead_spare = absl::Seconds(90);
  // Until its user sees that a VM was caught.
  static constexpr absl::Duration rescue_look = absl::Minutes(5);

  // Of one move alone: `migration`, or longer if the bandwidth does not allow that.
  absl::Duration move_time() const {
    if (bandwidth == 0) return migration;
    return std::max(migration, absl::Seconds(static_cast<double>(transfer_bytes()) /
                                             static_cast<double>(bandwidth)));
  }
  absl::Duration lead_time() const {
    return lead.value_or(launch_delay + move_time() + lead_spare);
  }
  std::uint64_t transfer_bytes() const {
    return memory_bytes / 100 * static_cast<std::uint64_t>(dirty_percent) + disk_delta_bytes;
  }
  // At the egress price, of one move.
  Money transfer_cost() const;
  // Every assumption, as name and value, for reports.
  std::vector<std::pair<std::string, std::string>> described() const;
};

}  // namespace supercloud
