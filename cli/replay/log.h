// The log of a replay, where `supercloud explain` and `events` find it as that of the last run.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "storage/log_image.h"

namespace supercloud {

// Writes a cluster that has ended, with one log of all events, and makes it the last run. Gives its name. Runs of earlier replays are
// removed but for the newest few.
absl::StatusOr<std::string> keep_replay_log(const LogImage& image);

}  // namespace supercloud
