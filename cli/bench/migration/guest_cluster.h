// A cluster of three nodes on this machine, of processes of this very program: a has the leases alone, b and c are hosts of real guests. What it
// takes to move a guest as a user has it moved, from the request to `migration.completed`.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/cluster_target.h"
#include "cli/demo/processes.h"
#include "cli/node_config.h"

namespace supercloud {

struct GuestClusterOptions {
  std::filesystem::path logs;      // the nodes' folders
  std::filesystem::path sockets;   // its path is short
  QemuConfig qemu;                 // of both hosts; their run folders are filled in
  std::uint64_t memory_bytes = 0;  // of each host, for guests
  std::function<bool()> stop;      // true: Cancelled
};

struct ClusterMove {
  Duration total;
  // From the request until it was said, in seconds, by the clock of who said it: "accepted", "target_ready", …
  std::map<std::string, double> steps;
};

// Thread-bound; calls block. Its processes end with it; the guests do not (leftovers.h).
class GuestCluster {
 public:
  static absl::StatusOr<std::unique_ptr<GuestCluster>> start(GuestClusterOptions options);
  ~GuestCluster();
  GuestCluster(const GuestCluster&) = delete;
  GuestCluster& operator=(const GuestCluster&) = delete;

  EventLoop& loop() { return client_->loop(); }
  // From the image "measured", on b.
  absl::Status create(const std::string& name, std::uint64_t memory_bytes,
                      const std::string& arguments);
  // To the other host; every copy elsewhere is gone when it returns.
  absl::StatusOr<ClusterMove> move(const std::string& name);
  absl::Status destroy(const std::string& name);
  // QEMU's name for it.
  static std::string guest(const std::string& name) { return "main/" + name; }
  pid_t process(const std::string& node) const;

 private:
  explicit GuestCluster(GuestClusterOptions options)
      : options_(std::move(options)), processes_(options_.logs) {}
  absl::Status start_node(const std::string& node);
  absl::Status connect();
  absl::Status listen();
  void heard(const Event& event);
  absl::Status until(const std::string& what, absl::FunctionRef<bool()> done);
  absl::StatusOr<Message<schema::Response>> ask(const std::string& node,
                                                const Message<schema::Request>& request);

  const GuestClusterOptions options_;
  NodeProcesses processes_;
  std::unique_ptr<ClusterClient> client_;
  std::map<std::string, std::string> node_of_;  // of each VM
  int addresses_ = 0;
  // The move under way: what was heard of it, and of others before its id was known.
  std::vector<Event> heard_;
  std::map<EventId, Instant> completed_;
};

}  // namespace supercloud
