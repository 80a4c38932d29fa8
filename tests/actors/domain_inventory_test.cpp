// The inventory of a Xen host's domains, in virtual time over a simulated Xen.
#include "actors/inventory/domain_inventory.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "hypercall/simulated/xen.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;
using ::testing::ElementsAre;
using State = DomainStatus::State;

// The domains of a simulated Xen, as a test wants them to be listed.
class ListOfTest final : public DomainList {
 public:
  explicit ListOfTest(SimulatedXen& xen) : xen_(xen) {}
  absl::StatusOr<std::vector<DomainStatus>> list() const override {
    ++lists;
    if (!refused.ok()) return refused;
    auto domains = xen_.list();
    if (as_listed) as_listed(*domains);
    return domains;
  }
  absl::StatusOr<HostRoom> room() const override { return xen_.room(); }

  absl::Status refused;
  std::function<void(std::vector<DomainStatus>&)> as_listed;
  mutable int lists = 0;

 private:
  SimulatedXen& xen_;
};

class DomainInventoryTest : public MarketWorld {
 protected:
  DomainInventoryTest() : store(scheduler, xen, Random(1)) {}
  ~DomainInventoryTest() override { nodes.clear(); }

  TestNode& start_inventory() {
    TestNode& node = start("host");
    spawn(node);
    run(absl::Milliseconds(100));
    return node;
  }
  void spawn(TestNode& node) {
    node.node->spawn(inventory_actor, [this](Context& context) {
      return std::make_unique<DomainInventory>(context, DomainSeams{store, list},
                                               DomainInventoryOptions());
    });
  }
  // "number name state", in order.
  std::vector<std::string> said(const TestNode& node) const {
    std::vector<std::string> lines;
    for (const Event& event : node.seen) {
      if (event.type() != Payload::VM_DOMAIN_CHANGED) continue;
      const auto changed = event.payload().getVmDomainChanged();
      constexpr const char* states[] = {"running", "paused", "shut down", "crashed",
                                        "dying",   "gone",   "suspended"};
      lines.push_back(absl::StrCat(changed.getDomain(), " ", str(changed.getName()), " ",
                                   states[static_cast<int>(changed.getState())]));
      EXPECT_EQ(event.subject(), text(changed.getUuid())) << "which no rename changes";
      EXPECT_EQ(text(changed.getNode()), "host");
    }
    return lines;
  }
  std::vector<Event> capacities(const TestNode& node) const {
    std::vector<Event> events;
    for (const Event& event : node.seen)
      if (event.type() == Payload::NODE_CAPACITY && event.origin() == "host/inventory")
        events.push_back(event);
    return events;
  }

  SimulatedXen xen;
  ListOfTest list{xen};
  SimulatedXenStore store;
};

TEST_F(DomainInventoryTest, SaysWhatIsThereAndWhatComesChangesAndGoes) {
  const DomainId first = *xen.create_domain("web1", std::uint64_t{1} << 30U, 2);
  TestNode& node = start_inventory();
  EXPECT_THAT(said(node), ElementsAre("1 web1 running"));
  const DomainId second = *xen.create_domain("web2", std::uint64_t{1} << 30U, 1);
  run(absl::Milliseconds(20));
  xen.set_state(first, State::crashed);
  run(absl::Milliseconds(20));
  xen.destroy_domain(first);
  run(absl::Milliseconds(20));
  EXPECT_THAT(said(node),
              ElementsAre("1 web1 running", "2 web2 running", "1 web1 crashed", "1 web1 gone"));
  xen.set_state(second, State::paused);
  run(absl::Seconds(3));
  EXPECT_EQ(said(node).back(), "2 web2 paused") << "which no watch tells";
  xen.set_state(second, State::suspended);
  run(absl::Milliseconds(20));
  EXPECT_EQ(said(node).back(), "2 web2 suspended");
  const auto changed = [&] {
    for (const Event& event : node.seen)
      if (event.type() == Payload::VM_DOMAIN_CHANGED) return event;
    return Event();
  }();
  EXPECT_EQ(changed.payload().getVmDomainChanged().getMemoryBytes(), std::uint64_t{1} << 30U);
  EXPECT_EQ(changed.payload().getVmDomainChanged().getCpus(), 2U);
}

TEST_F(DomainInventoryTest, SaysTheRoomWhenItChangesAndAtEachBeat) {
  TestNode& node = start_inventory();
  ASSERT_EQ(capacities(node).size(), 1U);
  run(absl::Seconds(10));
  const std::size_t beats = capacities(node).size();
  EXPECT_GE(beats, 5U) << "for those who came later";
  EXPECT_LE(beats, 7U);
  const std::uint64_t before = capacities(node)[0].payload().getNodeCapacity().getMemoryFreeBytes();
  ASSERT_TRUE(xen.create_domain("web1", 4096, 2).ok());
  run(absl::Milliseconds(50));
  ASSERT_EQ(capacities(node).size(), beats + 1);
  const auto now = capacities(node).back().payload().getNodeCapacity();
  EXPECT_EQ(before - now.getMemoryFreeBytes(), 4096U);
  EXPECT_EQ(now.getVms(), 1U);
  EXPECT_FALSE(now.hasJoined()) << "no place for VMs of ours";
}

TEST_F(DomainInventoryTest, AStormOfChangesIsFewLooksAndTheLastNameIsSaid) {
  const DomainId id = *xen.create_domain("web1", 4096, 1);
  TestNode& node = start_inventory();
  SimulatedXenStore tools(scheduler, xen, Random(2));
  for (int i = 0; i < 10'000; ++i)
    tools.write(0, *(XenPath::domain(id) / "name"), absl::StrCat("web1-", i), {});
  run(absl::Seconds(10));
  EXPECT_EQ(said(node).back(), "1 web1-9999 running");
  EXPECT_LT(said(node).size(), 500U) << "of 10000 changes within a second of market time";
}

TEST_F(DomainInventoryTest, AfterARestartSaysWhatWentMeanwhileAndNothingTwice) {
  const DomainId first = *xen.create_domain("web1", 4096, 1);
  ASSERT_TRUE(xen.create_domain("web2", 4096, 1).ok());
  TestNode& node = start_inventory();
  node.node->fail_actor(inventory_actor, absl::InternalError("a failure"));
  xen.destroy_domain(first);
  run(absl::Seconds(10));
  EXPECT_THAT(said(node), ElementsAre("1 web1 running", "2 web2 running", "1 web1 gone"));
}

TEST_F(DomainInventoryTest, WithoutAStoreDomainsAreKnownByTheirNumbers) {
  ASSERT_TRUE(xen.create_domain("web1", 4096, 1).ok());
  xen.stop_store();
  TestNode& node = start_inventory();
  run(absl::Seconds(1));
  EXPECT_THAT(said(node), ElementsAre("1  running"));
  xen.start_store(true);
  run(absl::Seconds(1));
  EXPECT_THAT(said(node), ElementsAre("1  running", "1 web1 running"));
  xen.stop_store();
  xen.start_store(false);
  run(absl::Seconds(3));
  EXPECT_EQ(said(node).back(), "1  running") << "its name went with the store";
}

TEST_F(DomainInventoryTest, NamesAreToldAsTheyAreButForWhatNobodyCanRead) {
  TestNode& node = start_inventory();
  ASSERT_TRUE(xen.create_domain(std::string(200, 'x'), 4096, 1).ok());
  ASSERT_TRUE(xen.create_domain(std::string("a\0\xff", 3), 4096, 1).ok());
  run(absl::Seconds(1));
  EXPECT_THAT(said(node),
              ElementsAre(absl::StrCat("1 ", std::string(200, 'x'), " running"), "2 a?? running"));
}

TEST_F(DomainInventoryTest, ANumberThatComesAgainIsAnotherDomain) {
  ASSERT_TRUE(xen.create_domain("web1", 4096, 1).ok());
  TestNode& node = start_inventory();
  // The machine boots anew while its daemon does not look: as a machine that was frozen.
  list.as_listed = [](std::vector<DomainStatus>& domains) {
    domains.back().uuid = "11111111-0000-0000-0000-000000000001";
  };
  node.crash();
  TestNode& again = start("host");
  spawn(again);
  run(absl::Seconds(1));
  EXPECT_THAT(said(again), ElementsAre("1 web1 gone", "1 web1 running"));
  nodes.clear();
}

TEST_F(DomainInventoryTest, WhereDomainsAreNotListedItSaysSoAndAsksEverLessOften) {
  ASSERT_TRUE(xen.create_domain("web1", 4096, 1).ok());
  list.refused = absl::PermissionDeniedError("xc_domain_getinfolist: EACCES");
  TestNode& node = start_inventory();
  run(absl::Seconds(30));
  EXPECT_LT(list.lists, 20) << "a loop";
  EXPECT_THAT(said(node), ElementsAre());
  std::string why;
  for (const Event& event : node.seen)
    if (event.type() == Payload::BUS_ACTOR_FAILED)
      why = str(event.payload().getBusActorFailed().getWhy());
  EXPECT_THAT(why, testing::HasSubstr("cannot be listed: xc_domain_getinfolist: EACCES"));
  list.refused = absl::OkStatus();
  run(absl::Seconds(30));
  EXPECT_THAT(said(node), ElementsAre("1 web1 running"));
}

TEST_F(DomainInventoryTest, WhatAGuestWritesIntoItsCornerIsNothingToLookAt) {
  const DomainId id = *xen.create_domain("web1", 4096, 1);
  TestNode& node = start_inventory();
  SimulatedXenStore guest(scheduler, xen, Random(2), {.domain = id});
  run(absl::Milliseconds(100));
  const int before = list.lists;
  for (int i = 0; i < 5000; ++i) guest.write(0, *XenPath::parse("data/x"), absl::StrCat(i), {});
  run(absl::Seconds(4));
  EXPECT_LE(list.lists - before, 3) << "only those of every two seconds";
  EXPECT_THAT(said(node), ElementsAre("1 web1 running"));
}

TEST_F(DomainInventoryTest, ANameThatAFullLogDidNotTakeIsSaidWhenItDoes) {
  const DomainId id = *xen.create_domain("web1", 4096, 1);
  TestNode& node = start_inventory();
  SimulatedXenStore tools(scheduler, xen, Random(2));
  node.log->set_full(true);
  tools.write(0, *(XenPath::domain(id) / "name"), "web2", {});
  run(absl::Seconds(10));
  node.log->set_full(false);
  run(absl::Seconds(30));
  EXPECT_THAT(said(node), ElementsAre("1 web1 running", "1 web2 running"));
}

TEST_F(DomainInventoryTest, WhatAFullLogDidNotTakeIsSaidWhenItDoes) {
  ASSERT_TRUE(xen.create_domain("web1", 4096, 1).ok());
  TestNode& node = start_inventory();
  ASSERT_THAT(said(node), ElementsAre("1 web1 running"));
  // Its number is another domain's: that one is gone, and this one runs, and neither fits into the log.
  node.log->set_full(true);
  list.as_listed = [](std::vector<DomainStatus>& domains) {
    domains.back().uuid = "11111111-0000-0000-0000-000000000001";
  };
  run(absl::Seconds(10));
  EXPECT_THAT(said(node), ElementsAre("1 web1 running"));
  node.log->set_full(false);
  run(absl::Seconds(30));
  EXPECT_THAT(said(node), ElementsAre("1 web1 running", "1 web1 gone", "1 web1 running"));
}

}  // namespace
}  // namespace supercloud
