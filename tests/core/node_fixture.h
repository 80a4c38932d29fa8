// A node in virtual time over a loopback bus and a log in memory, with actors made of functions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/node.h"
#include "core/virtual_scheduler.h"
#include "gtest/gtest.h"
#include "tests/core/loopback_bus.h"
#include "tests/core/memory_log.h"

namespace supercloud {

// Its behaviour is given at construction, as functions of its context.
class Puppet final : public Actor {
 public:
  using Receive = std::function<void(Context&, const Event&)>;
  using Serve = std::function<void(Message<schema::Request>, Answer)>;

  Puppet(Context& context, Receive receive, Serve serve = nullptr)
      : context_(context), receive_(std::move(receive)), serve_(std::move(serve)) {}
  void receive(const Event& event) override {
    if (receive_) receive_(context_, event);
  }
  void serve(Message<schema::Request> request, Answer answer) override {
    if (serve_) {
      serve_(std::move(request), std::move(answer));
    } else {
      Actor::serve(std::move(request), std::move(answer));
    }
  }

 private:
  Context& context_;
  Receive receive_;
  Serve serve_;
};

class NodeTest : public testing::Test {
 protected:
  NodeTest() { make_node(); }

  void make_node(NodeOptions options = {}) {
    options.name = "alpha";
    node.reset();
    bus = std::make_unique<LoopbackBus>(scheduler, "alpha");
    node = std::make_unique<Node>(NodeSeams{scheduler, *bus, log, pool}, std::move(options));
  }

  // An actor that subscribes to `patterns` and does `receive`; its context for calls from outside of turns.
  Context& spawn(const std::string& name, std::vector<std::string> patterns = {},
                 Puppet::Receive receive = nullptr, Puppet::Serve serve = nullptr) {
    const auto made = std::make_shared<Context*>();  // a restart makes the actor again, long after
    node->spawn(name, [made, patterns, receive, serve](Context& context) {
      *made = &context;
      for (const std::string& pattern : patterns) context.subscribe(Pattern::of(pattern));
      return std::make_unique<Puppet>(context, receive, serve);
    });
    return **made;
  }

  // One of each delivery class, with a number to know them by.
  static Draft progress(Context& context, unsigned percent) {
    Draft draft = context.draft("web1");
    draft.payload().initMigrationProgress().setPercent(percent);
    return draft;
  }
  static Draft paused(Context& context) {
    Draft draft = context.draft("web1");
    draft.payload().initVmPaused().setNode(context.node());
    return draft;
  }
  static Draft started(Context& context) {
    Draft draft = context.draft("web1");
    draft.payload().initVmStarted().setNode(context.node());
    return draft;
  }

  void run(Duration span = absl::Milliseconds(1)) { scheduler.run_for(span); }

  // What left the node of one type.
  std::vector<Event> sent(schema::Payload::Which type) const {
    std::vector<Event> found;
    for (const Event& event : bus->published) {
      if (event.type() == type) found.push_back(event);
    }
    return found;
  }

  EventPool pool;
  VirtualScheduler scheduler;
  MemoryLog log{scheduler};
  std::unique_ptr<LoopbackBus> bus;
  std::unique_ptr<Node> node;
};

}  // namespace supercloud
