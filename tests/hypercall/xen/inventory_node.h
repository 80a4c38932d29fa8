// A node with nothing but the inventory of its domains, over a real daemon and a hypervisor that is a folder: from a change in the
// XenStore to an event on its bus.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "actors/inventory/domain_inventory.h"
#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/event_loop.h"
#include "core/node.h"
#include "hypercall/xen/control.h"
#include "hypercall/xen/store_client.h"
#include "storage/simulated/memory_event_log.h"
#include "tests/hypercall/xen/stand_in.h"

namespace supercloud {

class InventoryNode {
 public:
  InventoryNode(EventLoop& loop, XenStandIn& xen, const std::string& socket,
                std::function<void(const Event&)> heard)
      : network_(loop, Random(1)), bus_("host", network_, loop, pool_), log_(loop, pool_, disk_) {
    ::setenv("XEN_STAND_IN", xen.folder().c_str(), 1);  // for this process's own control interface
    store_ = std::make_unique<XenStoreClient>(loop, XenStoreClientOptions{.path = socket});
    control_ = *XenControl::open();
    NodeOptions options;
    options.name = "host";
    options.random_seed = 1;
    node_ = std::make_unique<Node>(NodeSeams{loop, bus_, log_, pool_}, std::move(options));
    node_->spawn("listener", [heard = std::move(heard)](Context& context) {
      context.subscribe(Pattern::of("vm.>"));
      context.subscribe(Pattern::of("node.capacity.>"));
      return std::make_unique<Listener>(heard);
    });
    node_->spawn(inventory_actor, [this](Context& context) {
      return std::make_unique<DomainInventory>(context, DomainSeams{*store_, *control_},
                                               DomainInventoryOptions());
    });
  }

 private:
  class Listener final : public Actor {
   public:
    explicit Listener(std::function<void(const Event&)> heard) : heard_(std::move(heard)) {}
    void receive(const Event& event) override { heard_(event); }

   private:
    std::function<void(const Event&)> heard_;
  };

  EventPool pool_;
  SimulatedNetwork network_;
  SimulatedBus bus_;
  MemoryLogDisk disk_;
  MemoryEventLog log_;
  std::unique_ptr<XenStoreClient> store_;
  std::unique_ptr<XenControl> control_;
  std::unique_ptr<Node> node_;  // first to go
};

}  // namespace supercloud
