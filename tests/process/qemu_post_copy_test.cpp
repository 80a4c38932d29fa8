// Real guests that are moved before all of their memory is there (docs/choreography.md, 14).
#include "tests/hypercall/qemu/stream_relay.h"
#include "tests/process/qemu_nodes.h"

namespace supercloud {
namespace {

using schema::Payload;
using testing::HasSubstr;

class QemuPostCopyTest : public QemuNodesTest {
 protected:
  // A pass of its 16 MiB takes 8 s so, and it writes four times as fast: as long as that it follows.
  QemuPostCopyTest() { host_keys_ = "stream_mib_per_second = 2\n"; }

  void start_with_a_guest_that_may_follow() {
    start_nodes();
    create("post_copy = true\n");
    listen();
    await_that_a_restart_would_be_heard();
  }
  // It executes at c, and most of its memory is at b, when this returns.
  pid_t begin_move() {
    await_that_it_could_move_to("c");
    events_.clear();
    const pid_t mover = start({"vm", "migrate", "web1", "c"}, "move.out", "move.err");
    EXPECT_TRUE(hears([](const Event& event) { return event.type() == Payload::VM_RESUMED; }))
        << output("move.out") << output("move.err");
    EXPECT_TRUE(heard_planned("it writes ")) << output("move.out");
    return mover;
  }
  bool heard_planned(const char* why) {
    return hears([&](const Event& event) {
      return event.type() == Payload::MIGRATION_PLANNED &&
             event.payload().getMigrationPlanned().getMethod() == schema::Method::POST_COPY &&
             text(event.payload().getMigrationPlanned().getWhy()).find(why) !=
                 std::string_view::npos;
    });
  }
  bool has_heard(Payload::Which type) const {
    return std::ranges::any_of(events_, [&](const Event& event) { return event.type() == type; });
  }
  // With all of its memory, without a restart.
  void expect_it_completes(pid_t mover) {
    EXPECT_TRUE(hears([](const Event& event) {
      return event.type() == Payload::MIGRATION_COMPLETED;
    })) << output("move.out");
    EXPECT_EQ(ended(mover, patience), 0) << output("move.out") << output("move.err");
    EXPECT_FALSE(has_heard(Payload::VM_FAILED));
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    EXPECT_EQ(runs_on(), "c");
    expect_it_goes_on();
  }
};

TEST_F(QemuPostCopyTest, AGuestExecutesAtItsTargetWhileItsMemoryFollows) {
  start_with_a_guest_that_may_follow();
  const pid_t mover = begin_move();
  const bool needed = copies("b") == 1;
  EXPECT_FALSE(has_heard(Payload::VM_RELEASED));
  EXPECT_TRUE(needed || has_heard(Payload::MIGRATION_COMPLETED)) << "it is needed until then";
  const Said cancelled = run({"vm", "cancel", "web1"});
  EXPECT_EQ(cancelled.code, 1);
  EXPECT_THAT(cancelled.err, HasSubstr("too late"));
  expect_it_completes(mover);
  std::uint32_t percent = 0;
  bool followed = false;
  for (const Event& event : events_) {
    if (event.type() != Payload::MIGRATION_PROGRESS) continue;
    const auto told = event.payload().getMigrationProgress();
    EXPECT_GE(told.getPercent(), percent);
    percent = told.getPercent();
    followed = followed || text(told.getStage()) == "the rest of memory follows";
  }
  EXPECT_TRUE(followed);
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuPostCopyTest, AGuestWhoseSourceIsKilledMeanwhileStartsAnewFromItsDiskAndThatIsSaid) {
  start_with_a_guest_that_may_follow();
  const pid_t mover = begin_move();
  const auto source = keeper("b");
  ASSERT_TRUE(source.has_value());
  ASSERT_GT(source->guest, 1);
  ::kill(source->guest, SIGKILL);
  EXPECT_TRUE(hears([](const Event& event) { return event.type() == Payload::VM_FAILED; }));
  EXPECT_TRUE(hears([](const Event& event) {
    return event.type() == Payload::VM_STARTED &&
           text(event.payload().getVmStarted().getWhy()).find("did not follow") !=
               std::string_view::npos;
  }));
  EXPECT_EQ(ended(mover, 2 * patience), 1) << output("move.out");
  EXPECT_THAT(output("move.out"), HasSubstr("a part of its memory did not follow"));
  EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
  EXPECT_EQ(runs_on(), "c");
  expect_it_goes_on(1);
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuPostCopyTest, AGuestThatIsKilledWhileItsMemoryFollowsStartsAnewAndItsSourceIsLetGo) {
  start_with_a_guest_that_may_follow();
  const pid_t mover = begin_move();
  const auto target = keeper("c");
  ASSERT_TRUE(target.has_value());
  ASSERT_GT(target->guest, 1);
  ::kill(target->guest, SIGKILL);
  EXPECT_TRUE(hears([](const Event& event) { return event.type() == Payload::VM_STARTED; }));
  EXPECT_EQ(ended(mover, 2 * patience), 1) << output("move.out");
  EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
  EXPECT_EQ(runs_on(), "c");
  expect_it_goes_on(1);
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuPostCopyTest, AStreamThatIsLostMeanwhileIsMadeAgainAndBothAreSaid) {
  const std::string relayed = (folder_ / "run" / "c.relay").string();
  const std::string streams = (folder_ / "run" / "c.streams").string();
  StreamRelay relay(relayed, streams);
  configured_["c"] =
      write("c.toml", node_toml("c", "own", "c", seed()) +
                          machine("c", "tiny",
                                  "streams = \"unix:" + streams +
                                      "\"\nstreams_reached_at = \"unix:" + relayed + "\"\n"));
  start_with_a_guest_that_may_follow();
  const pid_t mover = begin_move();
  relay.cut();
  EXPECT_TRUE(heard_planned("another is tried"));
  EXPECT_TRUE(heard_planned("follows again"));
  expect_it_completes(mover);
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuPostCopyTest, DaemonsThatAreKilledMeanwhileChangeNothingButTime) {
  start_with_a_guest_that_may_follow();
  const pid_t mover = begin_move();
  for (const char* node : {"b", "c"}) {
    kill_node(node);
    start_node(node);
    if (std::string_view(node) != "b") continue;
    events_.clear();
    EXPECT_TRUE(hears([](const Event& event) {
      return event.type() == Payload::MIGRATION_PROGRESS &&
             text(event.payload().getMigrationProgress().getStage()) ==
                 "the rest of memory follows";
    })) << "the next daemon tells how far it is";
  }
  expect_it_completes(mover);
  stop_listening();
  destroy_and_expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
