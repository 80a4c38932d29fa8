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
#include "simulation/replay/model.h"
#include "simulation/replay/result.h"
#include "storage/log_image.h"

namespace supercloud {

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
  // Called at the end with every event, in order of time; the bytes are gone once it has returned.
  std::function<absl::Status(const LogImage& image)> keep;
};

// Cancelled: `progress` said so. Internal: an invariant broke. What `keep` says.
absl::StatusOr<ReplayStrategy> replay(const ReplayOptions& options, std::string name);

}  // namespace supercloud
