// The inventory over real daemons: domains that are introduced, named, shut down and gone are events on the bus.
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "tests/hypercall/xen/inventory_node.h"
#include "tests/hypercall/xen/witness.h"

namespace supercloud {
namespace {

class RealInventory : public testing::TestWithParam<XenDaemon::Kind> {};

INSTANTIATE_TEST_SUITE_P(Daemons, RealInventory,
                         testing::Values(XenDaemon::Kind::c, XenDaemon::Kind::ocaml),
                         [](const auto& of) { return XenDaemon::name(of.param); });

TEST_P(RealInventory, tells_the_bus_of_every_domain_also_after_its_daemon_was_killed) {
  if (!XenDaemon::available(GetParam()))
    GTEST_SKIP() << "no such daemon here; make build/.unpacked-daemons";
  XenStandIn xen;
  XenDaemon daemon(GetParam(), xen);
  const absl::Status started = daemon.start();
  ASSERT_TRUE(started.ok()) << started;
  EventLoop loop;
  std::map<DomainId, std::string> told;
  std::uint32_t vms = 99;
  const InventoryNode node(loop, xen, daemon.socket(), [&](const Event& event) {
    if (event.type() == schema::Payload::NODE_CAPACITY) {
      vms = event.payload().getNodeCapacity().getVms();
      return;
    }
    const auto changed = event.payload().getVmDomainChanged();
    told[changed.getDomain()] =
        absl::StrCat(str(changed.getName()), " ", static_cast<int>(changed.getState()));
    EXPECT_EQ(event.subject(), text(changed.getUuid()));
  });
  const auto says = [&](DomainId id, const std::string& words) {
    return loop.run_until([&] { return told[id] == words; }, absl::Seconds(30));
  };
  ASSERT_TRUE(loop.run_until([&] { return vms == 0; }, absl::Seconds(30)));
  xen.set_domain(1);
  auto witness = std::make_unique<Witness>(daemon.socket());
  ASSERT_TRUE(witness->introduce(1));
  EXPECT_TRUE(says(1, " 0")) << told[1];
  ASSERT_TRUE(witness->write("/local/domain/1/name", "web1"));
  EXPECT_TRUE(says(1, "web1 0")) << told[1];
  EXPECT_TRUE(loop.run_until([&] { return vms == 1; }, absl::Seconds(30)));
  xen.set_domain(1, "shutdown");
  xen.raise_domain_exception();
  EXPECT_TRUE(says(1, "web1 2")) << told[1];

  witness.reset();
  daemon.kill();
  xen.set_domain(2, "paused");
  ASSERT_TRUE(daemon.start().ok());
  EXPECT_TRUE(says(2, " 1")) << told[2];
  EXPECT_TRUE(says(1, " 2")) << "its name went with the store: " << told[1];
  ASSERT_TRUE(Witness(daemon.socket()).write("/local/domain/2/name", "web2"));
  EXPECT_TRUE(says(2, "web2 1")) << told[2];
  xen.remove_domain(1);
  EXPECT_TRUE(says(1, " 5")) << "found without a watch: " << told[1];
  EXPECT_TRUE(loop.run_until([&] { return vms == 1; }, absl::Seconds(30)));
}

}  // namespace
}  // namespace supercloud
