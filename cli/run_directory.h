// Where clusters that run on this machine keep their logs, and the file that says what a cluster consists of.
//
//   <state>/<cluster>/cluster.json     the cluster and every node it ever had; replaced as a whole, under a lock
//   <state>/<cluster>/<node>/log/      the node's event log
//   <state>/<cluster>/<site>/leases/   the lease table
//   <state>/latest                     a link to the cluster that was started last
//
// <state> is $XDG_STATE_HOME/supercloud, else $HOME/.local/state/supercloud, else /var/lib/supercloud.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace supercloud {

// Beside the log of a node that has one.
inline constexpr const char* archive_folder = "archive";

struct NodeEntry {
  std::string name;
  int pid = 0;
  // of the process, as the kernel counts: tells it from a later one of that number; 0: not known
  std::uint64_t started_ticks = 0;
  std::string request_endpoint;       // a seed of the bus
  std::filesystem::path log;          // of its RocksDB event log
  std::vector<std::string> policies;  // of its user's own, by name
  std::string guests;  // folder of its real guests; empty: they are simulated, or it has none
  bool alive = false;  // the process runs; not stored
};

struct ClusterFile {
  std::string name;
  std::string created;        // RFC 3339, UTC
  std::string site;           // the node with the lease table
  std::string sockets;        // folder of the ipc sockets
  std::string market_origin;  // RFC 3339; empty: no market
  std::string market_start;   // wall time at which the market stood at the origin
  std::int64_t market_speed = 1;
  std::vector<NodeEntry> nodes;
};

std::filesystem::path state_root();
// NodeEntry::started_ticks of a process; 0: there is none.
std::uint64_t started_ticks(int pid);

// NotFound; DataLoss: not a cluster file.
absl::StatusOr<ClusterFile> read_cluster_file(const std::filesystem::path& directory);
// Reads, lets `change` change, and replaces the file, while no other process does. A missing file is an empty one.
absl::Status change_cluster_file(const std::filesystem::path& directory,
                                 const std::function<void(ClusterFile&)>& change);

// Clusters that have a file, oldest first.
std::vector<std::filesystem::path> run_directories(const std::filesystem::path& root);
// A free name for a run's folder, as "demo-20260302-083000"; removes the oldest runs with that prefix so that, with it, `keep` are left.
// Makes nothing.
std::filesystem::path new_run_directory(std::string_view prefix, std::size_t keep, absl::Time now);
absl::Status point_latest_to(const std::filesystem::path& directory);
// Removes the oldest runs whose name begins with `prefix` and whose processes have ended, so that `keep` are left.
void remove_old_runs(const std::filesystem::path& root, std::string_view prefix, std::size_t keep);

}  // namespace supercloud
