#include "actors/node/node_agent.h"

#include <memory>
#include <string>
#include <vector>

#include "actors/migration/node_directory.h"
#include "core/memory_link.h"
#include "hypercall/simulated/host.h"
#include "hypercall/simulated/hypervisor.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;

class NoDevices final : public GuestDevices {
 public:
  void write(const std::string&, Epoch, std::uint64_t, std::uint64_t,
             Reply<std::uint64_t>) override {}
  void flush(const std::string&, Epoch, Reply<std::uint64_t>) override {}
  void transmit(const std::string&, Epoch) override {}
  void read_resource(const std::string&, Epoch, const std::string&, std::uint64_t) override {}
};

class NodeAgentTest : public MarketWorld {
 protected:
  NodeAgentTest()
      : links(scheduler),
        link_network(links.network("new", scheduler)),
        host(scheduler, *link_network, Random(1), devices, {}),
        hypervisor(host) {}

  ~NodeAgentTest() override { nodes.clear(); }
  void announce(TestNode& node) {
    NodeDescription description;
    description.place = zone("b");
    description.memory_bytes = 4096;
    description.devices = {"gpu/t4"};
    node.node->spawn("agent", [this, description](Context& context) {
      return std::make_unique<NodeAgent>(context, &hypervisor, description);
    });
  }
  // What `node` was told by the agent of "new".
  std::vector<Event> told(const TestNode& node) const {
    std::vector<Event> events;
    for (const Event& event : of(node, Payload::NODE_CAPACITY))
      if (event.origin() == "new/agent") events.push_back(event);
    return events;
  }

  MemoryLinkHub links;
  std::unique_ptr<LinkNetwork> link_network;
  NoDevices devices;
  SimulatedHost host;
  SimulatedHypervisor hypervisor;
};

// It announces itself before the other's subscription has reached it.
TEST_F(NodeAgentTest, OthersHearOfANewNodeWithinAFractionOfASecond) {
  TestNode& other = start("other");
  run(absl::Seconds(3));
  LinkFaults slow;
  slow.delay_min = slow.delay_max = absl::Milliseconds(40);
  network.set_faults(slow);
  TestNode& fresh = start("new");
  announce(fresh);
  run(absl::Milliseconds(300));
  EXPECT_TRUE(of(other, Payload::NODE_JOINED).empty()) << "else this tests nothing";
  ASSERT_FALSE(told(other).empty());
  const auto capacity = told(other)[0].payload().getNodeCapacity();
  EXPECT_EQ(text(capacity.getJoined().getPlace().getId()), zone("b").id());
  ASSERT_EQ(capacity.getJoined().getDevices().size(), 1U);
  EXPECT_EQ(text(capacity.getJoined().getDevices()[0]), "gpu/t4");
  EXPECT_EQ(capacity.getJoined().getMemoryBytes(), 4096U);
}

TEST_F(NodeAgentTest, GreetsANodeThatItHearsOfForTheFirstTimeOnceAndSoon) {
  TestNode& old = start("new");  // in the eyes of the others
  announce(old);
  run(absl::Seconds(10));
  const std::size_t before = told(old).size();
  TestNode& other = start("other");
  other.node->spawn("agent", [this](Context& context) {
    return std::make_unique<NodeAgent>(context, &hypervisor, NodeDescription{});
  });
  run(absl::Milliseconds(110));
  EXPECT_EQ(told(old).size(), before + 1);
  EXPECT_FALSE(told(other).empty());
  run(absl::Seconds(20));
  EXPECT_EQ(told(old).size(), before + 11) << "and then every two seconds again";
}

TEST_F(NodeAgentTest, SaysWhatItArchivesAlsoWithoutAMachineAndIsNoPlaceToRunOnThen) {
  TestNode& other = start("other");
  TestNode& keeper = start("new");
  keeper.node->spawn("agent", [](Context& context) {
    NodeDescription description;
    description.archives = {"migration.>", "instance.>"};
    return std::make_unique<NodeAgent>(context, nullptr, description);
  });
  run(absl::Seconds(1));
  ASSERT_FALSE(told(other).empty());
  const auto joined = told(other).back().payload().getNodeCapacity().getJoined();
  ASSERT_EQ(joined.getArchives().size(), 2);
  EXPECT_EQ(text(joined.getArchives()[1]), "instance.>");
  NodeDirectory directory;
  directory.fold(told(other).back());
  EXPECT_TRUE(directory.nodes().empty());
}

TEST_F(NodeAgentTest, HasNoRoomUnderNotice) {
  TestNode& node = start("new");
  announce(node);
  run(absl::Seconds(10));
  const auto free = [&] {
    return told(node).back().payload().getNodeCapacity().getMemoryFreeBytes();
  };
  EXPECT_GT(free(), 0U);
  for (const char* name : {"another", "new"}) {
    publish(node, "i-1", [name](Payload::Builder payload) {
      payload.initSpotInterruptionNotice().setNode(name);
    });
    run(absl::Milliseconds(10));
    EXPECT_EQ(free() == 0, std::string(name) == "new");
  }
  run(absl::Seconds(10));
  EXPECT_EQ(free(), 0U);
}

TEST_F(NodeAgentTest, RepeatsItselfEverLessOftenAndNothingOfThatInItsLog) {
  TestNode& fresh = start("new");
  announce(fresh);
  run(absl::Seconds(4));
  EXPECT_EQ(told(fresh).size(), 7U) << "after 0, 50, 150, 350, 750, 1550 and 3150 ms";
  run(absl::Seconds(20));
  EXPECT_EQ(told(fresh).size(), 17U) << "and then every two seconds";
  EXPECT_EQ(of(fresh, Payload::NODE_JOINED).size(), 1U);
  EXPECT_EQ(fresh.disk.events.size(), 1U);
}

}  // namespace
}  // namespace supercloud
