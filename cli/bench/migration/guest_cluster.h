// A cluster of three nodes on this machine: a, on a thread of this process, has the leases and tells prices; b and c are hosts of real guests,
// processes of this very program. What it takes to move a guest as a user has it moved, from the request to `migration.completed`, and as a
// policy does, from a price.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/bench/node_thread.h"
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

struct MeasuredVm {
  std::string name;
  std::uint64_t memory_bytes = 0;
  std::string arguments;        // of its kernel
  bool prepared = false;        // each host keeps a target for it ready
  bool follows_prices = false;  // its policy has it moved to the cheaper host
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
  absl::Status create(const MeasuredVm& vm);
  // To the other host, once a target is ready there if one is to be; every copy elsewhere is gone when it returns.
  absl::StatusOr<ClusterMove> move(const std::string& name);
  // Likewise, by its policy, as the other host becomes the cheaper one: when the event of that price was published.
  absl::StatusOr<absl::Time> move_by_price(const std::string& name);
  absl::Status destroy(const std::string& name);
  // QEMU's name for it.
  static std::string guest(const std::string& name) { return "main/" + name; }
  pid_t process(const std::string& node) const;

 private:
  explicit GuestCluster(GuestClusterOptions options)
      : options_(std::move(options)), processes_(options_.logs) {}
  static constexpr Money first_price{100'000'000};  // USD per hour
  struct Vm {
    std::string node;
    std::optional<Message<schema::VmSpec>> prepared;
  };
  absl::Status start_node(const std::string& node);
  void give_price(const std::string& node);
  // Until it could move.
  absl::StatusOr<std::string> await_target(const std::string& name);
  absl::Status await_end(const std::string& name, const std::string& target,
                         const EventId& migration);
  absl::Status connect();
  absl::Status listen();
  void heard(const Event& event);
  absl::Status until(const std::string& what, absl::FunctionRef<bool()> done);
  absl::StatusOr<Message<schema::Response>> ask(const std::string& node,
                                                const Message<schema::Request>& request);

  const GuestClusterOptions options_;
  const absl::Time started_ = absl::Now();
  std::shared_ptr<GivenPrices> prices_ = std::make_shared<GivenPrices>();
  Money lowest_price_ = first_price;
  std::unique_ptr<NodeThread> site_;
  NodeProcesses processes_;
  std::unique_ptr<ClusterClient> client_;
  std::map<std::string, Vm> vms_;
  int addresses_ = 0;
  // The move under way: what was heard of it, and of others before its id was known.
  std::vector<Event> heard_;
  std::map<EventId, Instant> completed_;
};

}  // namespace supercloud
