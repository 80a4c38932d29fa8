// One live node: the real event loop, bus, event log and lease table, and a machine under it. The composition root.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "actors/node_actors.h"
#include "cli/node_config.h"
#include "core/event_loop.h"

namespace supercloud {

// Thread-bound to its loop. Destroying it stops the node, and what that does to its guests: cli/machine/node_machine.h.
class NodeProcess {
 public:
  // Blocks while the stores open. Registers the node in its run directory. `on_fatal`, called once from the loop: the node cannot
  // go on, since another process bears its name. AlreadyExists, FailedPrecondition, DataLoss, ... name place and cure.
  // `adjust`, for benchmarks: changes what the configuration made of the actors, before they start.
  static absl::StatusOr<std::unique_ptr<NodeProcess>> start(
      EventLoop& loop, const NodeConfig& config, std::function<void(absl::Status)> on_fatal,
      const std::function<void(NodeActorsOptions&)>& adjust = nullptr);
  ~NodeProcess();
  // As Node::leave: what it says last. Then it is to be destroyed.
  void leave(std::string why, std::function<void(absl::Status)> ended);
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;

 private:
  struct Parts;
  explicit NodeProcess(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace supercloud
