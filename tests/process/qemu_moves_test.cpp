// Moves of real guests that take a while: what is told of them, how they are called off, and over what they go.
#include "tests/process/qemu_nodes.h"

namespace supercloud {
namespace {

using schema::Payload;
using testing::HasSubstr;

class QemuMovesTest : public QemuNodesTest {
 protected:
  // A pass of its 16 MiB takes 16 s so, and it writes eight times as fast.
  static constexpr const char* slowly = "stream_mib_per_second = 1\n";

  // Has begun to send memory when this returns.
  pid_t begin_move(const std::string& to) {
    await_that_it_could_move_to(to);
    events_.clear();
    const pid_t mover = start({"vm", "migrate", "web1", to}, "move.out", "move.err");
    EXPECT_TRUE(hears([&](const Event& event) {
      return event.type() == Payload::MIGRATION_PROGRESS &&
             event.payload().getMigrationProgress().getSentBytes() > 0;
    })) << output("move.err");
    return mover;
  }
  std::vector<const Event*> heard_of(Payload::Which type) const {
    std::vector<const Event*> all;
    for (const Event& event : events_)
      if (event.type() == type) all.push_back(&event);
    return all;
  }

  // It went on at its source, and nothing is at the target.
  void expect_it_stayed() {
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    EXPECT_EQ(runs_on(), "b");
    expect_it_goes_on();
  }
};

TEST_F(QemuMovesTest, AMoveThatIsCancelledEndsWithinASecondAndLeavesNothing) {
  host_keys_ = slowly;
  start_nodes();
  create();
  listen();
  const auto before = show();
  for (const int passes : {1, 2}) {
    SCOPED_TRACE(passes);
    const pid_t mover = begin_move("c");
    EXPECT_TRUE(hears([&](const Event& event) {
      return event.type() == Payload::MIGRATION_PROGRESS &&
             event.payload().getMigrationProgress().getPass() >= static_cast<unsigned>(passes);
    }));
    const Said cancelled = run({"vm", "cancel", "web1"});
    EXPECT_EQ(cancelled.code, 0) << cancelled.err;
    EXPECT_TRUE(
        hears([](const Event& event) { return event.type() == Payload::MIGRATION_ABORTED; }));
    const auto asked = heard_of(Payload::MIGRATION_CANCEL_REQUESTED);
    const auto ended_at = heard_of(Payload::MIGRATION_ABORTED);
    ASSERT_TRUE(!asked.empty() && !ended_at.empty());
    EXPECT_LT(ended_at[0]->time().wall() - asked[0]->time().wall(), absl::Seconds(1));
    EXPECT_EQ(ended(mover, patience), 1) << output("move.out");
    EXPECT_THAT(output("move.out") + output("move.err"), HasSubstr("cancelled"));
    expect_it_stayed();
    EXPECT_EQ(show().value("epoch", 0), before.value("epoch", -1)) << "it never stopped";
    EXPECT_EQ(copies("c"), 0);
  }
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, ACancelThatComesAfterTheCommitIsToldThatItIsTooLate) {
  start_nodes();
  create();
  listen();
  await_that_it_could_move_to("c");
  for (const Payload::Which moment : {Payload::STORAGE_SEALED, Payload::VM_RESUMED}) {
    const std::string from = runs_on(), to = from == "b" ? "c" : "b";
    await_that_it_could_move_to(to);
    events_.clear();
    const pid_t mover = start({"vm", "migrate", "web1", to}, "move.out", "move.err");
    EXPECT_TRUE(hears([&](const Event& event) { return event.type() == moment; }));
    const Said cancelled = run({"vm", "cancel", "web1"});
    const int moved = ended(mover, patience);
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    if (cancelled.code == 0) {
      EXPECT_EQ(moved, 1);
      EXPECT_EQ(runs_on(), from);
    } else if (moved == 0) {
      std::printf("%s", cancelled.err.c_str());
      EXPECT_THAT(cancelled.err, HasSubstr("too late"));
      EXPECT_EQ(runs_on(), to);
    }
    expect_it_goes_on();
  }
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, ProgressIsToldEachSecondAndNeverGoesBack) {
  host_keys_ = slowly;
  start_nodes();
  create();
  listen();
  const pid_t mover = begin_move("c");
  constexpr std::size_t seconds = 6;
  EXPECT_TRUE(
      hears([&](const Event&) { return heard_of(Payload::MIGRATION_PROGRESS).size() > seconds; }));
  const auto told = heard_of(Payload::MIGRATION_PROGRESS);
  EXPECT_EQ(run({"vm", "cancel", "web1"}).code, 0);
  EXPECT_EQ(ended(mover, patience), 1);
  for (std::size_t i = 1; i < told.size(); ++i) {
    const auto before = told[i - 1]->payload().getMigrationProgress();
    const auto now = told[i]->payload().getMigrationProgress();
    EXPECT_GE(now.getPercent(), before.getPercent());
    EXPECT_GE(now.getSentBytes(), before.getSentBytes());
    EXPECT_GE(told[i]->time().wall() - told[i - 1]->time().wall(), absl::Milliseconds(500));
  }
  const auto last = told.back()->payload().getMigrationProgress();
  EXPECT_GT(last.getPercent(), told.front()->payload().getMigrationProgress().getPercent());
  EXPECT_LT(last.getPercent(), 100U);
  // As it is on average: the cap holds.
  EXPECT_LE(last.getSentBytes(), (told.size() + 4) << 20U);
  EXPECT_GT(last.getEtaHighMs(), 0U);
  // On a machine that is busy some come late.
  EXPECT_LT(told.back()->time().wall() - told.front()->time().wall(), absl::Seconds(3 * seconds));
  stop_listening();
  destroy_and_expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
