// Moves under seeded faults: whatever happens to stream, calls and daemons, and whenever, one
// complete copy remains.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/random.h"
#include "tests/hypercall/simulated_world.h"

namespace supercloud {
namespace {

using State = GuestStatus::State;

constexpr std::uint64_t seeds = 200;
const std::string vm = "main/web1";

// One attempt to move, step by step as an executor would; true if the copy arrived at the target.
bool attempt(SimulatedWorld& world, std::uint64_t number, Epoch epoch) {
  HostCalls a{world, 0};
  HostCalls b{world, 1};
  const EventId migration = test_migration(number);
  if (!b.prepare(test_vm(), migration, epoch).ok()) return false;
  const bool sent =
      a.send(vm, migration, world.endpoint(1)).ok() && a.pause(vm).ok() && a.finish_send(vm).ok();
  static_cast<void>(
      sent);  // the answer may be lost although the copy arrived, never the other way round
  const auto arrived = b.status(vm);
  if (sent) {
    EXPECT_TRUE(arrived.has_value() && arrived->state == State::arrived);
  }
  return arrived.has_value() && arrived->state == State::arrived;
}

// Ends the attempt at whichever side holds a complete copy, and checks it.
void settle(SimulatedWorld& world, bool arrived, std::uint64_t seed) {
  HostCalls a{world, 0};
  HostCalls b{world, 1};
  const GuestProbe source = *world.probe(0, vm);
  HostCalls& winner = arrived ? b : a;
  HostCalls& loser = arrived ? a : b;
  if (!arrived) {
    ASSERT_TRUE(a.stop_send(vm).ok());
    ASSERT_TRUE(a.pause(vm).ok());
  }
  ASSERT_TRUE(loser.destroy(vm).ok());
  ASSERT_TRUE(winner.start(vm, 2).ok()) << "seed " << seed;
  ASSERT_TRUE(winner.executes(vm)) << "seed " << seed;
  world.scheduler.run_for(absl::Seconds(2));
  const GuestProbe after = *world.probe(arrived ? 1 : 0, vm);
  EXPECT_TRUE(after.memory_intact) << "seed " << seed;
  EXPECT_GT(after.ticks, source.ticks) << "seed " << seed;
  EXPECT_GE(after.writes_acked, source.writes_acked) << "seed " << seed;
  ASSERT_TRUE(winner.pause(vm).ok());
  EXPECT_EQ(world.devices.highest_acked(vm, 1), world.probe(arrived ? 1 : 0, vm)->writes_acked)
      << "seed " << seed;
  EXPECT_FALSE(loser.status(vm).has_value()) << "seed " << seed;
}

TEST(SimulatedMoveTest, AStreamLostAtAnyMomentLeavesOneWholeCopy) {
  int arrivals = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(seed);
    SimulatedHostOptions options;
    options.bytes_per_second = 4 << 20;  // the first pass takes a quarter of a second
    SimulatedWorld world(seed, options);
    Random random(seed);
    HostCalls a{world, 0};
    ASSERT_TRUE(a.create(test_vm(), 1).ok());
    ASSERT_TRUE(a.start(vm, 1).ok());
    world.scheduler.run_for(absl::Milliseconds(random.between(0, 2000)));
    const Duration cut = absl::Microseconds(random.between(0, 400'000));
    world.scheduler.at(world.now() + cut, [&world] { world.cut_streams(); });
    const bool arrived = attempt(world, 1, 1);
    arrivals += arrived ? 1 : 0;
    settle(world, arrived, seed);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(arrivals, static_cast<int>(seeds / 20));
  EXPECT_LT(arrivals, static_cast<int>(seeds));
}

TEST(SimulatedMoveTest, AStopAtAnyMomentLeavesTheSourceWholeAndTheTargetEmptyOrArrived) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(seed);
    SimulatedHostOptions options;
    options.bytes_per_second = 4 << 20;
    SimulatedWorld world(seed, options);
    Random random(seed);
    HostCalls a{world, 0};
    HostCalls b{world, 1};
    ASSERT_TRUE(a.create(test_vm(), 1).ok());
    ASSERT_TRUE(a.start(vm, 1).ok());
    const Duration stop = absl::Microseconds(random.between(0, 400'000));
    world.scheduler.at(world.now() + stop, [&a] { a.host().stop_send(vm, Reply<Done>()); });
    const bool arrived = attempt(world, 1, 1);
    ASSERT_TRUE(a.stop_send(vm).ok());
    // The source wants its machine back, whether or not the copy arrived: it may, until the target
    // has swapped.
    ASSERT_TRUE(a.pause(vm).ok());
    ASSERT_TRUE(a.start(vm, 2).ok());
    EXPECT_TRUE(a.executes(vm));
    EXPECT_TRUE(world.memory_intact(vm));
    EXPECT_TRUE(a.status(vm)->migration.empty());
    if (!arrived) {
      EXPECT_TRUE(world.wait(absl::Seconds(10), [&] { return !b.status(vm).has_value(); }));
    }
    // A second attempt, with nothing in its way, succeeds.
    world.scheduler.run_for(absl::Seconds(1));
    ASSERT_TRUE(b.destroy(vm).ok());
    ASSERT_TRUE(attempt(world, 2, 2));
    ASSERT_TRUE(a.destroy(vm).ok());
    ASSERT_TRUE(b.start(vm, 3).ok());
    EXPECT_TRUE(b.executes(vm));
    EXPECT_TRUE(world.memory_intact(vm));
    if (HasFailure()) return;
  }
}

TEST(SimulatedMoveTest, SlowFailingAndUnansweredCallsAndDaemonRestartsLeaveOneWholeCopy) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(seed);
    SimulatedWorld world(seed);
    Random random(seed);
    HostCalls a{world, 0};
    ASSERT_TRUE(a.create(test_vm(), 1).ok());
    ASSERT_TRUE(a.start(vm, 1).ok());
    world.scheduler.run_for(absl::Milliseconds(500));
    for (const char* call : {"prepare_incoming", "send", "pause", "finish_send"}) {
      CallFault fault;
      const std::uint64_t kind = random.below(6);
      if (kind == 0) fault.delay = absl::Milliseconds(random.between(1, 5000));
      if (kind == 1) fault.error = absl::InternalError("injected");
      if (kind == 2) fault.answer_lost = true;
      world.faults[call] = fault;
    }
    const int crashing = static_cast<int>(random.below(2));
    const Duration crash = absl::Milliseconds(random.between(0, 1000));
    world.scheduler.at(world.now() + crash, [&world, crashing] { world.restart_daemon(crashing); });
    const bool arrived = attempt(world, 1, 1);
    world.faults.clear();
    // What still hangs takes effect before the end is looked at.
    world.scheduler.run_for(absl::Seconds(10));
    settle(world, arrived, seed);
    if (HasFatalFailure()) return;
  }
}

TEST(SimulatedMoveTest, TheSameSeedGivesTheSameGuest) {
  const auto run = [](std::uint64_t seed) {
    SimulatedWorld world(seed);
    HostCalls a{world, 0};
    EXPECT_TRUE(a.create(test_vm(), 1).ok());
    EXPECT_TRUE(a.start(vm, 1).ok());
    EXPECT_TRUE(attempt(world, 1, 1));
    HostCalls b{world, 1};
    EXPECT_TRUE(b.start(vm, 2).ok());
    b.host().arm(vm, world.now() + absl::Seconds(3));
    world.scheduler.run_for(absl::Seconds(10));
    const GuestProbe probe = *world.probe(1, vm);
    return std::vector<std::uint64_t>{probe.ticks, probe.writes_acked, probe.version_acked,
                                      static_cast<std::uint64_t>(probe.last_executed.ns)};
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));  // how long stopping takes is the seed's
}

}  // namespace
}  // namespace supercloud
