// What becomes of proposals while others are there: of what is refused anyway, and of what has to give way.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "actors/spot/vector_feed.h"
#include "simulation/cluster.h"

namespace supercloud {
namespace {

using Request = schema::Request;
using schema::Payload;

// node-0 to node-2 on spot in the zones a to c, node-3 on demand. A second is a minute of the market; launching takes longer than
// any test. At 00:20 the prices in a and b exceed the bids.
class ProposalsTest : public testing::Test {
 protected:
  ProposalsTest() { cluster_.run_for(absl::Seconds(5)); }
  void TearDown() override {
    for (const Violation& violation : cluster_.checker().violations())
      ADD_FAILURE() << violation.rule << ": " << violation.what;
  }

  static PlaceName spot(const std::string& zone) {
    return {.cloud = "aws",
            .region = "us-east-1",
            .zone = "us-east-1" + zone,
            .instance_type = "r3.large",
            .spot = true};
  }
  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 4;
    options.market_speed = 60;
    options.prices.launch_min = absl::Seconds(120);
    options.prices.notice_min = absl::Seconds(20);
    const absl::Time origin = options.prices.origin;
    std::vector<Price> prices;
    for (const char* zone : {"a", "b", "c", "d"})
      prices.push_back({spot(zone), Money{30'000'000}, origin});
    for (const char* zone : {"a", "b"})
      prices.push_back({spot(zone), Money{1'000'000'000}, origin + absl::Minutes(20)});
    options.prices.feed = [prices]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      return std::make_unique<VectorFeed>("test", prices);
    };
    return options;
  }

  void create(const std::string& node, const std::string& name, std::uint64_t mebibytes,
              std::uint32_t dirty_pages_per_second = 200) {
    cluster_.ask(node, Message<Request>::build([&](Request::Builder request) {
                   auto spec = request.initCreateVm();
                   spec.setName(name);
                   spec.setMemoryBytes(mebibytes << 20U);
                   spec.setDiskBytes(1 << 20U);
                   spec.setAddress("10.0.0." + name);
                   spec.setDirtyPagesPerSecond(dirty_pages_per_second);
                   auto label = spec.initRequires(1)[0];
                   label.setName("region");
                   label.setValue("us-east-1");
                 }),
                 [](const absl::StatusOr<Message<schema::Response>>& created) {
                   EXPECT_TRUE(created.ok()) << created.status();
                 });
    cluster_.run_for(absl::Seconds(3));
  }
  void drain(const std::string& node, Duration deadline) {
    cluster_.ask(node, Message<Request>::build([&](Request::Builder request) {
                   auto drain = request.initDrainNode();
                   drain.setNode(node);
                   drain.setDeadlineNs(absl::ToInt64Nanoseconds(deadline));
                 }));
  }
  std::vector<Event> all(Payload::Which type) {
    std::vector<Event> found;
    for (const Event& event : cluster_.history())
      if (event.type() == type) found.push_back(event);
    return found;
  }
  std::vector<std::string> failed_checks() {
    std::vector<std::string> names;
    for (const Event& event : all(Payload::MIGRATION_REFUSED))
      for (const auto check : event.payload().getMigrationRefused().getFailures())
        names.emplace_back(text(check.getName()));
    return names;
  }
  std::string running_on(const std::string& vm) {
    std::string where;
    for (const auto& machine : cluster_.machines())
      for (const GuestProbe& probe : machine->probes())
        if (probe.vm == "main/" + vm && probe.executes) where += machine->name();
    return where;
  }

  SimulatedCluster cluster_{options()};
};

TEST_F(ProposalsTest, nothing_is_rented_for_a_move_that_is_refused_anyway) {
  create("node-0", "web1", 64);
  const std::size_t before = all(Payload::INSTANCE_REQUESTED).size();
  cluster_.migrate("node-0", "web1", "aws/eu-west-1/eu-west-1a/r3.large/spot");
  cluster_.run_for(absl::Seconds(3));
  EXPECT_EQ(all(Payload::INSTANCE_REQUESTED).size(), before);
  EXPECT_EQ(failed_checks(), std::vector<std::string>{"constraints"});
  cluster_.migrate("node-0", "web1", spot("d").id());
  cluster_.run_for(absl::Seconds(1));
  EXPECT_EQ(all(Payload::INSTANCE_REQUESTED).size(), before + 1) << "the VM may run there";
}

TEST_F(ProposalsTest, who_has_to_leave_replaces_what_waits_for_its_target) {
  create("node-0", "web1", 64);
  cluster_.migrate("node-0", "web1", spot("d").id());
  cluster_.run_for(absl::Seconds(1));
  EXPECT_EQ(failed_checks(), std::vector<std::string>{}) << "an instance is on its way";
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Seconds(1));
  EXPECT_EQ(failed_checks(), std::vector<std::string>{"busy"}) << "no more urgent than the first";
  drain("node-0", absl::Seconds(10));
  cluster_.run_for(absl::Seconds(8));
  EXPECT_NE(running_on("web1"), "node-0");
  EXPECT_NE(running_on("web1"), "");
  EXPECT_EQ(all(Payload::MIGRATION_COMPLETED).size(), 1U);
  EXPECT_EQ(failed_checks(), (std::vector<std::string>{"busy", "replaced"}));
  const auto proposals = all(Payload::MIGRATION_PROPOSED);
  EXPECT_EQ(all(Payload::MIGRATION_REFUSED).back().migration(), proposals.front().id());
}

TEST_F(ProposalsTest, a_move_to_a_node_that_goes_as_well_is_ended_for_one_that_leads_elsewhere) {
  create("node-0", "busy", 2048, 4'000'000);  // never done copying
  cluster_.run_for(absl::Seconds(7));
  cluster_.migrate("node-0", "busy", "node-1");
  cluster_.run_for(absl::Seconds(4));
  ASSERT_EQ(all(Payload::MIGRATION_STARTED).size(), 1U);
  ASSERT_EQ(all(Payload::SPOT_INTERRUPTION_NOTICE).size(), 0U);
  cluster_.run_for(absl::Seconds(4));
  ASSERT_EQ(all(Payload::SPOT_INTERRUPTION_NOTICE).size(), 2U) << "of node-0 and of node-1";
  EXPECT_EQ(all(Payload::MIGRATION_ABORTED).size(), 0U);
  drain("node-0", absl::Seconds(8));
  cluster_.run_for(absl::Seconds(10));
  const auto aborted = all(Payload::MIGRATION_ABORTED);
  ASSERT_FALSE(aborted.empty());
  const std::string why(text(aborted.front().payload().getMigrationAborted().getWhy()));
  EXPECT_NE(why.find("node-1 goes as well"), std::string::npos) << why;
  EXPECT_TRUE(running_on("busy") == "node-2" || running_on("busy") == "node-3")
      << running_on("busy");
}

TEST_F(ProposalsTest, a_move_to_a_node_that_stays_goes_on) {
  create("node-0", "busy", 2048, 4'000'000);
  cluster_.migrate("node-0", "busy", "node-2");
  cluster_.run_for(absl::Seconds(2));
  ASSERT_EQ(all(Payload::MIGRATION_STARTED).size(), 1U);
  drain("node-0", absl::Seconds(8));
  cluster_.run_for(absl::Seconds(1));
  EXPECT_EQ(failed_checks(), std::vector<std::string>{"busy"});
  EXPECT_EQ(all(Payload::MIGRATION_ABORTED).size(), 0U);
}

}  // namespace
}  // namespace supercloud
