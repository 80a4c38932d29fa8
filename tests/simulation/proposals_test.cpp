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
    options.prices.account.launch_delay_min = absl::Seconds(120);
    options.prices.account.notice_min = absl::Seconds(20);
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
    cluster_.checker().hurried(node);  // who drains may leave memory behind, too
    cluster_.ask(node, Message<Request>::build([&](Request::Builder request) {
                   auto drain = request.initDrainNode();
                   drain.setNode(node);
                   drain.setDeadlineNs(absl::ToInt64Nanoseconds(deadline));
                 }));
  }
  // Of VM "busy" on node-0, whose memory is never done copying: under way when the cloud takes node-0 and node-1.
  void move_until_the_notices(const std::string& target) {
    create("node-0", "busy", 2048, 4'000'000);
    cluster_.run_for(absl::Seconds(7));
    cluster_.migrate("node-0", "busy", target);
    cluster_.run_for(absl::Seconds(4));
    ASSERT_EQ(all(Payload::MIGRATION_STARTED).size(), 1U);
    ASSERT_EQ(all(Payload::SPOT_INTERRUPTION_NOTICE).size(), 0U);
    ASSERT_EQ(all(Payload::MIGRATION_HURRIED).size(), 0U);
    cluster_.run_for(absl::Seconds(4));
    ASSERT_EQ(all(Payload::SPOT_INTERRUPTION_NOTICE).size(), 2U);
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

// One machine there has room for one of them.
TEST_F(ProposalsTest, two_that_come_to_one_place_at_the_same_moment_do_not_both_get_its_last_room) {
  const std::uint64_t over_half = (options().memory_bytes >> 20U) / 2 + 64;
  create("node-0", "one", over_half);
  create("node-1", "two", over_half);
  const std::size_t before = all(Payload::INSTANCE_REQUESTED).size();
  cluster_.migrate("node-0", "one", spot("c").id());
  cluster_.migrate("node-1", "two", spot("c").id());
  cluster_.run_for(absl::Seconds(4));
  EXPECT_EQ(failed_checks(), std::vector<std::string>{});
  EXPECT_EQ(all(Payload::MIGRATION_ABORTED).size(), 0U);
  ASSERT_EQ(all(Payload::MIGRATION_ACCEPTED).size(), 1U);
  const Event accepted = all(Payload::MIGRATION_ACCEPTED)[0];
  EXPECT_EQ(text(accepted.payload().getMigrationAccepted().getTarget()), "node-2");
  EXPECT_EQ(all(Payload::INSTANCE_REQUESTED).size(), before + 1) << "for the other";
}

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

// By the notice alone: no policy moves what is to stay.
TEST_F(ProposalsTest, a_move_to_a_node_that_goes_as_well_is_ended_for_one_that_leads_elsewhere) {
  move_until_the_notices("node-1");
  cluster_.run_for(absl::Seconds(15));
  const auto aborted = all(Payload::MIGRATION_ABORTED);
  ASSERT_FALSE(aborted.empty());
  const std::string why(text(aborted.front().payload().getMigrationAborted().getWhy()));
  EXPECT_NE(why.find("node-1 goes as well"), std::string::npos) << why;
  EXPECT_TRUE(running_on("busy") == "node-2" || running_on("busy") == "node-3")
      << running_on("busy");
  const Event flight = all(Payload::MIGRATION_PROPOSED).back();
  EXPECT_EQ(text(flight.payload().getMigrationProposed().getProposer()), "evacuation");
  EXPECT_EQ(text(flight.payload().getMigrationProposed().getReason()), "the cloud takes node-0");
}

TEST_F(ProposalsTest, a_move_to_a_node_that_stays_goes_on_as_a_drain) {
  create("node-0", "busy", 2048, 4'000'000);
  cluster_.migrate("node-0", "busy", "node-2");
  cluster_.run_for(absl::Seconds(2));
  ASSERT_EQ(all(Payload::MIGRATION_STARTED).size(), 1U);
  drain("node-0", absl::Seconds(8));
  cluster_.run_for(absl::Seconds(1));
  ASSERT_EQ(all(Payload::MIGRATION_HURRIED).size(), 1U);
  EXPECT_EQ(all(Payload::MIGRATION_PROPOSED).size(), 1U) << "what is on its way goes on";
  cluster_.migrate("node-0", "busy", "node-3");
  cluster_.run_for(absl::Seconds(9));
  EXPECT_EQ(failed_checks(), std::vector<std::string>{"busy"})
      << "and who is refused changes nothing";
  EXPECT_EQ(running_on("busy"), "node-2") << "from its disk there, as its memory never gets done";
  EXPECT_EQ(all(Payload::MIGRATION_COMPLETED).size(), 1U);
  EXPECT_EQ(all(Payload::MIGRATION_ABORTED).size(), 0U);
}

TEST_F(ProposalsTest, a_notice_hurries_what_is_on_its_way) {
  move_until_the_notices("node-3");
  const auto hurried = all(Payload::MIGRATION_HURRIED);
  ASSERT_EQ(hurried.size(), 1U);
  EXPECT_EQ(hurried[0].migration(), all(Payload::MIGRATION_ACCEPTED)[0].migration());
  cluster_.run_for(absl::Seconds(20));
  EXPECT_EQ(running_on("busy"), "node-3") << "from its disk there, before node-0 was taken";
  EXPECT_EQ(all(Payload::MIGRATION_COMPLETED).size(), 1U);
  EXPECT_EQ(all(Payload::MIGRATION_ABORTED).size(), 0U);
}

// ---- what a dry run and a proposal find at the target ------------------------------------------------------------------

// node-0 and node-1 have the device, node-1 has a small disk; node-2 has neither.
class TargetsTest : public testing::Test {
 protected:
  TargetsTest() { cluster_.run_for(absl::Seconds(5)); }

  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 3;
    options.market = false;
    options.adjust = [](MachineOptions& machine) {
      if (machine.description.place.spot) machine.description.devices = {"gpu/t4"};
      if (machine.description.place.zone == "us-east-1b") machine.volumes.disk_bytes = 8 << 20;
    };
    return options;
  }
  absl::Status create(const std::string& node, const std::string& name,
                      std::uint64_t disk_mebibytes, const std::string& device = "") {
    return ask(node,
               [&](Request::Builder request) {
                 auto spec = request.initCreateVm();
                 spec.setName(name);
                 spec.setMemoryBytes(64 << 20U);
                 spec.setDiskBytes(disk_mebibytes << 20U);
                 spec.setAddress("10.0.0." + name);
                 if (!device.empty()) spec.initDevices(1).set(0, device);
               })
        .status();
  }
  std::vector<std::string> dry_run(const std::string& vm, const std::string& target) {
    const auto answer = ask("node-0", [&](Request::Builder request) {
      auto migrate = request.initMigrateVm();
      migrate.initVm().setName(vm);
      migrate.setTarget(target);
      migrate.setDryRun(true);
    });
    EXPECT_TRUE(answer.ok()) << answer.status();
    std::vector<std::string> failed;
    if (answer.ok())
      for (const auto check : answer->reader().getChecks())
        if (check.getCure().size() > 0)
          failed.push_back(std::string(text(check.getName())) + ": " +
                           std::string(text(check.getDetail())));
    return failed;
  }
  absl::StatusOr<Message<schema::Response>> ask(const std::string& node,
                                                absl::FunctionRef<void(Request::Builder)> fill) {
    absl::StatusOr<Message<schema::Response>> answer = absl::UnknownError("no answer");
    cluster_.ask(node, Message<Request>::build(fill),
                 [&answer](const auto& told) { answer = told; });
    cluster_.run_for(absl::Seconds(6));
    return answer;
  }

  SimulatedCluster cluster_{options()};
};
using Checks = std::vector<std::string>;

TEST_F(TargetsTest, a_target_has_room_for_the_disk_or_a_replica_of_it) {
  ASSERT_TRUE(create("node-0", "large", 64).ok());
  EXPECT_EQ(dry_run("large", "node-1"),
            Checks{"disk: its disk needs 64 MiB, 8 MiB are free, and no replica of it is there"});
  EXPECT_EQ(dry_run("large", "node-2"), Checks{});
  ASSERT_TRUE(create("node-0", "small", 8).ok());
  ASSERT_TRUE(cluster_.machine("node-1")->disk().volumes().contains("main/small"));
  EXPECT_EQ(dry_run("small", "node-1"), Checks{}) << "its replica has all of the disk";

  cluster_.migrate("node-0", "large", "node-1");
  cluster_.run_for(absl::Seconds(3));
  int refused = 0;
  for (const Event& event : cluster_.history())
    if (event.type() == Payload::MIGRATION_REFUSED) {
      ++refused;
      EXPECT_EQ(text(event.payload().getMigrationRefused().getFailures()[0].getName()), "disk");
    }
  EXPECT_EQ(refused, 1);
  const absl::Status full = create("node-1", "more", 1);
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
}

TEST_F(TargetsTest, a_target_offers_the_devices_that_the_vm_needs) {
  ASSERT_TRUE(create("node-0", "trained", 1, "gpu/t4").ok());
  EXPECT_EQ(dry_run("trained", "node-1"), Checks{});
  EXPECT_EQ(dry_run("trained", "node-2"),
            Checks{"constraints: it needs the device gpu/t4, which node-2 does not offer"});
  EXPECT_FALSE(cluster_.machine("node-2")->disk().volumes().contains("main/trained"))
      << "who could not run it keeps no replica of it";
  const absl::Status there = create("node-2", "other", 1, "gpu/t4");
  EXPECT_TRUE(absl::IsFailedPrecondition(there)) << there;
}

TEST_F(TargetsTest, who_asks_for_a_dry_run_hears_what_it_waits_for_and_need_not_wait) {
  ASSERT_TRUE(create("node-0", "web1", 1).ok());
  cluster_.machine("node-1")->freeze();
  std::vector<Progress> heard;
  std::vector<absl::Status> answers;
  const auto call = cluster_.ask(
      "node-0", Message<Request>::build([](Request::Builder request) {
        auto migrate = request.initMigrateVm();
        migrate.initVm().setName("web1");
        migrate.setTarget("node-1");
        migrate.setDryRun(true);
      }),
      [&](const auto& answer) { answers.push_back(answer.status()); },
      [&](const Progress& progress) { heard.push_back(progress); });
  cluster_.run_for(absl::Milliseconds(500));
  EXPECT_EQ(heard,
            std::vector({Progress{1, 3, "asking node-1, measuring the way of memory to node-1"}}));
  EXPECT_TRUE(answers.empty());
  call->cancel();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_TRUE(absl::IsCancelled(answers[0])) << answers[0];
  cluster_.machine("node-1")->thaw();
  cluster_.run_for(absl::Seconds(10));
  EXPECT_EQ(answers.size(), 1U);
  EXPECT_EQ(heard.size(), 1U);
  EXPECT_EQ(dry_run("web1", "node-1"), Checks{});
}

}  // namespace
}  // namespace supercloud
