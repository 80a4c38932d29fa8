// Publishers that wait for subscribers that hold, over the simulated bus.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "actors/archive/archive.h"
#include "actors/archive/archived_events.h"
#include "actors/archive/holders.h"
#include "tests/actors/market_world.h"

namespace supercloud {

class HoldersTest : public MarketWorld {
 protected:
  ~HoldersTest() override {
    for (auto& [name, node] : nodes) node->crash();
    keepers.clear();
  }

  // "a", which asks for instances.
  TestNode& publisher(ArchivedOptions archived = {}, CustodianOptions options = {}) {
    events = std::make_unique<ArchivedEvents>(std::move(archived));
    if (!nodes["a"]) nodes["a"] = std::make_unique<TestNode>();
    nodes["a"]->custody = events.get();
    TestNode& node = start("a");
    node.node->spawn(custodian_actor, [this, options](Context& context) {
      return std::make_unique<Custodian>(context, *events, options);
    });
    run(absl::Seconds(3));
    return node;
  }

  struct Holder {
    Context* context = nullptr;
    std::vector<Event> got;
    std::size_t taken = 0;  // so many of them
    bool at_once = false;   // takes what comes

    void take() { context->taken(got.at(taken++)); }
    void take_all() {
      while (taken < got.size()) take();
    }
  };
  // An actor of `node` that holds what it subscribes.
  Holder& hold(const std::string& node, const std::string& actor = "holder",
               const std::string& pattern = "instance.requested.>") {
    if (!nodes[node] || !nodes[node]->node) start(node);
    Holder& holder = holders[node + "/" + actor];
    nodes[node]->node->spawn(actor, [&holder, pattern](Context& context) {
      holder.context = &context;
      holder.got.clear();
      holder.taken = 0;
      context.subscribe(Pattern::of(pattern), nullptr, {.full = Queueing::Full::hold});
      return std::make_unique<Puppet>([&holder](const Event& event) {
        holder.got.push_back(event);
        if (holder.at_once) holder.take();
      });
    });
    run(absl::Seconds(2));
    return holder;
  }

  struct Told {
    Event event;
    std::optional<absl::Status> status;
    bool ok() const { return status && status->ok(); }
  };
  static std::shared_ptr<Told> request(TestNode& node, const std::string& subject) {
    return request(*node.hand, subject);
  }
  static std::shared_ptr<Told> request(Context& by, const std::string& subject) {
    auto told = std::make_shared<Told>();
    Draft draft = by.draft(subject);
    draft.payload().initInstanceRequested().setClientToken(subject);
    told->event =
        by.publish(std::move(draft), [told](const absl::Status& status) { told->status = status; });
    return told;
  }

  // Another actor of it: an origin of its own.
  static Context& another(TestNode& node) {
    auto made = std::make_shared<Context*>(nullptr);  // also who fails is made again
    node.node->spawn("another", [made](Context& context) {
      *made = &context;
      return std::make_unique<Puppet>([](const Event&) {});
    });
    return **made;
  }

  // Of b's holder.
  static std::string named(std::size_t backlog, const Event& oldest) {
    return absl::StrCat("b/holder ", backlog, ": holds them, and has not taken ",
                        std::string(oldest.topic()), " (", oldest.id().short_id(),
                        ") for 10s: publishers of a wait");
  }

  // What is said of holders, as "SUBSCRIBER BACKLOG: DONE".
  static std::vector<std::string> said(const TestNode& node) {
    std::vector<std::string> found;
    for (const Event& event : of(node, schema::Payload::BUS_SLOW_SUBSCRIBER)) {
      const auto e = event.payload().getBusSlowSubscriber();
      found.push_back(absl::StrCat(text(e.getSubscriber()).data(), " ", e.getBacklog(), ": ",
                                   text(e.getDone()).data()));
    }
    return found;
  }

  struct Keeper {
    MemoryLogDisk disk;
    std::unique_ptr<MemoryEventLog> log;
  };
  void keep(const std::string& name) {
    nodes[name] = std::make_unique<TestNode>();
    nodes[name]->archives = {">"};
    TestNode& node = start(name);
    Keeper& keeper = keepers[name];
    keeper.log = std::make_unique<MemoryEventLog>(scheduler, pool, keeper.disk);
    node.node->spawn(archive_actor, [&keeper](Context& context) {
      return std::make_unique<Archive>(context, *keeper.log);
    });
    run(absl::Seconds(3));
  }

  EventPool pool;
  std::map<std::string, Keeper> keepers;
  std::map<std::string, Holder> holders;
  std::unique_ptr<ArchivedEvents> events;
};

}  // namespace supercloud
