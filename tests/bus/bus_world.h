// One kind of bus, as the conformance suite drives it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/scheduler.h"
#include "tests/bus/bus_process.h"

namespace supercloud {

class BusWorld {
 public:
  virtual ~BusWorld() = default;

  // A process of that name, started, whose log has `logged`. Knows the others.
  virtual std::unique_ptr<BusProcess> start(std::string name, TestStreams logged) = 0;
  std::unique_ptr<BusProcess> start(const std::string& name) {
    return start(name, TestStreams(name));
  }
  // Runs until each can hear the other.
  virtual bool meet(BusProcess& a, BusProcess& b) {
    return run_until([&] { return a.sees(b.name) && b.sees(a.name); });
  }
  // A new process whose events can be lost by cut().
  virtual std::unique_ptr<BusProcess> start_lossy(std::string name) { return start(name); }
  // A new process whose queues, to and from others, have room for ten messages.
  virtual std::unique_ptr<BusProcess> start_narrow(std::string name) = 0;
  // Runs until `condition` holds; false: `limit` passed (virtual time in the simulation).
  virtual bool run_until(const std::function<bool()>& condition,
                         Duration limit = absl::Seconds(20)) = 0;
  virtual Scheduler& scheduler() = 0;
  // Every event from `from` (started lossy) to `to` is lost while it is cut, and neither side is told.
  virtual void cut(std::string_view from, std::string_view to) = 0;
  // `lost`: how many events published meanwhile must have been lost before it is mended.
  virtual void mend(std::size_t lost) = 0;
  // A process that is none sends bytes in the place of an event's, and whatever else its kind of bus takes.
  virtual void send_garbage(BusProcess& to) = 0;
};

using MakeBusWorld = std::function<std::unique_ptr<BusWorld>()>;

std::unique_ptr<BusWorld> make_simulated_world();
// Two clouds, each with a hub: "a" is in the one, all others are in the other.
std::unique_ptr<BusWorld> make_simulated_hub_world();
std::unique_ptr<BusWorld> make_ipc_world();
std::unique_ptr<BusWorld> make_tcp_world();
std::unique_ptr<BusWorld> make_ipc_hub_world();
std::unique_ptr<BusWorld> make_tcp_hub_world();

}  // namespace supercloud
