// Nodes with logs in memory, and a gateway's hub on the same bus, all in one process and one scheduler.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/gateway/hub.h"
#include "actors/node/log_reader.h"
#include "core/node.h"
#include "core/scheduler.h"
#include "tests/core/loopback_bus.h"
#include "tests/core/memory_log.h"

namespace supercloud {

// One node; what it publishes goes to `heard`.
class GatewayNode {
 public:
  GatewayNode(Scheduler& scheduler, EventPool& pool, const std::string& name)
      : log(scheduler), bus(scheduler, name) {
    NodeOptions options;
    options.name = name;
    options.heartbeat_interval = absl::Hours(1);
    node = std::make_unique<Node>(NodeSeams{scheduler, bus, log, pool}, options);
    node->spawn("log",
                [this](Context& context) { return std::make_unique<LogReader>(context, log); });
    for (const char* actor : {"executor", "policy"})
      node->spawn(actor, [this, actor](Context& context) {
        contexts[actor] = &context;
        return std::make_unique<Silent>();
      });
  }

  // Durable, noted and volatile.
  void start(const std::string& vm, const char* actor = "executor") {
    Draft draft = contexts[actor]->draft(vm);
    draft.payload().initVmStarted().setNode(node->name());
    contexts[actor]->publish(std::move(draft));
  }
  void pause(const std::string& vm, const char* actor = "executor") {
    Draft draft = contexts[actor]->draft(vm);
    draft.payload().initVmPaused().setNode(node->name());
    contexts[actor]->publish(std::move(draft));
  }
  void tell_rate(const std::string& vm, const char* actor = "executor") {
    Draft draft = contexts[actor]->draft(vm);
    draft.payload().initVmDirtyRate().setPagesPerSecond(1);
    contexts[actor]->publish(std::move(draft));
  }

  class Silent final : public Actor {
   public:
    void receive(const Event&) override {}
  };
  MemoryLog log;
  LoopbackBus bus;
  std::map<std::string, Context*> contexts;
  std::unique_ptr<Node> node;
};

// The gateway's side: requests reach the nodes.
class GatewayBus final : public Bus {
 public:
  explicit GatewayBus(Scheduler& scheduler) : scheduler_(scheduler) {}
  void start(BusReceiver&, std::vector<OriginTail>) override {}
  void publish(const Event&) override {}
  void subscribe(std::string, Reply<Done> reply) override {
    scheduler_.post([reply = std::move(reply)]() mutable { reply(Done{}); });
  }
  void unsubscribe(std::string) override {}
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    const auto node = nodes.find(to.node);
    if (node == nodes.end()) return reply(absl::UnavailableError("no such node"));
    node->second->bus.receiver->on_request(to.actor, std::move(bytes), std::move(reply));
  }

  std::map<std::string, GatewayNode*> nodes;

 private:
  Scheduler& scheduler_;
};

struct GatewayWorld {
  explicit GatewayWorld(Scheduler& scheduler, GatewayHubOptions options = {})
      : alpha(scheduler, pool, "alpha"),
        beta(scheduler, pool, "beta"),
        bus(scheduler),
        hub(scheduler, bus, pool, metrics, std::move(options)) {
    for (GatewayNode* node : {&alpha, &beta}) {
      bus.nodes[node->node->name()] = node;
      hub.on_peer(node->node->name(), true);
    }
    hub.start(Reply<Done>());
  }

  // What the nodes have published reaches the hub; or is lost on the way, unless the bus repairs it, which it does not here.
  void deliver() {
    for (GatewayNode* node : {&alpha, &beta})
      for (const Event& event : std::exchange(node->bus.published, {})) hub.on_event(event);
  }
  void lose() {
    for (GatewayNode* node : {&alpha, &beta}) node->bus.published.clear();
  }

  EventPool pool;
  GatewayNode alpha, beta;
  GatewayBus bus;
  GatewayMetrics metrics;
  GatewayHub hub;
};

}  // namespace supercloud
