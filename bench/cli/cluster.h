// A cluster as it runs live, for benchmarks: each node on a thread and an event loop of its own, over ipc, with its logs and the
// lease table on disk. Only the prices are given by hand, and the VM's policy has no patience.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actors/node_actors.h"
#include "actors/spot/price_feed.h"
#include "cli/bench/node_thread.h"
#include "cli/cluster_target.h"
#include "cli/measure/temporary_folder.h"
#include "cli/node_config.h"
#include "core/event_loop.h"

namespace supercloud {

// "site" has the lease table and the market's roles; "node-a" and "node-b" have hosts at place(0) and place(1).
class BenchCluster {
 public:
  // Blocks until all nodes know each other and the client hears each of them. With `hosts` false there is only the site.
  static absl::StatusOr<std::unique_ptr<BenchCluster>> start(bool hosts);
  ~BenchCluster();

  ClusterClient& client() { return *client_; }
  const std::filesystem::path& folder() const { return folder_.path(); }

  static const std::string& node(std::size_t index);
  static const PlaceName& place(std::size_t index);
  // The market says: from now on this is the price at place(index).
  void give_price(std::size_t index, Money price);
  // Runs the client's loop, asking after every event that was heard. False: not within `limit`.
  bool wait(const std::function<bool()>& done, Duration limit = absl::Seconds(10));
  // What a node's actor answers once `good` is content with it; asked again whenever another event was heard.
  absl::Status ask_until(const Address& to, const Message<schema::Request>& request,
                         const std::function<bool(const Message<schema::Response>&)>& good);
  // Everything published since the start or the last forget(), in the order of its arrival.
  const std::vector<Event>& heard() const { return heard_; }
  void forget() { heard_.clear(); }
  // Events that the client missed.
  std::size_t gaps() const { return gaps_; }

 private:
  BenchCluster() = default;
  absl::Status open(bool hosts);

  TemporaryFolder folder_;  // last to go
  std::shared_ptr<GivenPrices> prices_ = std::make_shared<GivenPrices>();
  std::vector<std::unique_ptr<NodeThread>> nodes_;
  std::unique_ptr<ClusterClient> client_;
  std::vector<Event> heard_;  // first to go: its events are the client's
  std::size_t gaps_ = 0;
};

}  // namespace supercloud
