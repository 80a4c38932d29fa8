// What people ask of the executor, also while a migration is under way.
#include "actors/migration/commands.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/vm_spec.h"
#include "simulation/cluster.h"
#include "simulation/convergence.h"
#include "tests/core/vm_spec_fields.h"

namespace supercloud {
namespace {

using Request = schema::Request;

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() : CommandsTest(options()) {}
  explicit CommandsTest(const ClusterOptions& options) : cluster_(options) {
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

  SimulatedCluster cluster_;
};

// By themselves they would give a migration half a second.
class HastyCommandsTest : public CommandsTest {
 protected:
  HastyCommandsTest() : CommandsTest(hasty()) {}
  static ClusterOptions hasty() {
    ClusterOptions hasty = options();
    hasty.executor.migration_deadline = absl::Milliseconds(500);
    return hasty;
  }
};

TEST_F(CommandsTest, create_is_idempotent_by_name_and_refuses_another_description) {
  EXPECT_TRUE(create("node-1", "db1", 64).ok());
  EXPECT_TRUE(create("node-1", "db1", 64).ok());
  const auto other = create("node-2", "db1", 128);
  EXPECT_TRUE(absl::IsAlreadyExists(other.status())) << other.status();
  EXPECT_EQ(running_on("db1"), "node-1");
}

TEST_F(CommandsTest, of_two_creates_of_one_name_at_once_one_wins) {
  cluster_.create_vm("node-1", "twin", schema::DiskLoss::WAIT);
  cluster_.create_vm("node-2", "twin", schema::DiskLoss::WAIT);
  cluster_.run_for(absl::Seconds(10));
  const std::string where = running_on("twin");
  EXPECT_TRUE(where == "node-1" || where == "node-2") << where;
  EXPECT_EQ(count(schema::Payload::VM_DEFINED, "twin"), 1);
}

TEST_F(CommandsTest, of_two_creates_of_one_address_at_once_one_wins) {
  std::map<std::string, absl::Status> answers;
  for (const std::string node : {"node-1", "node-2"})
    cluster_.ask(node, Message<Request>::build([&](Request::Builder request) {
                   auto spec = request.initCreateVm();
                   spec.setName("on-" + node);
                   spec.setMemoryBytes(64 << 20U);
                   spec.setDiskBytes(1 << 20U);
                   spec.setAddress("10.0.0.7");
                 }),
                 [&answers, node](const auto& told) { answers[node] = told.status(); });
  cluster_.run_for(absl::Seconds(6));
  ASSERT_EQ(answers.size(), 2U);
  const std::string winner = answers["node-1"].ok() ? "node-1" : "node-2";
  const std::string loser = winner == "node-1" ? "node-2" : "node-1";
  EXPECT_TRUE(answers[winner].ok()) << answers[winner];
  EXPECT_TRUE(absl::IsAlreadyExists(answers[loser])) << answers[loser];
  EXPECT_NE(answers[loser].message().find("10.0.0.7 is main/on-" + winner), absl::string_view::npos)
      << answers[loser];
  EXPECT_EQ(running_on("on-" + winner), winner);
  EXPECT_EQ(running_on("on-" + loser), "");
  EXPECT_FALSE(cluster_.leases().leases.contains("vm/main/on-" + loser));
  EXPECT_FALSE(cluster_.machine(loser)->disk().volumes().contains("main/on-" + loser))
      << "the disk that was made for it";
  // The address is free again with its VM.
  ASSERT_TRUE(ask(winner, [&](Request::Builder request) {
                request.initDestroyVm().setName("on-" + winner);
              }).ok());
  cluster_.run_for(absl::Seconds(10));
  const auto again = ask(loser, [&](Request::Builder request) {
    auto spec = request.initCreateVm();
    spec.setName("on-" + loser);
    spec.setMemoryBytes(64 << 20U);
    spec.setDiskBytes(1 << 20U);
    spec.setAddress("10.0.0.7");
  });
  EXPECT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(running_on("on-" + loser), loser);
}

// The answer of the first was lost, and what it took is not there a second time.
TEST_F(CommandsTest, a_repeated_create_is_done_also_where_it_filled_the_node) {
  EXPECT_TRUE(create("node-1", "large", 2560).ok());
  const auto again = create("node-1", "large", 2560);
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_F(CommandsTest, bad_requests_get_an_answer_that_says_what_to_do) {
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

TEST_F(CommandsTest, an_address_that_another_vm_has_is_refused) {
  EXPECT_TRUE(create("node-1", "db1", 64).ok());
  const auto second = ask("node-2", [](Request::Builder request) {
    auto spec = request.initCreateVm();
    spec.setName("db2");
    spec.setMemoryBytes(64 << 20U);
    spec.setAddress("10.0.0.db1");
  });
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
}

TEST_F(CommandsTest, a_node_that_does_not_hold_the_vm_says_who_does) {
  const auto answer =
      ask("node-2", [](Request::Builder request) { request.initStopVm().setName("web1"); });
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_TRUE(answer->reader().isRedirect());
  EXPECT_EQ(text(answer->reader().getRedirect()), "node-0");
  EXPECT_EQ(running_on("web1"), "node-0");
}

TEST_F(CommandsTest, stop_and_start_pause_and_resume) {
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

// "stopped" is what `vm stop --wait` waits for: then nothing of the guest runs, nor is left in memory.
TEST_F(CommandsTest, a_vm_is_stopped_only_when_no_copy_of_it_is_left) {
  cluster_.set_call_faults(1'000'000, 0);  // every call of the hypervisor takes its time
  std::set<std::string> by_holder, by_other;
  const auto look = [this](const std::string& node, std::set<std::string>& seen) {
    cluster_.ask(node,
                 Message<Request>::build([](Request::Builder request) { request.setListVms(); }),
                 [this, &seen](const absl::StatusOr<Message<schema::Response>>& told) {
                   if (!told.ok()) return;
                   const std::string state(text(told->reader().getVms()[0].getState()));
                   seen.insert(state);
                   bool copy = false;
                   for (const auto& machine : cluster_.machines())
                     for (const GuestProbe& probe : machine->probes())
                       copy = copy || probe.vm == "main/web1";
                   EXPECT_FALSE(state == "stopped" && copy);
                 });
  };
  cluster_.ask("node-0", Message<Request>::build([](Request::Builder request) {
                 request.initStopVm().setName("web1");
               }));
  for (int i = 0; i < 4000 && !by_holder.contains("stopped"); ++i) {
    look("node-0", by_holder);
    look("node-1", by_other);
    cluster_.run_for(absl::Milliseconds(5));
  }
  cluster_.run_for(absl::Seconds(6));  // the answers under way
  EXPECT_TRUE(by_holder.contains("stopping"));
  EXPECT_TRUE(by_holder.contains("stopped"));
  EXPECT_TRUE(by_other.contains("stopping"));
  EXPECT_FALSE(by_other.contains("stopped"))
      << "who does not hold it does not know that its copy is gone";
  cluster_.set_call_faults(0, 0);
}

TEST_F(CommandsTest, destroy_during_a_migration_ends_both) {
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

TEST_F(CommandsTest, stop_during_a_migration_ends_it_and_a_start_begins_anew) {
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Milliseconds(200));
  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initStopVm().setName("web1"); }).ok());
  cluster_.run_for(absl::Seconds(20));
  EXPECT_EQ(running_on("web1"), "");
  EXPECT_EQ(count(schema::Payload::VM_STOPPED), 1);
  EXPECT_GE(count(schema::Payload::MIGRATION_ABORTED), 1);
  EXPECT_EQ(count(schema::Payload::MIGRATION_COMPLETED), 0);
  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initStartVm().setName("web1"); }).ok());
  cluster_.run_for(absl::Seconds(5));
  EXPECT_EQ(running_on("web1"), "node-0");
}

TEST_F(CommandsTest, a_destroyed_name_can_be_used_again) {
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                request.initDestroyVm().setName("web1");
              }).ok());
  cluster_.run_for(absl::Seconds(20));
  ASSERT_TRUE(create("node-1", "web1", 64).ok());
  EXPECT_EQ(running_on("web1"), "node-1");
}

TEST_F(CommandsTest, a_destroyed_name_can_be_used_again_at_once) {
  // Nobody who knew the old one reads the table between the two.
  for (int i = 0; i < 3; ++i) {
    const std::string old = running_on("web1");
    const std::string other = old == "node-1" ? "node-2" : "node-1";
    cluster_.ask(old, Message<Request>::build([](Request::Builder request) {
                   request.initDestroyVm().setName("web1");
                 }));
    for (int step = 0; step < 2000 && cluster_.leases().leases.contains("vm/main/web1"); ++step)
      cluster_.run_for(absl::Milliseconds(1));
    ASSERT_FALSE(cluster_.leases().leases.contains("vm/main/web1"));
    // Refused only while the old holder still writes its replica there.
    absl::Status made = absl::UnknownError("no answer");
    for (int attempt = 0; attempt < 20 && !made.ok(); ++attempt) {
      cluster_.ask(other, Message<Request>::build([](Request::Builder request) {
                     auto spec = request.initCreateVm();
                     spec.setName("web1");
                     spec.setMemoryBytes(64 << 20U);
                     spec.setDiskBytes(1 << 20U);
                     spec.setReplicas(1);
                     spec.setAddress("10.0.0.web1");
                   }),
                   [&made](const auto& told) { made = told.status(); });
      cluster_.run_for(absl::Milliseconds(100));
    }
    ASSERT_TRUE(made.ok()) << made;
    cluster_.run_for(absl::Seconds(5));
    ASSERT_EQ(running_on("web1"), other);
  }
  // Who had it before takes part again.
  const std::string here = running_on("web1");
  const std::string there = here == "node-1" ? "node-2" : "node-1";
  cluster_.migrate(here, "web1", there);
  cluster_.run_for(absl::Seconds(10));
  EXPECT_EQ(running_on("web1"), there);
}

TEST_F(HastyCommandsTest, the_deadline_that_a_user_gives_holds_at_the_target_too) {
  ASSERT_TRUE(create("node-0", "big", 3000).ok());
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                auto migrate = request.initMigrateVm();
                migrate.initVm().setName("big");
                migrate.setTarget("node-1");
                migrate.setDeadlineNs(absl::ToInt64Nanoseconds(absl::Seconds(30)));
              }).ok());
  cluster_.run_for(absl::Seconds(10));
  EXPECT_EQ(running_on("big"), "node-1");
}

TEST_F(CommandsTest, cancel_takes_effect_before_the_commit_and_says_so) {
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Milliseconds(150));
  const auto cancelled = ask("node-0", [](Request::Builder request) {
    auto cancel = request.initCancelMigration();
    cancel.initVm().setName("web1");
    cancel.setWhy("a change of mind");
  });
  EXPECT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(running_on("web1"), "node-0");
  // Its source says so first; its target may, as its incoming copy ends.
  for (const Event& event : cluster_.history()) {
    if (event.type() != schema::Payload::MIGRATION_ABORTED) continue;
    EXPECT_EQ(text(event.payload().getMigrationAborted().getWhy()), "cancelled: a change of mind");
    break;
  }
  EXPECT_GE(count(schema::Payload::MIGRATION_ABORTED) + count(schema::Payload::MIGRATION_REFUSED),
            1);
  EXPECT_EQ(count(schema::Payload::MIGRATION_COMPLETED), 0);
}

// As its source last told: what is sent is paid for, whatever comes of it.
TEST_F(CommandsTest, an_aborted_move_says_what_it_had_sent) {
  ASSERT_TRUE(create("node-0", "2", 2048).ok());
  cluster_.run_for(absl::Seconds(5));
  cluster_.migrate("node-0", "2", "node-1");
  cluster_.run_for(absl::Milliseconds(1600));
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                request.initCancelMigration().initVm().setName("2");
              }).ok());
  std::uint64_t sent = 0;
  for (const Event& event : cluster_.history()) {
    if (event.type() != schema::Payload::MIGRATION_ABORTED) continue;
    EXPECT_EQ(text(event.payload().getMigrationAborted().getStage()), "copying memory");
    sent = std::max(sent, event.payload().getMigrationAborted().getSentBytes());
  }
  EXPECT_GT(sent, std::uint64_t{100} << 20U);
  EXPECT_LT(sent, std::uint64_t{2048} << 20U);
}

TEST_F(CommandsTest, a_dry_run_tells_every_failed_check_and_moves_nothing) {
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

absl::StatusOr<Message<schema::Response>> dry_run(SimulatedCluster& cluster, const std::string& vm,
                                                  const std::string& target) {
  absl::StatusOr<Message<schema::Response>> answer = absl::UnknownError("no answer");
  cluster.ask("node-0", Message<Request>::build([&](Request::Builder request) {
                auto migrate = request.initMigrateVm();
                migrate.initVm().setName(vm);
                migrate.setTarget(target);
                migrate.setDryRun(true);
              }),
              [&answer](const auto& told) { answer = told; });
  cluster.run_for(absl::Seconds(6));
  return answer;
}

std::set<std::string> failed(const absl::StatusOr<Message<schema::Response>>& answer) {
  std::set<std::string> names;
  if (answer.ok())
    for (const auto check : answer->reader().getChecks())
      if (check.getCure().size() > 0) names.insert(std::string(text(check.getName())));
  return names;
}

TEST_F(CommandsTest, a_dry_run_to_a_place_without_a_node_says_what_would_be_rented_and_what_fails) {
  const auto nobody = dry_run(cluster_, "web1", "aws/us-east-1/nowhere/r3.large/spot");
  ASSERT_TRUE(nobody.ok()) << nobody.status();
  EXPECT_TRUE(nobody->reader().getWouldRent());
  EXPECT_EQ(failed(nobody), std::set<std::string>{"provider"}) << "this cluster has no account";

  ASSERT_TRUE(
      ask("node-0", [](Request::Builder request) { request.initPauseVm().setName("web1"); }).ok());
  const auto paused = dry_run(cluster_, "web1", "aws/us-east-1/nowhere/r3.large/spot");
  EXPECT_EQ(failed(paused), (std::set<std::string>{"provider", "state"}));
  EXPECT_EQ(count(schema::Payload::MIGRATION_PROPOSED), 0);
}

TEST_F(CommandsTest, a_dry_run_to_a_place_checks_the_labels_of_its_nodes) {
  std::map<std::string, std::pair<std::string, std::string>> where;  // node: place, zone
  for (const Event& event : cluster_.history())
    if (event.type() == schema::Payload::NODE_JOINED) {
      const auto joined = event.payload().getNodeJoined();
      where[std::string(text(joined.getNode()))] = {std::string(text(joined.getPlace().getId())),
                                                    std::string(text(joined.getPlace().getZone()))};
    }
  ASSERT_NE(where["node-0"].second, where["node-1"].second);
  ASSERT_TRUE(ask("node-0", [&](Request::Builder request) {
                auto spec = request.initCreateVm();
                spec.setName("bound");
                spec.setMemoryBytes(64 << 20U);
                spec.setDiskBytes(1 << 20U);
                spec.setAddress("10.0.0.bound");
                auto label = spec.initRequires(1)[0];
                label.setName("zone");
                label.setValue(where["node-0"].second);
              }).ok());
  const auto elsewhere = dry_run(cluster_, "bound", where["node-1"].first);
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  EXPECT_TRUE(failed(elsewhere).contains("constraints"));
}

TEST(CommandsOfAMarket, a_dry_run_to_a_place_that_the_provider_rents_passes) {
  ClusterOptions options;
  options.nodes = 2;
  SimulatedCluster cluster(options);
  cluster.run_for(absl::Seconds(5));
  cluster.ask("node-0", Message<Request>::build([](Request::Builder request) {
                auto spec = request.initCreateVm();
                spec.setName("web1");
                spec.setMemoryBytes(64 << 20U);
                spec.setDiskBytes(1 << 20U);
                spec.setAddress("10.0.0.1");
              }));
  cluster.run_for(absl::Seconds(3));
  const auto answer = dry_run(cluster, "web1", "aws/us-east-1/nowhere/r3.large/spot");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->reader().getWouldRent());
  EXPECT_EQ(failed(answer), std::set<std::string>{});
  const auto near = dry_run(cluster, "web1", "node-1");
  ASSERT_TRUE(near.ok()) << near.status();
  EXPECT_FALSE(near->reader().getWouldRent());
}

// By the schema, so that a field added later is not forgotten.
TEST(CopySpec, copies_every_field_and_makes_equal_descriptions_equal_bytes) {
  const auto fields = vm_spec_fields();
  const auto forwards = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
    for (unsigned i = 0; i < fields.size(); ++i) set_unlike_default(fields[i], spec);
  });
  const auto backwards = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
    for (unsigned i = fields.size(); i > 0; --i) set_unlike_default(fields[i - 1], spec);
  });
  ASSERT_NE(forwards.bytes(), backwards.bytes());
  const auto copy = [](const Message<schema::VmSpec>& from) {
    return Message<schema::VmSpec>::build(
        [&](schema::VmSpec::Builder spec) { copy_spec(from.reader(), spec); });
  };
  EXPECT_EQ(copy(forwards).bytes(), copy(backwards).bytes());
  EXPECT_EQ(copy(forwards).to_json(), forwards.to_json());
}

TEST_F(CommandsTest, a_refusal_names_every_failed_check) {
  cluster_.migrate("node-0", "web1", "nowhere");
  cluster_.run_for(absl::Seconds(5));
  EXPECT_EQ(count(schema::Payload::MIGRATION_REFUSED), 1);
  EXPECT_EQ(running_on("web1"), "node-0");
}

TEST_F(CommandsTest, a_drained_node_ends_without_vms) {
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                request.initDrainNode().setNode("node-0");
              }).ok());
  cluster_.run_for(absl::Seconds(20));
  EXPECT_TRUE(running_on("web1") == "node-1" || running_on("web1") == "node-2")
      << running_on("web1");
}

TEST_F(CommandsTest, a_drain_whose_memory_never_converges_starts_from_the_targets_disk) {
  ASSERT_TRUE(ask("node-0", [](Request::Builder request) {
                auto spec = request.initCreateVm();
                spec.setName("busy");
                spec.setMemoryBytes(2048ULL << 20U);
                spec.setDiskBytes(1 << 20U);
                spec.setDirtyPagesPerSecond(4'000'000);
                spec.setAddress("10.0.0.busy");
              }).ok());
  cluster_.checker().hurried("node-0");
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
