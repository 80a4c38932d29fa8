// For measurements: a node on a thread and an event loop of its own, and prices that are given to it by hand.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "actors/node_actors.h"
#include "actors/spot/price_feed.h"
#include "cli/node_config.h"
#include "core/event_loop.h"

namespace supercloud {

// Ends with this object.
class NodeThread {
 public:
  NodeThread(NodeConfig config, std::function<void(NodeActorsOptions&)> adjust);
  ~NodeThread();
  NodeThread(const NodeThread&) = delete;
  NodeThread& operator=(const NodeThread&) = delete;

  // Blocks until it runs, or why it does not.
  absl::Status started();
  // Runs `task` on the node's loop. Only after started() was OK. Thread-safe.
  void post(Task task) { loop_->post(std::move(task)); }

 private:
  void run(const NodeConfig& config, const std::function<void(NodeActorsOptions&)>& adjust);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool told_ = false;
  absl::Status status_;
  EventLoop* loop_ = nullptr;  // the thread's, while it runs
  std::thread thread_;
};

// Belongs to the thread of the node whose watcher is fed by it.
class GivenPrices : public std::enable_shared_from_this<GivenPrices> {
 public:
  // For NodeActorsOptions::Market.
  FeedFactory feed();
  void add(Price price);

 private:
  class Feed;
  void give();

  std::vector<Price> waiting_;
  Reply<Price> reply_;
};

}  // namespace supercloud
