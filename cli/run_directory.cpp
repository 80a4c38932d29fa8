#include "cli/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/replace_file.h"
#include "core/text.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* file_name = "cluster.json";

absl::Status failed(const std::string& what, const files::path& path) {
  const int error = errno;
  return absl::UnavailableError(absl::StrCat(what, " ", path.string(), ": ", std::strerror(error)));
}

bool runs(const NodeEntry& node) {
  const std::uint64_t ticks = started_ticks(node.pid);
  return ticks != 0 && (node.started_ticks == 0 || node.started_ticks == ticks);
}

Json to_json(const ClusterFile& cluster) {
  Json nodes = Json::array();
  for (const NodeEntry& node : cluster.nodes)
    nodes.push_back({{"name", node.name},
                     {"pid", node.pid},
                     {"started_ticks", node.started_ticks},
                     {"request_endpoint", node.request_endpoint},
                     {"log", node.log.string()},
                     {"policies", node.policies},
                     {"guests", node.guests}});
  return {{"name", cluster.name},
          {"created", cluster.created},
          {"site", cluster.site},
          {"sockets", cluster.sockets},
          {"market",
           {{"origin", cluster.market_origin},
            {"start", cluster.market_start},
            {"speed", cluster.market_speed}}},
          {"nodes", nodes}};
}

}  // namespace

files::path state_root() {
  // Not a user's choice of a folder: where the system keeps the state of programs.
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return files::path(state) / "supercloud";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return files::path(home) / ".local" / "state" / "supercloud";
  return "/var/lib/supercloud";
}

std::uint64_t started_ticks(int pid) {
  if (pid <= 0) return 0;
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  if (!std::getline(stat, line)) return 0;
  // pid (name) state ppid ...: the name may contain anything, so fields count from its last parenthesis; the start is the 22nd.
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return 0;
  for (int index = 4; index <= 22; ++index) fields >> field;
  std::uint64_t ticks = 0;
  return absl::SimpleAtoi(field, &ticks) ? ticks : 0;
}

absl::StatusOr<ClusterFile> read_cluster_file(const files::path& directory) {
  const files::path path = directory / file_name;
  std::ifstream input(path);
  if (!input)
    return absl::NotFoundError(
        absl::StrCat("no cluster in ", directory.string(), ": ", file_name, " is missing"));
  std::ostringstream content;
  content << input.rdbuf();
  const Json json = Json::parse(content.str(), nullptr, /*allow_exceptions=*/false);
  const auto damaged = [&] {
    return absl::DataLossError(absl::StrCat(
        path.string(), " is damaged: remove the folder if its run is of no use any more"));
  };
  if (!json.is_object()) return damaged();
  ClusterFile cluster;
  try {
    cluster.name = json.at("name").get<std::string>();
    cluster.created = json.at("created").get<std::string>();
    cluster.site = json.at("site").get<std::string>();
    cluster.sockets = json.value("sockets", "");
    if (json.contains("market")) {
      cluster.market_origin = json["market"].value("origin", "");
      cluster.market_start = json["market"].value("start", "");
      cluster.market_speed = json["market"].value("speed", std::int64_t{1});
    }
    for (const Json& node : json.at("nodes")) {
      NodeEntry entry;
      entry.name = node.at("name").get<std::string>();
      entry.pid = node.at("pid").get<int>();
      entry.started_ticks = node.value("started_ticks", std::uint64_t{0});
      entry.request_endpoint = node.at("request_endpoint").get<std::string>();
      entry.log = node.at("log").get<std::string>();
      entry.policies = node.value("policies", std::vector<std::string>());
      entry.guests = node.value("guests", "");
      entry.alive = runs(entry);
      cluster.nodes.push_back(std::move(entry));
    }
  } catch (const Json::exception&) {
    return damaged();
  }
  return cluster;
}

absl::Status change_cluster_file(const files::path& directory,
                                 const std::function<void(ClusterFile&)>& change) {
  std::error_code error;
  files::create_directories(directory, error);
  if (error)
    return absl::UnavailableError(
        absl::StrCat("making ", directory.string(), ": ", error.message()));
  const files::path lock_path = directory / "cluster.lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return failed("opening", lock_path);
  const absl::Cleanup close_lock = [lock] { ::close(lock); };
  while (::flock(lock, LOCK_EX) != 0)
    if (errno != EINTR) return failed("locking", lock_path);

  absl::StatusOr<ClusterFile> cluster = read_cluster_file(directory);
  if (absl::IsNotFound(cluster.status()))
    cluster = ClusterFile{.name = directory.filename().string()};
  if (!cluster.ok()) return cluster.status();
  change(*cluster);
  const files::path path = directory / file_name;
  return replace_file(path, to_json(*cluster).dump(2) + "\n");
}

std::vector<files::path> run_directories(const files::path& root) {
  std::vector<std::pair<std::string, files::path>> found;
  std::error_code error;
  for (files::directory_iterator entry(root, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_symlink(error) || !entry->is_directory(error)) continue;
    if (auto cluster = read_cluster_file(entry->path()); cluster.ok())
      found.emplace_back(cluster->created, entry->path());
  }
  std::sort(found.begin(), found.end());
  std::vector<files::path> directories;
  for (auto& [created, path] : found) directories.push_back(std::move(path));
  return directories;
}

files::path new_run_directory(std::string_view prefix, std::size_t keep, absl::Time now) {
  const files::path root = state_root();
  remove_old_runs(root, prefix, keep - 1);
  files::path directory =
      root / absl::StrCat(absl_view(prefix),
                          absl::FormatTime("%Y%m%d-%H%M%S", now, absl::LocalTimeZone()));
  std::error_code error;
  if (files::exists(directory, error)) directory += absl::StrCat("-", ::getpid());
  return directory;
}

absl::Status point_latest_to(const files::path& directory) {
  std::error_code error;
  const files::path link = directory.parent_path() / "latest";
  const files::path made = directory.parent_path() / absl::StrCat(".latest-", ::getpid());
  files::remove(made, error);
  files::create_directory_symlink(directory.filename(), made, error);
  if (!error) files::rename(made, link, error);
  if (error)
    return absl::UnavailableError(absl::StrCat("making ", link.string(), ": ", error.message()));
  return absl::OkStatus();
}

void remove_old_runs(const files::path& root, std::string_view prefix, std::size_t keep) {
  std::vector<files::path> runs_there;
  for (const files::path& directory : run_directories(root))
    if (directory.filename().string().starts_with(prefix)) runs_there.push_back(directory);
  for (std::size_t i = 0; i + keep < runs_there.size(); ++i) {
    const auto cluster = read_cluster_file(runs_there[i]);
    const bool running =
        cluster.ok() && std::any_of(cluster->nodes.begin(), cluster->nodes.end(),
                                    [](const NodeEntry& node) { return node.alive; });
    std::error_code error;
    if (!running) files::remove_all(runs_there[i], error);
  }
}

}  // namespace supercloud
