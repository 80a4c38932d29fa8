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

absl::StatusOr<std::string> keep_replay_log(const LogImage& image) {
  const absl::Time now = absl::Now();
  const files::path directory = new_run_directory(run_prefix, runs_kept, now);
  const files::path log = directory / log_name / "log";
  std::error_code error;
  files::create_directories(log.parent_path(), error);
  if (error)
    return absl::UnavailableError(absl::StrCat("making ", log.parent_path().string(), ": ",
                                               error.message(), "; or replay with --no-log"));
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
