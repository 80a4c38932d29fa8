// Which actors a node has, and what one without a machine says of itself.
#include "actors/node_actors.h"

#include <memory>
#include <string>
#include <vector>

#include "actors/provider/fixed_hosts.h"
#include "actors/spot/vector_feed.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;
using Names = std::vector<std::string>;

// A node that has the actors of the one list and no others.
class ListedNode {
 public:
  ListedNode(const std::string& name, SimulatedNetwork& network, VirtualScheduler& scheduler,
             LeaseTable& leases)
      : log_(scheduler, pool_, disk_),
        bus_(name, network, scheduler, pool_),
        session_(scheduler.clock(), FencePolicy{}),
        node_({scheduler, bus_, log_, pool_}, {.name = name}),
        seams_{.leases = leases, .log = log_, .session = session_, .guests = std::nullopt} {}

  Names spawn(NodeActorsOptions options, Provider* provider = nullptr) {
    options.session.identity = "a disk";
    seams_.provider = provider;
    spawn_node_actors(node_, seams_, {}, options);
    return node_.actors();
  }
  const NodeSession& session() const { return session_; }

 private:
  EventPool pool_;
  MemoryLogDisk disk_;
  MemoryEventLog log_;
  SimulatedBus bus_;
  NodeSession session_;
  Node node_;
  NodeActorsSeams seams_;
};

class NodeActorsTest : public MarketWorld {
 protected:
  ~NodeActorsTest() override { listed.reset(); }
  std::unique_ptr<ListedNode> listed =
      std::make_unique<ListedNode>("site", network, scheduler, leases);
};

TEST_F(NodeActorsTest, WithoutAMachineANodeKeepsItsSessionAnswersFromItsLogAndSaysThatItIsThere) {
  TestNode& other = start("other");
  EXPECT_EQ(listed->spawn({}), (Names{"session", "log", "agent"}));
  run(absl::Seconds(5));
  EXPECT_TRUE(listed->session().current().has_value());
  int told = 0;
  for (const Event& event : of(other, Payload::NODE_CAPACITY)) {
    if (event.origin() != "site/agent") continue;
    ++told;
    const auto capacity = event.payload().getNodeCapacity();
    EXPECT_EQ(text(capacity.getNode()), "site");
    EXPECT_TRUE(text(capacity.getJoined().getNode()).empty()) << "a place to run on";
    EXPECT_EQ(capacity.getMemoryFreeBytes(), 0U);
  }
  EXPECT_GE(told, 3);
  EXPECT_TRUE(of(other, Payload::NODE_JOINED).empty());
  const auto page = ask(other, {"site", "log"},
                        Message<schema::Request>::build([](schema::Request::Builder request) {
                          request.initReadLog().setLimit(1);
                        }));
  EXPECT_TRUE(page.ok()) << page.status();
}

TEST_F(NodeActorsTest, TheMarketsRolesNeedNoMachine) {
  NodeActorsOptions options;
  options.observer.emplace();
  options.market.emplace();
  options.market->feed = []() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
    return std::make_unique<VectorFeed>("none", std::vector<Price>{});
  };
  FixedHosts hosts(scheduler, market, "own", {});
  EXPECT_EQ(listed->spawn(options, &hosts),
            (Names{"session", "log", "watcher", "provider", "ledger", "observer", "agent"}));
}

}  // namespace
}  // namespace supercloud
