// A few nodes in virtual time, over the simulated bus, log and lease table: where the market's actors are tested.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/node/log_reader.h"
#include "actors/node/node_agent.h"
#include "actors/session_view.h"
#include "actors/spot/place.h"
#include "actors/spot/price_feed.h"
#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/json.h"
#include "core/node.h"
#include "core/virtual_scheduler.h"
#include "gtest/gtest.h"
#include "storage/simulated/memory_event_log.h"
#include "storage/simulated/memory_lease_table.h"

namespace supercloud {

class Puppet final : public Actor {
 public:
  explicit Puppet(std::function<void(const Event&)> receive) : receive_(std::move(receive)) {}
  void receive(const Event& event) override {
    if (receive_) receive_(event);
  }

 private:
  std::function<void(const Event&)> receive_;
};

// Says that its node is here.
class Beat final : public Actor {
 public:
  explicit Beat(Context& context, std::vector<std::string> archives = {}, std::string instance = "")
      : context_(context), archives_(std::move(archives)), instance_(std::move(instance)) {
    beat();
  }
  void receive(const Event&) override {}

 private:
  void beat() {
    Draft draft = context_.draft(context_.node());
    auto capacity = draft.payload().initNodeCapacity();
    capacity.setNode(context_.node());
    if (!archives_.empty()) {
      auto joined = capacity.initJoined();
      write_archives(archives_, joined);
      joined.setInstance(instance_);
    }
    context_.publish(std::move(draft));
    context_.after(absl::Seconds(2), [this] { beat(); });
  }
  Context& context_;
  const std::vector<std::string> archives_;
  const std::string instance_;
};

class TestSession final : public SessionView {
 public:
  std::optional<SessionId> current() const override { return id; }
  std::optional<SessionId> id;
};

struct TestNode {
  EventPool pool;
  MemoryLogDisk disk;
  std::unique_ptr<MemoryEventLog> log;
  std::unique_ptr<SimulatedBus> bus;
  std::unique_ptr<Node> node;
  TestSession session;
  Context* hand = nullptr;  // of an actor by which the test acts
  std::vector<Event> seen;  // all events, in the order of their arrival
  // Before its start:
  Custody* custody = nullptr;
  std::vector<std::string> archives;  // what it says that it archives, and
  std::string instance;               // on which instance

  ~TestNode() { crash(); }
  void crash() {
    seen.clear();
    hand = nullptr;
    node.reset();
    bus.reset();
    log.reset();
  }
};

class MarketWorld : public testing::Test {
 protected:
  static constexpr std::int64_t speed = 1;

  MarketWorld() : network(scheduler, Random(1)), leases(scheduler, lease_disk) {
    market.origin = absl::FromUnixSeconds(1'440'201'600);  // 2015-08-22
    market.start = scheduler.wall();
    market.speed = speed;
  }
  ~MarketWorld() override {
    for (auto& [name, node] : nodes) node->crash();
  }

  TestNode& start(const std::string& name) {
    std::unique_ptr<TestNode>& node = nodes[name];
    if (!node) node = std::make_unique<TestNode>();
    node->log = std::make_unique<MemoryEventLog>(scheduler, node->pool, node->disk);
    node->bus = std::make_unique<SimulatedBus>(name, network, scheduler, node->pool, bus_options);
    NodeOptions options;
    options.name = name;
    options.random_seed = 7;
    node->node = std::make_unique<Node>(NodeSeams{.scheduler = scheduler,
                                                  .bus = *node->bus,
                                                  .log = *node->log,
                                                  .pool = node->pool,
                                                  .custody = node->custody},
                                        std::move(options));
    TestNode* raw = node.get();
    raw->node->spawn("hand", [raw](Context& context) {
      raw->hand = &context;
      context.subscribe(Pattern::of(">"));
      return std::make_unique<Puppet>([raw](const Event& event) { raw->seen.push_back(event); });
    });
    raw->node->spawn(
        "log", [raw](Context& context) { return std::make_unique<LogReader>(context, *raw->log); });
    raw->node->spawn("beat", [raw](Context& context) {
      return std::make_unique<Beat>(context, raw->archives, raw->instance);
    });
    open_session(name);
    run(absl::Milliseconds(50));
    return *raw;
  }

  // Opened now, renewed every two seconds until end_session().
  void open_session(const std::string& name) {
    leases.open_session({name, "disk of " + name},
                        Reply<Session>(far_future, [this, name](absl::StatusOr<Session> session) {
                          ASSERT_TRUE(session.ok()) << session.status();
                          nodes.at(name)->session.id = session->id;
                          renew(name, session->id);
                        }));
  }
  void renew(const std::string& name, const SessionId& id) {
    if (nodes.at(name)->session.id != id) return;
    leases.renew(id, Reply<Done>(far_future, [](const absl::StatusOr<Done>&) {}));
    scheduler.at(scheduler.now() + absl::Seconds(2), [this, name, id] { renew(name, id); });
  }
  // The node knows at once that its session is over; the table ends it when its time is up.
  void end_session(const std::string& name) { nodes.at(name)->session.id.reset(); }

  void crash(const std::string& name) {
    end_session(name);
    nodes.at(name)->crash();
  }

  void run(Duration span) { scheduler.run_for(span); }
  absl::Time market_now() const { return market.at(scheduler.wall()); }

  // As if another actor had published it.
  Event publish(TestNode& node, std::string_view subject,
                const std::function<void(schema::Payload::Builder)>& fill,
                const EventId& migration = {}) {
    Draft draft = node.hand->draft(subject);
    fill(draft.payload());
    if (!migration.empty()) draft.migration(migration);
    return node.hand->publish(std::move(draft), [](const absl::Status&) {});
  }
  Event publish_price(TestNode& node, const PlaceName& place, std::int64_t nano_usd,
                      absl::Time since) {
    return publish(node, place_subject(place.id()), [&](schema::Payload::Builder payload) {
      auto change = payload.initSpotPriceChanged();
      write_place(place, {}, change.initPlace());
      change.setPriceNanoUsdPerHour(nano_usd);
      change.setSinceNs(absl::ToUnixNanos(since));
    });
  }

  static std::vector<Event> of(const TestNode& node, schema::Payload::Which type) {
    std::vector<Event> events;
    for (const Event& event : node.seen) {
      if (event.type() == type) events.push_back(event);
    }
    return events;
  }

  absl::StatusOr<Message<schema::Response>> ask(TestNode& node, const Address& to,
                                                const Message<schema::Request>& request,
                                                Duration wait = absl::Seconds(2)) {
    absl::StatusOr<Message<schema::Response>> answer = absl::InternalError("no answer yet");
    node.hand->request(to, request, wait,
                       [&answer](absl::StatusOr<Message<schema::Response>> response) {
                         answer = std::move(response);
                       });
    run(wait);
    return answer;
  }

  static PlaceName zone(const std::string& letter, bool spot = true) {
    return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
  }

  VirtualScheduler scheduler;
  SimulatedNetwork network;
  SimulatedBusOptions bus_options;  // of nodes that start from now on
  MemoryLeaseDisk lease_disk;
  MemoryLeaseTable leases;
  MarketClock market;
  std::map<std::string, std::unique_ptr<TestNode>> nodes;
};

}  // namespace supercloud
