// Nodes that are to be empty.
#include "actors/migration/drain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "simulation/cluster.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

using Request = schema::Request;
using schema::Payload;
using testing::HasSubstr;

class DrainTest : public testing::Test {
 protected:
  DrainTest() : DrainTest(options()) {}
  explicit DrainTest(const ClusterOptions& options) : cluster_(options) {
    cluster_.run_for(absl::Seconds(3));
  }
  void TearDown() override {
    for (const auto& machine : cluster_.machines()) {
      EXPECT_EQ(undrain(machine->name()), absl::OkStatus());
    }
    cluster_.run_for(absl::Seconds(30));
    demand_convergence(cluster_, cluster_.history());
    for (const Violation& violation : cluster_.checker().violations())
      ADD_FAILURE() << violation.rule << ": " << violation.what;
  }
  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 3;
    options.market = false;
    return options;
  }

  absl::StatusOr<Message<schema::Response>> ask(const std::string& node,
                                                absl::FunctionRef<void(Request::Builder)> fill) {
    absl::StatusOr<Message<schema::Response>> answer = absl::UnknownError("no answer");
    cluster_.ask(node, Message<Request>::build(fill),
                 [&answer](const auto& told) { answer = told; });
    cluster_.run_for(absl::Seconds(6));
    return answer;
  }
  struct Vm {
    std::uint64_t mebibytes = 64;
    std::uint64_t downtime_nano_usd_per_hour = 0;
    std::string only;  // node
    std::uint32_t dirty_pages_per_second = 200;
  };
  void create(const std::string& node, const std::string& name) { create(node, name, Vm()); }
  void create(const std::string& node, const std::string& name, const Vm& vm) {
    cluster_.ask(node, Message<Request>::build([&](Request::Builder request) {
                   auto spec = request.initCreateVm();
                   spec.setName(name);
                   spec.setMemoryBytes(vm.mebibytes << 20U);
                   spec.setDiskBytes(1 << 20U);
                   spec.setAddress("10.0.0." + name);
                   spec.setDirtyPagesPerSecond(vm.dirty_pages_per_second);
                   spec.setDowntimeNanoUsdPerHour(vm.downtime_nano_usd_per_hour);
                   if (!vm.only.empty()) spec.initNodes(1).set(0, vm.only);
                 }),
                 [](const absl::StatusOr<Message<schema::Response>>& created) {
                   EXPECT_TRUE(created.ok()) << created.status();
                 });
    cluster_.run_for(absl::Seconds(2));
  }
  absl::Status drain(const std::string& node, Duration deadline = absl::ZeroDuration()) {
    if (deadline > absl::ZeroDuration()) cluster_.checker().hurried(node);
    return ask(node,
               [&](Request::Builder request) {
                 auto drained = request.initDrainNode();
                 drained.setNode(node);
                 drained.setWhy("new kernel");
                 drained.setDeadlineNs(absl::ToInt64Nanoseconds(deadline));
               })
        .status();
  }
  absl::Status undrain(const std::string& node) {
    return ask(node, [&](Request::Builder request) { request.initUndrainNode().setNode(node); })
        .status();
  }

  std::vector<Event> all(Payload::Which type) {
    std::vector<Event> found;
    for (const Event& event : cluster_.history())
      if (event.type() == type) found.push_back(event);
    return found;
  }
  std::string running_on(const std::string& vm) {
    std::string where;
    for (const auto& machine : cluster_.machines())
      for (const GuestProbe& probe : machine->probes())
        if (probe.vm == "main/" + vm && probe.executes) where += machine->name();
    return where;
  }
  std::size_t guests(const std::string& node) { return cluster_.machine(node)->probes().size(); }
  bool run_until(const std::function<bool()>& done, Duration patience) {
    for (const Instant end = cluster_.scheduler().now() + patience;
         !done() && cluster_.scheduler().now() < end;)
      cluster_.run_for(absl::Milliseconds(100));
    return done();
  }
  // Of moves, over all of history.
  std::size_t most_at_once() {
    std::set<EventId> under_way;
    std::size_t most = 0;
    for (const Event& event : cluster_.history()) {
      if (event.type() == Payload::MIGRATION_ACCEPTED) under_way.insert(event.migration());
      if (event.type() == Payload::MIGRATION_COMPLETED ||
          event.type() == Payload::MIGRATION_ABORTED)
        under_way.erase(event.migration());
      most = std::max(most, under_way.size());
    }
    return most;
  }

  SimulatedCluster cluster_;
};

TEST_F(DrainTest, a_node_with_many_guests_is_emptied_a_few_at_a_time) {
  for (int i = 0; i < 12; ++i) create("node-0", absl::StrCat("web", i));
  ASSERT_EQ(drain("node-0"), absl::OkStatus());
  ASSERT_TRUE(run_until([&] { return !all(Payload::NODE_DRAINED).empty(); }, absl::Minutes(3)));
  EXPECT_EQ(guests("node-0"), 0U);
  EXPECT_EQ(guests("node-1") + guests("node-2"), 12U);
  EXPECT_GT(most_at_once(), 1U);
  EXPECT_LE(most_at_once(), 4U);
  for (const Event& proposal : all(Payload::MIGRATION_PROPOSED)) {
    EXPECT_EQ(text(proposal.payload().getMigrationProposed().getProposer()), "evacuation");
    EXPECT_EQ(text(proposal.payload().getMigrationProposed().getReason()), "new kernel");
  }
}

TEST_F(DrainTest, a_drained_node_takes_nobody_until_it_is_undrained) {
  create("node-1", "web1");
  ASSERT_EQ(drain("node-0"), absl::OkStatus());
  EXPECT_EQ(all(Payload::NODE_DRAINED).size(), 1U) << "it was empty";
  cluster_.migrate("node-1", "web1", "node-0");
  cluster_.run_for(absl::Seconds(5));
  ASSERT_EQ(all(Payload::MIGRATION_REFUSED).size(), 1U);
  const Event refused = all(Payload::MIGRATION_REFUSED)[0];
  const auto failures = refused.payload().getMigrationRefused().getFailures();
  EXPECT_EQ(text(failures[0].getName()), "drain");
  EXPECT_THAT(str(failures[0].getCure()), HasSubstr("supercloud node undrain node-0"));
  const auto created = ask("node-0", [](Request::Builder request) {
    auto spec = request.initCreateVm();
    spec.setName("web2");
    spec.setMemoryBytes(1 << 20U);
    spec.setAddress("10.0.0.9");
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(created.status())) << created.status();
  EXPECT_THAT(std::string(created.status().message()), HasSubstr("undrain"));

  ASSERT_EQ(undrain("node-0"), absl::OkStatus());
  cluster_.migrate("node-1", "web1", "node-0");
  EXPECT_TRUE(run_until([&] { return running_on("web1") == "node-0"; }, absl::Seconds(20)));
}

TEST_F(DrainTest, who_joins_later_hears_of_it) {
  create("node-1", "web1");
  ASSERT_EQ(drain("node-0"), absl::OkStatus());
  cluster_.machine("node-1")->kill_daemon(true);
  cluster_.machine("node-1")->start_daemon();
  cluster_.run_for(absl::Seconds(8));
  cluster_.migrate("node-1", "web1", "node-0");
  cluster_.run_for(absl::Seconds(5));
  ASSERT_EQ(all(Payload::MIGRATION_REFUSED).size(), 1U);
  const Event refused = all(Payload::MIGRATION_REFUSED)[0];
  EXPECT_EQ(text(refused.payload().getMigrationRefused().getFailures()[0].getName()), "drain");
}

TEST_F(DrainTest, it_goes_on_after_a_restart) {
  for (int i = 0; i < 6; ++i) create("node-0", absl::StrCat("web", i), {.mebibytes = 512});
  ASSERT_EQ(drain("node-0"), absl::OkStatus());
  cluster_.machine("node-0")->kill_daemon(true);
  cluster_.machine("node-0")->start_daemon();
  ASSERT_TRUE(run_until([&] { return !all(Payload::NODE_DRAINED).empty(); }, absl::Minutes(3)));
  EXPECT_EQ(guests("node-0"), 0U);
  cluster_.machine("node-0")->kill_daemon(true);
  cluster_.machine("node-0")->start_daemon();
  cluster_.run_for(absl::Seconds(5));
  const std::string elsewhere = running_on("web1");
  cluster_.migrate(elsewhere, "web1", "node-0");
  cluster_.run_for(absl::Seconds(5));
  EXPECT_EQ(running_on("web1"), elsewhere) << "it is to be empty after its restart, too";
}

TEST_F(DrainTest, who_cannot_leave_is_said_with_the_cure_and_leaves_when_it_can) {
  create("node-0", "web1", {.only = "node-0"});
  create("node-0", "web2");
  ASSERT_EQ(drain("node-0"), absl::OkStatus());
  cluster_.run_for(absl::Seconds(20));
  EXPECT_NE(running_on("web2"), "node-0");
  EXPECT_EQ(running_on("web1"), "node-0");
  EXPECT_TRUE(all(Payload::NODE_DRAINED).empty());
  const auto said = all(Payload::NODE_DRAINING);
  const auto stays = said.back().payload().getNodeDraining().getStays();
  ASSERT_EQ(stays.size(), 1U);
  EXPECT_EQ(text(stays[0].getName()), "main/web1");
  EXPECT_THAT(str(stays[0].getDetail()), HasSubstr("is not among the nodes it may run on"));
  EXPECT_THAT(str(stays[0].getCure()), HasSubstr("stop it"));
  EXPECT_LT(said.size(), 5U) << "and not again and again";

  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initStopVm().setName("web1"); }).ok());
  ASSERT_TRUE(run_until([&] { return !all(Payload::NODE_DRAINED).empty(); }, absl::Seconds(20)));
  const Event drained = all(Payload::NODE_DRAINED)[0];
  const auto stopped = drained.payload().getNodeDrained().getStays();
  ASSERT_EQ(stopped.size(), 1U) << "its disk is there";
  EXPECT_EQ(text(stopped[0].getName()), "main/web1");
}

TEST_F(DrainTest, whose_standing_still_costs_most_leaves_first) {
  create("node-0", "cheap1", {.mebibytes = 256});
  create("node-0", "dear", {.mebibytes = 256, .downtime_nano_usd_per_hour = 1'000'000'000});
  create("node-0", "cheap2", {.mebibytes = 256});
  ASSERT_EQ(drain("node-0", absl::Minutes(1)), absl::OkStatus());
  ASSERT_TRUE(run_until([&] { return guests("node-0") == 0; }, absl::Minutes(1)));
  EXPECT_EQ(all(Payload::MIGRATION_PROPOSED)[0].subject(), "dear");
}

TEST_F(DrainTest, a_drain_that_is_ended_leaves_who_has_not_begun) {
  for (int i = 0; i < 8; ++i) create("node-0", absl::StrCat("web", i), {.mebibytes = 384});
  cluster_.ask("node-0", Message<Request>::build([&](Request::Builder request) {
                 request.initDrainNode().setNode("node-0");
               }));
  ASSERT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_ACCEPTED).empty(); }, absl::Seconds(10)));
  ASSERT_EQ(undrain("node-0"), absl::OkStatus());
  cluster_.run_for(absl::Seconds(60));
  EXPECT_GT(guests("node-0"), 3U);
  EXPECT_TRUE(all(Payload::NODE_DRAINED).empty());
  EXPECT_EQ(all(Payload::NODE_UNDRAINED).size(), 1U);
  EXPECT_EQ(undrain("node-0"), absl::OkStatus()) << "once more: nothing happens";
  EXPECT_EQ(all(Payload::NODE_UNDRAINED).size(), 1U);
}

TEST_F(DrainTest, two_nodes_that_are_drained_at_once_do_not_send_guests_to_each_other) {
  for (int i = 0; i < 3; ++i) create("node-0", absl::StrCat("a", i));
  for (int i = 0; i < 3; ++i) create("node-1", absl::StrCat("b", i));
  for (const char* node : {"node-0", "node-1"}) {
    cluster_.ask(node, Message<Request>::build([&](Request::Builder request) {
                   request.initDrainNode().setNode(node);
                 }));
  }
  ASSERT_TRUE(run_until([&] { return guests("node-2") == 6; }, absl::Minutes(2)));
  EXPECT_TRUE(run_until([&] { return all(Payload::NODE_DRAINED).size() >= 2; }, absl::Seconds(10)));
  EXPECT_EQ(guests("node-0") + guests("node-1"), 0U);
}

// Of the others none has room for a disk, which only they know.
class FullDisksDrainTest : public DrainTest {
 protected:
  FullDisksDrainTest() : DrainTest(full()) {}
  static ClusterOptions full() {
    ClusterOptions full = options();
    full.adjust = [made = 0](MachineOptions& machine) mutable {
      if (made++ > 0) machine.volumes.disk_bytes = 0;
    };
    return full;
  }
};

TEST_F(FullDisksDrainTest, who_is_refused_everywhere_is_asked_ever_more_rarely_and_said_once) {
  create("node-0", "web1");
  ASSERT_EQ(drain("node-0"), absl::OkStatus());
  cluster_.run_for(absl::Minutes(5));
  EXPECT_EQ(running_on("web1"), "node-0");
  EXPECT_GT(all(Payload::MIGRATION_REFUSED).size(), 4U);
  EXPECT_LT(all(Payload::MIGRATION_REFUSED).size(), 24U);
  EXPECT_LT(all(Payload::NODE_DRAINING).size(), 4U);
  const Event said = all(Payload::NODE_DRAINING).back();
  ASSERT_EQ(said.payload().getNodeDraining().getStays().size(), 1U);
  EXPECT_THAT(str(said.payload().getNodeDraining().getStays()[0].getDetail()), HasSubstr("MiB"));
}

// 4 GiB over a way that carries 64 MiB a second take longer than the minute that a move has.
class SlowDrainTest : public DrainTest {
 protected:
  SlowDrainTest() : DrainTest(slow()) {}
  static ClusterOptions slow() {
    ClusterOptions slow = options();
    slow.memory_bytes = std::uint64_t{16} << 30U;
    slow.host.bytes_per_second = 64 << 20U;
    return slow;
  }
};

TEST_F(SlowDrainTest, who_needs_longer_than_moves_usually_have_is_given_more) {
  create("node-0", "big", {.mebibytes = 5 << 10U});
  ASSERT_EQ(drain("node-0"), absl::OkStatus());
  EXPECT_TRUE(run_until([&] { return !all(Payload::NODE_DRAINED).empty(); }, absl::Minutes(10)));
  EXPECT_NE(running_on("big"), "");
  EXPECT_EQ(guests("node-0"), 0U);
}

TEST_F(SlowDrainTest, a_move_that_cannot_be_done_in_time_is_ended_before_a_byte_moves) {
  create("node-0", "big", {.mebibytes = 8 << 10U});
  cluster_.migrate("node-0", "big", "node-1");
  ASSERT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_ABORTED).empty(); }, absl::Seconds(10)));
  EXPECT_THAT(str(all(Payload::MIGRATION_ABORTED)[0].payload().getMigrationAborted().getWhy()),
              HasSubstr("it cannot be done in time: 8192 MiB are left"));
  EXPECT_EQ(all(Payload::MIGRATION_ACCEPTED).size(), 1U);
  EXPECT_TRUE(all(Payload::MIGRATION_STARTED).empty());
  EXPECT_EQ(running_on("big"), "node-0");
}

TEST_F(SlowDrainTest, a_move_over_a_way_that_is_known_to_be_too_slow_is_refused_and_holds_no_room) {
  create("node-1", "there", {.mebibytes = 6 << 10U});
  create("node-0", "big", {.mebibytes = 8 << 10U});
  create("node-0", "small", {.mebibytes = 3 << 10U});
  cluster_.migrate("node-0", "big", "node-1");
  ASSERT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_ABORTED).empty(); }, absl::Seconds(10)));
  cluster_.migrate("node-0", "big", "node-1");
  ASSERT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_REFUSED).empty(); }, absl::Seconds(5)));
  const Event refused = all(Payload::MIGRATION_REFUSED)[0];
  const auto failures = refused.payload().getMigrationRefused().getFailures();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(str(failures[0].getName()), "time");
  EXPECT_THAT(str(failures[0].getDetail()), HasSubstr("at 64 MiB/s"));
  EXPECT_TRUE(all(Payload::MIGRATION_STARTED).empty());
  EXPECT_EQ(running_on("big"), "node-0");
  // It would find 2 GiB, if room were held for the other.
  cluster_.run_for(absl::Milliseconds(100));
  cluster_.migrate("node-0", "small", "node-1");
  EXPECT_TRUE(run_until([&] { return running_on("small") == "node-1"; }, absl::Minutes(2)));
  EXPECT_EQ(all(Payload::MIGRATION_REFUSED).size(), 1U);
}

// What seems almost possible at first, and less and less so.
TEST_F(SlowDrainTest, a_move_that_cannot_be_done_in_time_is_ended_with_the_reason) {
  create("node-0", "big", {.mebibytes = 5600});
  cluster_.migrate("node-0", "big", "node-1");
  ASSERT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_ABORTED).empty(); }, absl::Seconds(40)));
  const Event aborted = all(Payload::MIGRATION_ABORTED)[0];
  EXPECT_THAT(str(aborted.payload().getMigrationAborted().getWhy()),
              HasSubstr("it cannot be done in time"));
  EXPECT_EQ(running_on("big"), "node-0");
}

TEST_F(SlowDrainTest, a_guest_that_writes_too_fast_is_slowed_down_and_that_is_said) {
  create("node-0", "busy", {.mebibytes = 512, .dirty_pages_per_second = 20'000});
  cluster_.migrate("node-0", "busy", "node-1");
  ASSERT_TRUE(run_until([&] { return running_on("busy") == "node-1"; }, absl::Seconds(70)));
  const auto planned = all(Payload::MIGRATION_PLANNED);
  ASSERT_EQ(planned.size(), 2U);
  EXPECT_EQ(planned[0].payload().getMigrationPlanned().getMethod(), schema::Method::PRE_COPY);
  const Event& slowed = planned[1];
  EXPECT_EQ(slowed.payload().getMigrationPlanned().getMethod(), schema::Method::THROTTLED);
  EXPECT_THAT(str(slowed.payload().getMigrationPlanned().getWhy()),
              HasSubstr("and the way carries 64 MiB/s"));
}

}  // namespace
}  // namespace supercloud
