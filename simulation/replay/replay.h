// A replay: the production actors under virtual time over a trace of prices, with the whole choreography of every move. One run is one
// policy; what it did and what that cost is read from the events that it left.
//
// Cluster time is market time. The node with the lease table has the roles, too (feed, provider, ledger); each VM begins on an instance
// of its own at the place that was asked for. Nothing sees a future price: a notice is given when the price
// exceeds the bid, and `notice` later the instance is gone. A VM that is still there then is caught: its user rents an instance on demand and
// starts it anew.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/policy/policies.h"
#include "actors/spot/watcher.h"
#include "core/event.h"
#include "simulation/replay/result.h"

namespace supercloud {

// What moves and machines cost, and how long they take.
struct ReplayModel {
  schema::Billing billing = schema::Billing::HOURLY;
  std::optional<Money> bid;  // per hour; without it the on-demand price
  absl::Duration notice = absl::Seconds(120);
  absl::Duration launch_delay = absl::Seconds(60);
  absl::Duration migration = absl::Seconds(30);  // for which both machines are paid
  absl::Duration lead = absl::Minutes(3);        // before the end of a paid hour a move begins
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;
  int dirty_percent = 130;  // what is sent of the memory, as pages are dirtied meanwhile
  std::uint64_t disk_delta_bytes = std::uint64_t{1} << 30;
  Money egress_per_gib{10'000'000};
  Money downtime_per_hour;
  std::uint32_t moves_per_day = 0;  // of all VMs; 0: no limit
  std::uint32_t moving_max = 0;     // VMs at once, to save money; 0: no limit

  std::uint64_t transfer_bytes() const {
    return memory_bytes / 100 * static_cast<std::uint64_t>(dirty_percent) + disk_delta_bytes;
  }
  // Every assumption, as name and value, for reports.
  std::vector<std::pair<std::string, std::string>> described() const;
};

struct ReplayOptions {
  FeedFactory feed;  // one type, all zones; called once in each run
  Price on_demand;   // of that type
  PlaceName
      start;  // where the VMs begin: a spot place with a price at `from`, or the one on demand
  absl::Time from, to;
  std::vector<Message<schema::VmSpec>> vms;  // with their policies' names
  PolicyRegistry policies;
  ReplayModel model;
  // Called now and then; false ends the run.
  std::function<bool(absl::Time now)> progress;
  // Called at the end with every event, in order of time; they must be dropped before it returns.
  std::function<absl::Status(std::vector<Event> events)> keep;
};

// Cancelled: `progress` said so. Internal: an invariant broke. What `keep` says.
absl::StatusOr<ReplayStrategy> replay(const ReplayOptions& options, std::string name);

}  // namespace supercloud
