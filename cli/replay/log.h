// The log of a replay, where `supercloud explain` and `events` find it as that of the last run.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "storage/log_image.h"

namespace supercloud {

// Before a replay: makes the folder of its run, so that nothing runs in vain whose log cannot be kept. Runs of earlier replays are removed
// but for the newest few. FailedPrecondition, with the cure.
absl::StatusOr<std::filesystem::path> make_replay_folder();

// Writes there a cluster that has ended, with one log of all events, and makes it the last run. Gives its name.
absl::StatusOr<std::string> keep_replay_log(const std::filesystem::path& directory,
                                            const LogImage& image);

}  // namespace supercloud
