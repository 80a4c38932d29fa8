#include "cli/cluster_target.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/near_names.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

std::vector<std::string> names_of(const std::vector<files::path>& directories) {
  std::vector<std::string> names;
  for (const files::path& directory : directories) names.push_back(directory.filename().string());
  return names;
}

absl::Status unknown(const std::string& wanted, const files::path& root) {
  const auto near = near_names(wanted, names_of(run_directories(root)));
  return absl::NotFoundError(
      absl::StrCat("no cluster \"", wanted, "\" in ", root.string(),
                   near.empty() ? std::string("; `supercloud demo` starts one")
                                : absl::StrCat("; near: ", absl::StrJoin(near, ", "))));
}

}  // namespace

absl::StatusOr<ClusterTarget> load_cluster(const files::path& directory) {
  auto file = read_cluster_file(directory);
  if (!file.ok()) return file.status();
  ClusterTarget target;
  target.name = file->name;
  target.directory = directory;
  target.site = file->site;
  target.nodes = file->nodes;
  target.running = std::any_of(target.nodes.begin(), target.nodes.end(),
                               [](const NodeEntry& node) { return node.alive; });
  target.market = {.origin = absl::UnixEpoch(), .start = absl::UnixEpoch(), .speed = 0};
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, file->market_origin, &target.market.origin, &error) &&
      absl::ParseTime(absl::RFC3339_full, file->market_start, &target.market.start, &error))
    target.market.speed = file->market_speed;
  return target;
}

absl::StatusOr<ClusterTarget> find_cluster(const std::string& wanted, const files::path& root) {
  if (!wanted.empty()) {
    const files::path directory =
        wanted.find('/') != std::string::npos ? files::path(wanted) : root / wanted;
    auto target = load_cluster(directory);
    if (absl::IsNotFound(target.status())) return unknown(wanted, root);
    return target;
  }
  std::vector<ClusterTarget> running;
  std::optional<ClusterTarget> last;
  for (const files::path& directory : run_directories(root)) {
    auto target = load_cluster(directory);
    if (!target.ok()) continue;
    if (target->running) running.push_back(*target);
    last = *std::move(target);
  }
  if (running.size() == 1) return running.front();
  if (running.size() > 1) {
    std::vector<std::string> names;
    for (const ClusterTarget& target : running) names.push_back(target.name);
    return absl::FailedPreconditionError(absl::StrCat(
        running.size(), " clusters run: say which with --cluster or SUPERCLOUD_CLUSTER: ",
        absl::StrJoin(names, ", ")));
  }
  if (auto latest = load_cluster(root / "latest"); latest.ok()) {
    std::error_code error;
    latest->directory = files::canonical(latest->directory, error);
    return latest;
  }
  if (last) return *std::move(last);
  return absl::NotFoundError(absl::StrCat("no cluster has run here (", root.string(),
                                          " is empty): `supercloud demo` starts one"));
}

absl::StatusOr<ClusterTarget> find_cluster(const Program& program) {
  auto target = find_cluster(program.cluster, state_root());
  if (!target.ok()) return target;
  target->key = program.key;
  target->trust = program.trust;
  const auto alive = std::count_if(target->nodes.begin(), target->nodes.end(),
                                   [](const NodeEntry& node) { return node.alive; });
  std::fprintf(stderr, "cluster %s: %s\n", target->name.c_str(),
               target->running ? absl::StrCat("running, ", alive, " processes").c_str()
                               : "not running, reading its logs");
  return target;
}

}  // namespace supercloud
