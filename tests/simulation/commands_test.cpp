// What people ask of the executor, also while a migration is under way.
#include <gtest/gtest.h>

#include "simulation/cluster.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

using Request = schema::Request;

class Commands : public testing::Test {
 protected:
  Commands() {
    cluster_.run_for(absl::Seconds(3));
    cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
    cluster_.run_for(absl::Seconds(5));
  }

  void TearDown() override {
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
  absl::StatusOr<Message<schema::Response>> create(const std::string& node, const std::string& name,
                                                   std::uint64_t mebibytes) {
    return ask(node, [&](Request::Builder request) {
      auto spec = request.initCreateVm();
      spec.setName(name);
      spec.setMemoryBytes(mebibytes << 20U);
      spec.setDiskBytes(1 << 20U);
      spec.setAddress("10.0.0." + name);
    });
  }

  int count(schema::Payload::Which type, const std::string& vm = "web1") {
    int found = 0;
    for (const Event& event : cluster_.history())
      found += event.type() == type && event.subject() == vm ? 1 : 0;
    return found;
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

TEST_F(Commands, create_is_idempotent_by_name_and_refuses_another_description) {
  EXPECT_TRUE(create("node-1", "db1", 64).ok());
  EXPECT_TRUE(create("node-1", "db1", 64).ok());
  const auto other = create("node-2", "db1", 128);
  EXPECT_TRUE(absl::IsAlreadyExists(other.status())) << other.status();
  EXPECT_EQ(running_on("db1"), "node-1");
}

TEST_F(Commands, of_two_creates_of_one_name_at_once_one_wins) {
  cluster_.create_vm("node-1", "twin", schema::DiskLoss::WAIT);
  cluster_.create_vm("node-2", "twin", schema::DiskLoss::WAIT);
  cluster_.run_for(absl::Seconds(10));
  const std::string where = running_on("twin");
  EXPECT_TRUE(where == "node-1" || where == "node-2") << where;
  EXPECT_EQ(count(schema::Payload::VM_DEFINED, "twin"), 1);
}

TEST_F(Commands, bad_requests_get_an_answer_that_says_what_to_do) {
  const auto huge = create("node-1", "huge", 1 << 20);
  EXPECT_TRUE(absl::IsResourceExhausted(huge.status())) << huge.status();
  const auto nameless = create("node-1", "", 64);
  EXPECT_TRUE(absl::IsInvalidArgument(nameless.status())) << nameless.status();
  const auto silent = ask("node-1", [](Request::Builder request) {
    request.initCreateVm().setName("silent");
    request.getCreateVm().setMemoryBytes(64 << 20U);
  });
  EXPECT_TRUE(absl::IsInvalidArgument(silent.status())) << silent.status();
  const auto unknown =
      ask("node-1", [](Request::Builder request) { request.initStopVm().setName("nobody"); });
  EXPECT_TRUE(absl::IsNotFound(unknown.status())) << unknown.status();
}

TEST_F(Commands, an_address_that_another_vm_has_is_refused) {
  EXPECT_TRUE(create("node-1", "db1", 64).ok());
  const auto second = ask("node-2", [](Request::Builder request) {
    auto spec = request.initCreateVm();
    spec.setName("db2");
    spec.setMemoryBytes(64 << 20U);
    spec.setAddress("10.0.0.db1");
  });
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
}

TEST_F(Commands, a_node_that_does_not_hold_the_vm_says_who_does) {
  const auto answer =
      ask("node-2", [](Request::Builder request) { request.initStopVm().setName("web1"); });
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_TRUE(answer->reader().isRedirect());
  EXPECT_EQ(text(answer->reader().getRedirect()), "node-0");
  EXPECT_EQ(running_on("web1"), "node-0");
}

TEST_F(Commands, stop_and_start_pause_and_resume) {
  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initStopVm().setName("web1"); }).ok());
  EXPECT_EQ(running_on("web1"), "");
  EXPECT_EQ(count(schema::Payload::VM_STOPPED), 1);
  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initStartVm().setName("web1"); }).ok());
  EXPECT_EQ(running_on("web1"), "node-0");
  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initPauseVm().setName("web1"); }).ok());
  EXPECT_EQ(running_on("web1"), "");
  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initResumeVm().setName("web1"); }).ok());
  EXPECT_EQ(running_on("web1"), "node-0");
}

TEST_F(Commands, destroy_during_a_migration_ends_both) {
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Milliseconds(200));
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                request.initDestroyVm().setName("web1");
              }).ok());
  cluster_.run_for(absl::Seconds(20));
  EXPECT_EQ(running_on("web1"), "");
  EXPECT_EQ(count(schema::Payload::VM_DESTROYED), 1);
  EXPECT_FALSE(cluster_.leases().leases.contains("vm/main/web1"));
  for (const auto& machine : cluster_.machines())
    EXPECT_FALSE(machine->disk().volumes().contains("main/web1")) << machine->name();
}

TEST_F(Commands, a_destroyed_name_can_be_used_again) {
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                request.initDestroyVm().setName("web1");
              }).ok());
  cluster_.run_for(absl::Seconds(20));
  ASSERT_TRUE(create("node-1", "web1", 64).ok());
  EXPECT_EQ(running_on("web1"), "node-1");
}

TEST_F(Commands, cancel_takes_effect_before_the_commit_and_says_so) {
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Milliseconds(150));
  const auto cancelled = ask("node-0", [](Request::Builder request) {
    auto cancel = request.initCancelMigration();
    cancel.initVm().setName("web1");
    cancel.setWhy("a change of mind");
  });
  EXPECT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(running_on("web1"), "node-0");
  EXPECT_EQ(count(schema::Payload::MIGRATION_ABORTED) + count(schema::Payload::MIGRATION_REFUSED),
            1);
  EXPECT_EQ(count(schema::Payload::MIGRATION_COMPLETED), 0);
}

TEST_F(Commands, a_dry_run_tells_every_failed_check_and_moves_nothing) {
  const auto checks = ask("node-0", [](Request::Builder request) {
    auto migrate = request.initMigrateVm();
    migrate.initVm().setName("web1");
    migrate.setTarget("node-0");
    migrate.setDryRun(true);
  });
  ASSERT_TRUE(checks.ok()) << checks.status();
  ASSERT_TRUE(checks->reader().isChecks());
  EXPECT_GE(checks->reader().getChecks().size(), 1U);
  for (const auto check : checks->reader().getChecks()) EXPECT_FALSE(text(check.getCure()).empty());
  EXPECT_EQ(count(schema::Payload::MIGRATION_PROPOSED), 0);
}

TEST_F(Commands, a_refusal_names_every_failed_check) {
  cluster_.migrate("node-0", "web1", "nowhere");
  cluster_.run_for(absl::Seconds(5));
  EXPECT_EQ(count(schema::Payload::MIGRATION_REFUSED), 1);
  EXPECT_EQ(running_on("web1"), "node-0");
}

TEST_F(Commands, a_drained_node_ends_without_vms) {
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                request.initDrainNode().setNode("node-0");
              }).ok());
  cluster_.run_for(absl::Seconds(20));
  EXPECT_TRUE(running_on("web1") == "node-1" || running_on("web1") == "node-2")
      << running_on("web1");
}

TEST_F(Commands, a_drain_whose_memory_never_converges_starts_from_the_targets_disk) {
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                auto spec = request.initCreateVm();
                spec.setName("busy");
                spec.setMemoryBytes(2048ULL << 20U);
                spec.setDiskBytes(1 << 20U);
                spec.setDirtyPagesPerSecond(4'000'000);
                spec.setAddress("10.0.0.busy");
              }).ok());
  cluster_.checker().under_notice("node-0");  // its operator's is as good as a cloud's
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                auto drain = request.initDrainNode();
                drain.setNode("node-0");
                drain.setDeadlineNs(absl::ToInt64Nanoseconds(absl::Seconds(10)));
              }).ok());
  cluster_.run_for(absl::Seconds(20));
  EXPECT_TRUE(running_on("busy") == "node-1" || running_on("busy") == "node-2")
      << running_on("busy");
}

}  // namespace
}  // namespace supercloud
