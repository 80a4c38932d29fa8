#include "cli/replay/log.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/run_directory.h"
#include "storage/rocks_event_log.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr const char* run_prefix = "replay-";
constexpr std::size_t runs_kept = 5;
constexpr const char* log_name = "replay";  // of the node whose log it is said to be

}  // namespace

absl::StatusOr<files::path> make_replay_folder() {
  const files::path directory = new_run_directory(run_prefix, runs_kept, absl::Now());
  const files::path folder = directory / log_name;
  std::error_code error;
  files::create_directories(folder, error);
  if (error)
    return absl::FailedPreconditionError(
        absl::StrCat("the log: making ", folder.string(), ": ", error.message(),
                     "; set XDG_STATE_HOME to a folder that may be written to, or replay with "
                     "--no-log"));
  return directory;
}

absl::StatusOr<std::string> keep_replay_log(const files::path& directory, const LogImage& image) {
  const absl::Time now = absl::Now();
  const files::path log = directory / log_name / "log";
  const absl::Status written = RocksEventLog::make({.path = log.string(), .node = log_name}, image);
  if (!written.ok()) return written;
  const absl::Status made = change_cluster_file(directory, [&](ClusterFile& file) {
    file.name = directory.filename().string();
    file.created = absl::FormatTime(absl::RFC3339_full, now, absl::UTCTimeZone());
    file.site = log_name;
    NodeEntry node;
    node.name = log_name;
    node.log = log;
    file.nodes = {node};
  });
  if (!made.ok()) return made;
  if (const absl::Status linked = point_latest_to(directory); !linked.ok()) return linked;
  return directory.filename().string();
}

}  // namespace supercloud
