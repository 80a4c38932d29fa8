// The machine under a node: what its guests run on, and reach disk and network through. Simulated in this process, or real.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "actors/session/node_session.h"
#include "cli/node_config.h"
#include "core/bus.h"
#include "core/event_loop.h"
#include "core/random.h"

namespace supercloud {

struct NodeMachineFacts {
  std::string data_endpoint;  // of its links
  std::string cpu_model;
  std::string guests;      // folder of the real guests; empty: they are simulated
  Duration make_deadline;  // ExecutorOptions
  // It was booted since a daemon of this node had a session: no guest of that daemon is left (SessionActor::Options).
  bool fresh = true;
};

// Thread-bound to its loop. Destroying it is the end of simulated guests, as when a machine loses its power; real ones go on under
// their keepers.
class NodeMachine {
 public:
  virtual ~NodeMachine() = default;
  virtual const NodeMachineFacts& facts() const = 0;
  virtual GuestSeams guests() = 0;
  // This node has a session: the next daemon before a reboot is not fresh.
  virtual absl::Status had_session() = 0;
};

struct MachineNeeds {
  EventLoop& loop;
  Bus& bus;
  const NodeConfig& config;  // that has a host
  Random random;
  std::function<void(absl::Status)> on_fatal;  // it cannot go on; may be called from inside a call
};

// Blocks until what it finds of earlier daemons' guests is known. Errors name place and cure.
absl::StatusOr<std::unique_ptr<NodeMachine>> open_machine(MachineNeeds needs);

// Of [host] alone, and of [host.qemu].
absl::StatusOr<std::unique_ptr<NodeMachine>> open_simulated_machine(MachineNeeds needs);
absl::StatusOr<std::unique_ptr<NodeMachine>> open_qemu_machine(MachineNeeds needs);

}  // namespace supercloud
