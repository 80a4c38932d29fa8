// Live prices of a cloud, as a node's file and its environment ask for them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/spot/watcher.h"
#include "cli/toml_table.h"
#include "core/event_loop.h"
#include "core/random.h"

namespace supercloud {

// [account.feed]
struct LivePrices {
  std::string api;  // "aws" or "azure": the cloud of the places, too
  std::string region;
  Duration every;        // between two polls
  std::string product;   // of AWS: as it describes the system that runs
  bool windows = false;  // of Azure
  std::string endpoint;  // empty: the cloud's own
  std::string proxy;     // empty: none

  // Market time without an answer after which the feed counts as lost.
  Duration silence() const { return 3 * every; }
};

// Mistakes are told by `feed`.
LivePrices read_live_prices(TomlTable& feed);

// A factory of feeds on `loop`. Keys come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, and are
// read now. InvalidArgument, FailedPrecondition name what is missing and the cure.
absl::StatusOr<FeedFactory> live_feed_factory(EventLoop& loop, const LivePrices& live,
                                              std::vector<std::string> types, Random random);

}  // namespace supercloud
