// Guests that are moved before all of their memory is there (docs/choreography.md, 14).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "simulation/cluster.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

using Request = schema::Request;
using schema::Payload;
using testing::HasSubstr;

// "busy" writes 80 MiB a second, and 64 MiB go over the way: its 512 MiB follow in about 8 s.
class PostCopyTest : public testing::Test {
 protected:
  PostCopyTest() : cluster_(options()) { cluster_.run_for(absl::Seconds(3)); }
  void create(const std::string& node) { create_in(cluster_, node); }
  static void create_in(SimulatedCluster& cluster, const std::string& node) {
    cluster.ask(node, Message<Request>::build([&](Request::Builder request) {
                  auto spec = request.initCreateVm();
                  spec.setName("busy");
                  spec.setMemoryBytes(512ULL << 20U);
                  spec.setDiskBytes(1 << 20U);
                  spec.setAddress("10.0.0.1");
                  spec.setDirtyPagesPerSecond(20'000);
                  spec.setPostCopy(true);
                }),
                [](const absl::StatusOr<Message<schema::Response>>& created) {
                  EXPECT_TRUE(created.ok()) << created.status();
                });
    cluster.run_for(absl::Seconds(2));
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
    options.host.bytes_per_second = 64 << 20U;
    return options;
  }

  std::vector<Event> all(Payload::Which type) { return all_in(cluster_, type); }
  static std::vector<Event> all_in(SimulatedCluster& cluster, Payload::Which type) {
    std::vector<Event> found;
    for (const Event& event : cluster.history())
      if (event.type() == type) found.push_back(event);
    return found;
  }
  std::vector<std::string> planned() {
    std::vector<std::string> said;
    for (const Event& event : all(Payload::MIGRATION_PLANNED)) {
      const auto plan = event.payload().getMigrationPlanned();
      said.push_back(absl::StrCat(static_cast<int>(plan.getMethod()), " ", str(plan.getWhy())));
    }
    return said;
  }
  std::string running_on() {
    std::string where;
    for (const auto& machine : cluster_.machines())
      for (const GuestProbe& probe : machine->probes())
        if (probe.executes) where += machine->name();
    return where;
  }
  std::size_t copies(const std::string& node) { return cluster_.machine(node)->probes().size(); }
  bool run_until(const std::function<bool()>& done, Duration patience) {
    for (const Instant end = cluster_.scheduler().now() + patience;
         !done() && cluster_.scheduler().now() < end;)
      cluster_.run_for(absl::Milliseconds(20));
    return done();
  }
  // It executes at node-1, and most of its memory is at its source.
  void move() {
    create(source);
    cluster_.migrate(source, "busy", "node-1");
    ASSERT_TRUE(run_until([&] { return running_on() == "node-1"; }, absl::Seconds(40)));
  }

  static constexpr const char* source = "node-2";  // on demand, as no other is

  SimulatedCluster cluster_;
};

TEST_F(PostCopyTest, a_guest_executes_while_its_memory_follows_and_completes_when_it_has) {
  move();
  while (all(Payload::MIGRATION_COMPLETED).empty()) {
    ASSERT_EQ(copies(source), 1U) << "it is needed";
    ASSERT_EQ(running_on(), "node-1");
    ASSERT_TRUE(all(Payload::VM_RELEASED).empty());
    cluster_.run_for(absl::Milliseconds(20));
    if (!all(Payload::MIGRATION_COMPLETED).empty()) break;
  }
  EXPECT_TRUE(run_until([&] { return copies(source) == 0; }, absl::Seconds(5)));
  EXPECT_THAT(planned(), testing::ElementsAre(HasSubstr("0 "), HasSubstr("2 it writes ")));
  EXPECT_LT(all(Payload::MIGRATION_COMPLETED)[0].payload().getMigrationCompleted().getBlackoutMs(),
            1000);
}

TEST_F(PostCopyTest, a_stream_that_is_lost_is_made_again_and_both_are_said) {
  move();
  cluster_.machine(source)->cut_streams();
  EXPECT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_COMPLETED).empty(); }, absl::Minutes(1)));
  EXPECT_THAT(planned(),
              testing::ElementsAre(HasSubstr("0 "), HasSubstr("2 it writes "),
                                   HasSubstr("and another is tried"), HasSubstr("follows again")));
  EXPECT_EQ(running_on(), "node-1");
  EXPECT_TRUE(all(Payload::VM_FAILED).empty());
}

TEST_F(PostCopyTest, a_guest_whose_source_is_lost_starts_anew_from_its_disk_and_that_is_said) {
  move();
  cluster_.machine(source)->kill_guest("main/busy");
  EXPECT_TRUE(run_until([&] { return !all(Payload::VM_FAILED).empty(); }, absl::Minutes(1)));
  EXPECT_TRUE(run_until([&] { return all(Payload::VM_STARTED).size() == 2; }, absl::Seconds(20)));
  EXPECT_EQ(running_on(), "node-1");
  ASSERT_EQ(all(Payload::VM_STARTED).size(), 2U);
  EXPECT_THAT(str(all(Payload::VM_STARTED)[1].payload().getVmStarted().getWhy()),
              HasSubstr("a part of its memory did not follow"));
  EXPECT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_ABORTED).empty(); }, absl::Seconds(20)));
  EXPECT_EQ(all(Payload::MIGRATION_ABORTED).size(), 1U);
  EXPECT_TRUE(all(Payload::MIGRATION_COMPLETED).empty());
}

// Whoever is killed in between would find nothing that tells of it.
TEST_F(PostCopyTest, what_lost_its_memory_is_destroyed_only_when_the_log_has_that) {
  move();
  cluster_.machine("node-1")->set_log_full(true);
  cluster_.machine(source)->kill_guest("main/busy");
  cluster_.run_for(absl::Seconds(40));
  EXPECT_EQ(copies("node-1"), 1U);
  EXPECT_TRUE(all(Payload::VM_FAILED).empty());
  cluster_.machine("node-1")->set_log_full(false);
  EXPECT_TRUE(run_until([&] { return copies("node-1") == 0; }, absl::Seconds(20)));
  EXPECT_FALSE(all(Payload::VM_FAILED).empty());
  EXPECT_TRUE(run_until([&] { return all(Payload::VM_STARTED).size() == 2; }, absl::Seconds(20)));
  EXPECT_THAT(str(all(Payload::VM_STARTED)[1].payload().getVmStarted().getWhy()),
              HasSubstr("a part of its memory did not follow"));
}

TEST_F(PostCopyTest, daemons_that_are_killed_meanwhile_change_nothing_but_time) {
  move();
  for (const char* node : {source, "node-1"}) {
    cluster_.machine(node)->kill_daemon(true);
    cluster_.run_for(absl::Milliseconds(500));
    cluster_.machine(node)->start_daemon();
  }
  EXPECT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_COMPLETED).empty(); }, absl::Minutes(1)));
  EXPECT_TRUE(run_until([&] { return copies(source) == 0; }, absl::Seconds(20)));
  EXPECT_EQ(all(Payload::VM_STARTED).size(), 1U);
  EXPECT_EQ(running_on(), "node-1");
}

TEST_F(PostCopyTest, a_cancel_after_the_commit_is_too_late_at_once) {
  move();
  absl::Status told = absl::UnknownError("no answer");
  cluster_.ask(
      "node-1", Message<Request>::build([](Request::Builder request) {
        request.initCancelMigration().initVm().setName("busy");
      }),
      [&told](const absl::StatusOr<Message<schema::Response>>& answer) { told = answer.status(); });
  cluster_.run_for(absl::Seconds(1));
  EXPECT_THAT(std::string(told.message()), HasSubstr("too late"));
  EXPECT_TRUE(all(Payload::MIGRATION_COMPLETED).empty()) << "its memory follows still";
}

// Between the choice and the pause.
TEST_F(PostCopyTest,
       a_source_that_is_to_be_left_by_a_deadline_is_not_needed_by_what_was_chosen_before) {
  // When it is chosen, another cluster tells that is the same.
  SimulatedCluster same(options());
  same.run_for(absl::Seconds(3));
  create_in(same, source);
  same.migrate(source, "busy", "node-1");
  Duration chosen;
  for (; all_in(same, Payload::MIGRATION_PLANNED).size() < 2; chosen += absl::Milliseconds(20)) {
    ASSERT_LT(chosen, absl::Seconds(40));
    same.run_for(absl::Milliseconds(20));
  }
  create(source);
  cluster_.migrate(source, "busy", "node-1");
  cluster_.run_for(chosen - absl::Milliseconds(300));
  cluster_.kill_site();  // so nothing is paused
  ASSERT_TRUE(run_until([&] { return planned().size() == 2; }, absl::Seconds(1)));
  EXPECT_THAT(planned()[1], HasSubstr("2 it writes "));
  ASSERT_EQ(running_on(), source);
  cluster_.checker().hurried(source);
  cluster_.ask(source, Message<Request>::build([](Request::Builder request) {
                 auto drained = request.initDrainNode();
                 drained.setNode(source);
                 drained.setDeadlineNs(absl::ToInt64Nanoseconds(absl::Minutes(2)));
               }),
               [](const absl::StatusOr<Message<schema::Response>>&) {});
  cluster_.run_for(absl::Milliseconds(500));
  cluster_.start_site();
  EXPECT_TRUE(run_until(
      [&] {
        for (const GuestProbe& probe : cluster_.machine(source)->probes())
          EXPECT_FALSE(probe.needed);
        return copies(source) == 0;
      },
      absl::Minutes(2)));
  ASSERT_FALSE(all(Payload::MIGRATION_ABORTED).empty());
  EXPECT_THAT(str(all(Payload::MIGRATION_ABORTED)[0].payload().getMigrationAborted().getWhy()),
              HasSubstr("the rest of its memory was to follow"));
  EXPECT_FALSE(all(Payload::MIGRATION_COMPLETED).empty());
}

TEST_F(PostCopyTest, from_a_spot_instance_it_is_slowed_down_instead) {
  create("node-0");
  cluster_.migrate("node-0", "busy", "node-1");
  EXPECT_TRUE(
      run_until([&] { return !all(Payload::MIGRATION_COMPLETED).empty(); }, absl::Minutes(2)));
  EXPECT_THAT(planned(), testing::ElementsAre(HasSubstr("0 "), HasSubstr("1 it writes ")));
}

}  // namespace
}  // namespace supercloud
