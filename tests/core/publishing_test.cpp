// Delivery classes, the order of a stream, sequence numbers over restarts, heartbeats.
#include <algorithm>
#include <string>
#include <vector>

#include "core/publisher.h"
#include "tests/core/node_fixture.h"

namespace supercloud {
namespace {

using Which = schema::Payload::Which;

class Publishing : public NodeTest {
 protected:
  // Past the reservation that an origin's first event waits for.
  Context& spawn_ready(const std::string& name) {
    Context& context = spawn(name);
    context.publish(progress(context, 0));
    run();
    bus->published.clear();
    log.appended.clear();
    return context;
  }
  std::vector<std::uint64_t> left(std::string_view origin) const {
    std::vector<std::uint64_t> sequences;
    for (const Event& event : bus->published) {
      if (event.origin() == origin) sequences.push_back(event.sequence());
    }
    return sequences;
  }
};

TEST_F(Publishing, AVolatileEventLeavesAtOnceAndIsNeverLogged) {
  Context& a = spawn_ready("a");
  a.publish(progress(a, 1));
  EXPECT_EQ(bus->published.size(), 1U);
  run();
  EXPECT_TRUE(log.events.empty());
}

TEST_F(Publishing, ADurableEventLeavesWhenItIsOnStableStorageAndThenLoggedRuns) {
  Context& a = spawn_ready("a");
  std::vector<std::string> order;
  spawn("b", {"vm.started.>"}, [&](Context&, const Event&) { order.emplace_back("delivered"); });
  log.hold = true;
  a.publish(started(a),
            [&](absl::Status status) { order.emplace_back(status.ok() ? "logged" : "failed"); });
  run();
  EXPECT_TRUE(bus->published.empty());
  EXPECT_TRUE(order.empty());
  log.release();
  run();
  EXPECT_EQ(order, (std::vector<std::string>{"delivered", "logged"}));
  EXPECT_EQ(sent(Which::VM_STARTED).size(), 1U);
  EXPECT_EQ(log.events.size(), 1U);
}

// An actor that is told of its backlog while an event is delivered has that said from inside of the publishing.
TEST_F(Publishing, WhatIsPublishedWhileAnEventIsDeliveredIsWaitedForOnce) {
  NodeOptions options;
  options.mailbox_max = 8;
  make_node(options);
  Context& a = spawn_ready("a");
  spawn("b", {"migration.progress.>"});
  run();
  for (unsigned i = 0; i < 6; ++i) a.publish(progress(a, i));
  run();
  EXPECT_EQ(sent(Which::BUS_SLOW_SUBSCRIBER).size(), 1U);
  bool answered = false;
  node->on_history({"alpha/node", 1, {""}, 0, 1},
                   Reply<StreamPart>(far_future, [&](const auto&) { answered = true; }));
  run();
  EXPECT_TRUE(answered) << "all that was published is in the log";
}

TEST_F(Publishing, ANotedEventLeavesAtOnceAndIsLoggedWithTheNextCommit) {
  Context& a = spawn_ready("a");
  bool logged = false;
  log.hold = true;
  a.publish(paused(a), [&](absl::Status status) { logged = status.ok(); });
  EXPECT_EQ(bus->published.size(), 1U);
  run();
  EXPECT_FALSE(logged);
  log.release();
  run();
  EXPECT_TRUE(logged);
  EXPECT_EQ(log.events.size(), 1U);
}

TEST_F(Publishing, WhatFollowsAWaitingDurableEventOfItsOriginWaitsBehindItAndNobodyElse) {
  Context& a = spawn_ready("a");
  Context& b = spawn_ready("b");
  log.hold = true;
  a.publish(started(a));
  a.publish(progress(a, 1));
  a.publish(paused(a));
  b.publish(progress(b, 1));
  run();
  EXPECT_TRUE(left("alpha/a").empty());
  EXPECT_EQ(left("alpha/b").size(), 1U);
  log.release();
  run();
  EXPECT_EQ(left("alpha/a"), (std::vector<std::uint64_t>{2, 3, 4}));
}

TEST_F(Publishing, WhatIsPublishedDuringACommitGoesTogetherWithTheNext) {
  Context& a = spawn_ready("a");
  log.hold = true;
  a.publish(started(a));
  a.publish(started(a));
  run();
  for (int i = 0; i < 5; ++i) a.publish(started(a));
  run();
  EXPECT_EQ(log.appended, (std::vector<std::size_t>{2}));
  log.release();
  run();
  EXPECT_EQ(log.appended, (std::vector<std::size_t>{2, 5}));
  log.release();
  run();
  EXPECT_EQ(left("alpha/a").size(), 7U);
}

TEST_F(Publishing, AFailedAppendIsToldAndNothingIsDeliveredAndTheNumberIsNotUsedAgain) {
  Context& a = spawn_ready("a");
  absl::Status told;
  log.next_status = absl::ResourceExhaustedError("disk full");
  a.publish(started(a), [&](absl::Status status) { told = status; });
  run();
  EXPECT_TRUE(absl::IsResourceExhausted(told));
  EXPECT_TRUE(left("alpha/a").empty());
  log.next_status = absl::OkStatus();
  const Event next = a.publish(started(a));
  run();
  EXPECT_EQ(left("alpha/a"), (std::vector<std::uint64_t>{3}));
  EXPECT_EQ(next.reader().getPrevious0(), 2U) << "subscribers see the hole";
}

TEST_F(Publishing, AFailedAppendWithoutACallbackFailsTheActor) {
  Context& a = spawn_ready("a");
  log.next_status = absl::ResourceExhaustedError("disk full");
  a.publish(started(a));
  run();
  log.next_status = absl::OkStatus();
  run(absl::Seconds(1));
  EXPECT_FALSE(node->name().empty());
  Context& again = a;  // the same place, a new object
  again.publish(started(again));
  run();
  EXPECT_EQ(left("alpha/a").size(), 1U);
}

TEST_F(Publishing, ASubjectThatMakesNoTopicIsToldAndNothingHappens) {
  Context& a = spawn_ready("a");
  absl::Status told;
  Draft draft = a.draft(std::string(300, 'x'));
  draft.payload().initVmStarted();
  const Event none = a.publish(std::move(draft), [&](absl::Status status) { told = status; });
  EXPECT_FALSE(none);
  run();
  EXPECT_TRUE(absl::IsInvalidArgument(told)) << told;
  EXPECT_EQ(a.publish(progress(a, 1)).sequence(), 2U) << "no number was used";
}

TEST_F(Publishing, AnEventPointsToThePreviousOnesUnderItsPrefixes) {
  Context& a = spawn_ready("a");  // 1: migration.progress.main
  a.publish(paused(a));           // 2: vm.paused.main
  Draft other = a.draft("web1", "tenant2");
  other.payload().initVmPaused();
  a.publish(std::move(other));               // 3: vm.paused.tenant2
  const Event event = a.publish(paused(a));  // 4
  EXPECT_EQ(event.sequence(), 4U);
  EXPECT_EQ(event.reader().getPrevious0(), 3U);
  EXPECT_EQ(event.reader().getPrevious1(), 3U);
  EXPECT_EQ(event.reader().getPrevious2(), 3U);
  EXPECT_EQ(event.reader().getPrevious3(), 2U);
  const Event first = a.publish(started(a));
  EXPECT_EQ(first.reader().getPrevious1(), 4U);
  EXPECT_EQ(first.reader().getPrevious2(), 0U);
}

TEST_F(Publishing, ARestartedNodeGoesOnAboveWhatItReservedInTheSameIncarnation) {
  Context& a = spawn("a");
  a.publish(started(a));
  for (unsigned i = 0; i < 40; ++i) a.publish(progress(a, i));
  run();
  const Event before = bus->published.back();
  EXPECT_EQ(before.sequence(), 41U);
  const std::uint64_t reserved = log.origin("alpha/a").sequence_reserved;
  make_node();
  Context& again = spawn("a");
  const Event after = again.publish(started(again));
  run();
  EXPECT_EQ(after.incarnation(), before.incarnation());
  EXPECT_GT(after.sequence(), before.sequence());
  EXPECT_EQ(after.sequence(), reserved + 1);
  EXPECT_EQ(after.reader().getPrevious3(), 1U) << "the tail that was logged";
}

TEST_F(Publishing, ARestartedNodeTellsWhereAllItsOriginsStoodBeforeAnyOfThemPublishes) {
  Context& a = spawn("a");
  const Event logged = a.publish(started(a));
  a.publish(progress(a, 1));
  spawn("idle");
  Context& b = spawn("b");
  const Event volatile_one = b.publish(progress(b, 1));
  run();
  make_node();
  const auto told = [&](std::string_view origin) {
    const auto found = std::ranges::find(bus->past, origin, &OriginTail::origin);
    return found == bus->past.end() ? OriginTail() : *found;
  };
  EXPECT_EQ(told("alpha/a").incarnation, logged.incarnation());
  EXPECT_EQ(told("alpha/a").sequence, logged.sequence());
  EXPECT_EQ(told("alpha/b").incarnation, volatile_one.incarnation()) << "its block is in the log";
  EXPECT_EQ(told("alpha/idle").incarnation, 0U) << "it has published nothing";
  run(absl::Seconds(1));
  const std::vector<Event> beats = sent(Which::NODE_HEARTBEAT);
  ASSERT_EQ(beats.size(), 1U);
  const auto tails = beats[0].payload().getNodeHeartbeat().getTails();
  ASSERT_GE(tails.size(), 1U);
  EXPECT_EQ(text(tails[0].getOrigin()), "alpha/a");
  EXPECT_EQ(tails[0].getSequence(), logged.sequence());
  EXPECT_EQ(tails[0].getPrefixes().size(), 3U);
}

TEST_F(Publishing, ANodeWithoutItsLogStartsALaterIncarnation) {
  Context& a = spawn("a");
  const Event before = a.publish(progress(a, 1));
  run(absl::Seconds(1));
  log = MemoryLog(scheduler);
  make_node();
  Context& again = spawn("a");
  const Event after = again.publish(progress(again, 1));
  EXPECT_GT(after.incarnation(), before.incarnation());
  EXPECT_EQ(after.sequence(), 1U);
}

TEST_F(Publishing, NumbersAreUsedOnlyInsideAReservedBlockAndTheNextIsAskedForAhead) {
  Context& a = spawn("a");
  log.hold = true;
  a.publish(progress(a, 1));
  run();
  EXPECT_TRUE(bus->published.empty()) << "not before its block is reserved";
  log.release();
  run();
  EXPECT_EQ(bus->published.size(), 1U);
  EXPECT_EQ(log.origin("alpha/a").sequence_reserved, Publisher::block + 1);
  for (unsigned i = 0; i < 2 * Publisher::block; ++i) {
    a.publish(progress(a, i));
    run(absl::Microseconds(1));
    log.release();
  }
  run();
  EXPECT_EQ(left("alpha/a").size(), 1 + 2 * Publisher::block);
  for (const Event& event : bus->published) {
    EXPECT_LE(event.sequence(), log.origin(event.origin()).sequence_reserved);
  }
}

TEST_F(Publishing, AReservationThatFailsIsTriedAgain) {
  Context& a = spawn("a");
  log.next_status = absl::UnavailableError("disk asleep");
  a.publish(progress(a, 1));
  run(absl::Milliseconds(50));
  EXPECT_TRUE(bus->published.empty());
  log.next_status = absl::OkStatus();
  run(absl::Milliseconds(200));
  EXPECT_EQ(left("alpha/a").size(), 1U);
}

TEST_F(Publishing, HeartbeatsCarryTheTailsOfWhatHasLeft) {
  Context& a = spawn_ready("a");
  a.publish(started(a));
  run();
  log.hold = true;
  a.publish(started(a));  // waits: not in the tails
  run(absl::Seconds(1));
  log.hold = false;
  log.release();
  run(absl::Seconds(1));
  const std::vector<Event> beats = sent(Which::NODE_HEARTBEAT);
  ASSERT_GE(beats.size(), 2U);
  const auto check = [](const Event& beat, std::uint64_t expected) {
    bool found = false;
    for (const auto tail : beat.payload().getNodeHeartbeat().getTails()) {
      if (text(tail.getOrigin()) != "alpha/a") continue;
      found = true;
      EXPECT_EQ(tail.getSequence(), expected);
      std::map<std::string, std::uint64_t> prefixes;
      for (const auto prefix : tail.getPrefixes()) {
        prefixes[std::string(text(prefix.getPrefix()))] = prefix.getSequence();
      }
      EXPECT_EQ(prefixes, (std::map<std::string, std::uint64_t>{{"migration.", 1},
                                                                {"migration.progress.", 1},
                                                                {"migration.progress.main.", 1},
                                                                {"vm.", expected},
                                                                {"vm.started.", expected},
                                                                {"vm.started.main.", expected}}));
    }
    EXPECT_TRUE(found);
  };
  check(beats[0], 2);
  check(beats[1], 3);
  EXPECT_EQ(text(beats[1].payload().getNodeHeartbeat().getNode()), "alpha");
}

TEST_F(Publishing, AfterARestartTimeGoesOnFromTheLogWhenTheWallClockWasSetBack) {
  for (const Duration back : {absl::Seconds(3), absl::Hours(2)}) {
    make_node();
    Context& before = spawn("a");
    const HybridTime logged = before.publish(started(before)).time();
    run();
    node.reset();
    VirtualScheduler later(scheduler.wall() - back);
    log.move_to(later);
    LoopbackBus other(later, "alpha");
    {
      Node again(NodeSeams{later, other, log, pool}, NodeOptions{.name = "alpha"});
      Context* context = nullptr;
      again.spawn("b", [&](Context& made) {
        context = &made;
        return std::make_unique<Puppet>(made, nullptr);
      });
      const HybridTime next = context->publish(started(*context)).time();
      // Had it been two hours ahead, it was wrong then: others refuse what is so far ahead.
      EXPECT_EQ(next > logged, back < HybridClock::max_ahead);
      later.run_for(absl::Milliseconds(1));
    }
    log.move_to(scheduler);
  }
}

}  // namespace
}  // namespace supercloud
