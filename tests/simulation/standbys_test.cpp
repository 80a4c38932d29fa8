// Targets that nodes keep ready for VMs whose user wants that (VmSpec.prepared).
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "simulation/cluster.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

using Request = schema::Request;
using Vms = std::vector<std::string>;

class StandbysTest : public testing::Test {
 protected:
  StandbysTest() { cluster_.run_for(absl::Seconds(3)); }
  void TearDown() override {
    for (const auto& machine : cluster_.machines()) {
      if (machine->powered()) continue;
      machine->power_on();
      machine->start_daemon();
    }
    cluster_.run_for(absl::Seconds(70));
    demand_convergence(cluster_, cluster_.history());
    for (const Violation& violation : cluster_.checker().violations())
      ADD_FAILURE() << violation.rule << ": " << violation.what;
  }
  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 3;
    options.market = false;
    options.memory_bytes = std::uint64_t{1} << 30U;
    return options;
  }
  absl::Status ask(const std::string& node, absl::FunctionRef<void(Request::Builder)> fill) {
    absl::Status answer = absl::UnknownError("no answer");
    cluster_.ask(node, Message<Request>::build(fill),
                 [&answer](const auto& told) { answer = told.status(); });
    cluster_.run_for(absl::Seconds(6));
    return answer;
  }
  absl::Status create(const std::string& node, const std::string& name, std::uint64_t mebibytes,
                      const Vms& prepared = {}, schema::DiskLoss loss = schema::DiskLoss::SYNC) {
    return ask(node, [&](Request::Builder request) {
      auto spec = request.initCreateVm();
      spec.setName(name);
      spec.setMemoryBytes(mebibytes << 20U);
      spec.setDiskBytes(1 << 20U);
      spec.setAddress("10.0.0." + name);
      spec.setDiskLoss(loss);
      spec.setReplicas(loss == schema::DiskLoss::WAIT ? 0 : 1);
      auto names = spec.initPrepared(static_cast<unsigned>(prepared.size()));
      for (unsigned i = 0; i < names.size(); ++i) names.set(i, prepared[i]);
    });
  }
  Vms kept(const std::string& node) { return cluster_.machine(node)->standbys(); }
  bool until(const std::function<bool()>& done, Duration patience) {
    for (const Instant end = cluster_.scheduler().now() + patience;
         !done() && cluster_.scheduler().now() < end;)
      cluster_.run_for(absl::Milliseconds(100));
    return done();
  }
  std::string running_on(const std::string& vm) {
    std::string where;
    for (const auto& machine : cluster_.machines())
      for (const GuestProbe& probe : machine->probes())
        if (probe.vm == "main/" + vm && probe.executes) where += machine->name();
    return where;
  }
  bool moves_to(const std::string& node, const std::string& vm) {
    cluster_.migrate(running_on(vm), vm, node);
    return until([&] { return running_on(vm) == node; }, absl::Seconds(20));
  }

  SimulatedCluster cluster_{options()};
  const Vms web1_{"main/web1"};
};

TEST_F(StandbysTest, are_kept_where_the_vm_is_not_and_change_places_with_it) {
  ASSERT_EQ(create("node-0", "web1", 64, {"node-0", "node-1"}), absl::OkStatus());
  EXPECT_EQ(kept("node-0"), Vms());
  EXPECT_EQ(kept("node-1"), web1_);
  EXPECT_EQ(kept("node-2"), Vms());
  ASSERT_TRUE(moves_to("node-1", "web1"));
  EXPECT_EQ(kept("node-1"), Vms());
  EXPECT_TRUE(until([&] { return kept("node-0") == web1_; }, absl::Seconds(3)));
  cluster_.run_for(absl::Minutes(2));
  EXPECT_EQ(kept("node-0"), web1_) << "for as long as it runs";
  ASSERT_TRUE(moves_to("node-2", "web1"));
  EXPECT_TRUE(until([&] { return kept("node-1") == web1_; }, absl::Seconds(3)));
  EXPECT_EQ(kept("node-0"), web1_);
}

TEST_F(StandbysTest, are_gone_when_their_vm_was_stopped_or_destroyed) {
  ASSERT_EQ(create("node-0", "web1", 64, {"node-1"}), absl::OkStatus());
  ASSERT_EQ(create("node-0", "web2", 64, {"node-1"}), absl::OkStatus());
  EXPECT_EQ(kept("node-1"), (Vms{"main/web1", "main/web2"}));
  ASSERT_EQ(ask("node-0", [](Request::Builder r) { r.initStopVm().setName("web1"); }),
            absl::OkStatus());
  ASSERT_EQ(ask("node-0", [](Request::Builder r) { r.initDestroyVm().setName("web2"); }),
            absl::OkStatus());
  EXPECT_TRUE(until([&] { return kept("node-1").empty(); }, absl::Seconds(3)));
}

TEST_F(StandbysTest, go_a_minute_after_nobody_asks_for_them_any_more) {
  ASSERT_EQ(create("node-0", "web1", 64, {"node-1"}, schema::DiskLoss::WAIT), absl::OkStatus());
  cluster_.machine("node-0")->power_off(false, cluster_.random());
  cluster_.run_for(absl::Seconds(35));
  EXPECT_EQ(kept("node-1"), web1_);
  EXPECT_TRUE(until([&] { return kept("node-1").empty(); }, absl::Seconds(26)));
  cluster_.machine("node-0")->power_on();
  cluster_.machine("node-0")->start_daemon();
  EXPECT_TRUE(until([&] { return kept("node-1") == web1_; }, absl::Seconds(30)));
}

TEST_F(StandbysTest, go_at_once_where_the_node_is_drained_and_come_back_when_it_is_not) {
  ASSERT_EQ(create("node-0", "web1", 64, {"node-1"}), absl::OkStatus());
  ASSERT_EQ(kept("node-1"), web1_);
  ASSERT_EQ(ask("node-1", [](Request::Builder r) { r.initDrainNode().setNode("node-1"); }),
            absl::OkStatus());
  EXPECT_EQ(kept("node-1"), Vms());
  cluster_.run_for(absl::Seconds(40));
  EXPECT_EQ(kept("node-1"), Vms());
  ASSERT_EQ(ask("node-1", [](Request::Builder r) { r.initUndrainNode().setNode("node-1"); }),
            absl::OkStatus());
  EXPECT_TRUE(until([&] { return kept("node-1") == web1_; }, absl::Seconds(25)));
}

TEST_F(StandbysTest, of_a_daemon_that_was_killed_are_swept_and_made_again) {
  ASSERT_EQ(create("node-0", "web1", 64, {"node-1"}), absl::OkStatus());
  cluster_.machine("node-1")->kill_daemon(true);
  cluster_.run_for(absl::Milliseconds(100));
  cluster_.machine("node-1")->start_daemon();
  EXPECT_EQ(kept("node-1"), Vms());
  EXPECT_TRUE(until([&] { return kept("node-1") == web1_; }, absl::Seconds(25)));
  cluster_.machine("node-0")->power_off(false, cluster_.random());
  EXPECT_TRUE(until([&] { return !running_on("web1").empty(); }, absl::Seconds(20)));
  EXPECT_TRUE(until([&] { return kept("node-1").empty() == (running_on("web1") == "node-1"); },
                    absl::Seconds(61)));
}

TEST_F(StandbysTest, hold_the_room_of_their_vm_against_moves_and_for_its_own) {
  ASSERT_EQ(create("node-0", "web1", 600, {"node-1"}), absl::OkStatus());
  ASSERT_EQ(create("node-2", "web2", 600), absl::OkStatus());
  EXPECT_FALSE(moves_to("node-1", "web2"));
  EXPECT_EQ(create("node-1", "web3", 600).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(moves_to("node-1", "web1"));
}

TEST_F(StandbysTest, give_way_to_a_vm_that_is_taken_over) {
  ASSERT_EQ(create("node-0", "web1", 600, {"node-1", "node-2"}), absl::OkStatus());
  ASSERT_EQ(create("node-1", "web2", 300), absl::OkStatus());
  ASSERT_EQ(kept("node-2"), web1_);
  cluster_.run_for(absl::Seconds(10));
  cluster_.machine("node-1")->power_off(false, cluster_.random());
  EXPECT_TRUE(until([&] { return !running_on("web2").empty(); }, absl::Seconds(30)));
}

}  // namespace
}  // namespace supercloud
