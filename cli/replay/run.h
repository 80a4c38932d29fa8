// Runs policies over the same prices, each in a thread of its own, and what was possible beside them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/replay/setup.h"

namespace supercloud {

struct ReplayWatch {
  std::function<bool()> stop;                  // thread-safe
  std::function<void(double share)> progress;  // 0 to 1; called from the calling thread
};

// `policies`: names, the asked one first; ReplayOptions::keep is called with its events alone. Adds the clairvoyant. InvalidArgument, before
// anything runs: with PreparedReplay::clairvoyant_moves the cloud would take a VM.
absl::StatusOr<ReplayResult> run_strategies(const PreparedReplay& prepared,
                                            const std::vector<std::string>& policies,
                                            const ReplayWatch& watch);

// What a VM costs where prices are all that counts: stay in each zone, cheapest, thresholds, clairvoyant. --model plain.
absl::StatusOr<ReplayResult> run_plain(const PreparedReplay& prepared, bool at_start);

}  // namespace supercloud
