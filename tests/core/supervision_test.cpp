// Actors that fail: said on the bus, made anew, given up.
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/core/node_fixture.h"

namespace supercloud {
namespace {

using Which = schema::Payload::Which;

class Supervision : public NodeTest {
 protected:
  std::string last_failure(std::string_view part) const {
    const std::vector<Event> failed = sent(Which::BUS_ACTOR_FAILED);
    if (failed.empty()) return "none";
    const auto payload = failed.back().payload().getBusActorFailed();
    return std::string(part == "why"    ? text(payload.getWhy())
                       : part == "done" ? text(payload.getDone())
                                        : text(payload.getActor()));
  }
};

TEST_F(Supervision, AFailedActorIsReplacedByANewObjectWithFreshSubscriptions) {
  int made = 0;
  int received = 0;
  int timers = 0;
  node->spawn("a", [&](Context& context) {
    ++made;
    context.subscribe(Pattern::of("migration.>"));
    context.after(absl::Seconds(30), [&] { ++timers; });
    return std::make_unique<Puppet>(context, [&](Context& self, const Event& event) {
      ++received;
      if (event.payload().getMigrationProgress().getPercent() == 13) {
        self.fail(absl::DataLossError("thirteen"));
        self.subscribe(Pattern::of("vm.>"));  // the turn still ends normally
      }
    });
  });
  Context& speaker = spawn("speaker");
  const Event fatal = speaker.publish(progress(speaker, 13));
  speaker.publish(progress(speaker, 14));
  run();
  EXPECT_EQ(received, 1) << "mail of the failed object is dropped";
  EXPECT_TRUE(bus->subscriptions.empty());
  EXPECT_EQ(last_failure("actor"), "alpha/a");
  EXPECT_NE(last_failure("why").find("thirteen"), std::string::npos);
  EXPECT_EQ(last_failure("done"), "restarted");
  EXPECT_EQ(sent(Which::BUS_ACTOR_FAILED)[0].cause(), fatal.id());
  EXPECT_EQ(made, 1);
  run(absl::Milliseconds(100));
  EXPECT_EQ(made, 2);
  EXPECT_EQ(bus->subscriptions, (std::map<std::string, int>{{"migration.", 1}}));
  speaker.publish(progress(speaker, 15));
  run();
  EXPECT_EQ(received, 2) << "one subscription, not two";
  run(absl::Seconds(31));
  EXPECT_EQ(timers, 1) << "the failed object's timer died with it";
}

TEST_F(Supervision, AnExceptionInATurnOrAFactoryIsAFailure) {
  int made = 0;
  node->spawn("a", [&](Context& context) -> std::unique_ptr<Actor> {
    if (++made == 2) throw std::runtime_error("bad start");
    context.subscribe(Pattern::of("migration.>"));
    return std::make_unique<Puppet>(
        context, [](Context&, const Event&) { throw std::runtime_error("bad turn"); });
  });
  Context& speaker = spawn("speaker");
  speaker.publish(progress(speaker, 1));
  run();
  EXPECT_NE(last_failure("why").find("bad turn"), std::string::npos);
  run(absl::Milliseconds(150));
  EXPECT_NE(last_failure("why").find("bad start"), std::string::npos);
  EXPECT_EQ(made, 2);
  run(absl::Milliseconds(250));  // 200 ms after the second
  EXPECT_EQ(made, 3);
  EXPECT_EQ(bus->subscriptions.size(), 1U);
}

TEST_F(Supervision, TheRuntimeGivesUpAfterTooManyRestartsAndSaysSo) {
  int made = 0;
  NodeOptions options;
  options.restarts_max = 3;
  make_node(options);
  node->spawn("a", [&](Context& context) {
    ++made;
    context.fail(absl::InternalError("never works"));
    return std::make_unique<Puppet>(context, nullptr);
  });
  run(absl::Minutes(5));
  EXPECT_EQ(made, 4);
  EXPECT_EQ(last_failure("done"), "gave up");
  EXPECT_EQ(sent(Which::BUS_ACTOR_FAILED).size(), 4U);
}

TEST_F(Supervision, FailuresFurtherApartThanTheWindowAreForgiven) {
  int made = 0;
  NodeOptions options;
  options.restarts_max = 2;
  make_node(options);
  node->spawn("a", [&](Context& context) {
    ++made;
    context.after(absl::Minutes(2),
                  [&context] { context.fail(absl::InternalError("now and then")); });
    return std::make_unique<Puppet>(context, nullptr);
  });
  run(absl::Hours(1));
  EXPECT_GE(made, 29);
  EXPECT_EQ(last_failure("done"), "restarted");
}

TEST_F(Supervision, AFullMailboxIsReportedEarlyAndFailsTheActorWhenItOverflows) {
  NodeOptions options;
  options.mailbox_max = 8;
  make_node(options);
  int seen = 0;
  spawn("slow", {"migration.>"}, [&](Context&, const Event&) { ++seen; });
  Context& speaker = spawn("speaker");
  speaker.publish(progress(speaker, 0));
  run();
  for (unsigned i = 0; i < 8; ++i) speaker.publish(progress(speaker, i));
  run();
  EXPECT_EQ(seen, 9);
  ASSERT_EQ(sent(Which::BUS_SLOW_SUBSCRIBER).size(), 1U);
  EXPECT_TRUE(sent(Which::BUS_ACTOR_FAILED).empty());
  for (unsigned i = 0; i < 9; ++i) speaker.publish(progress(speaker, i));
  run();
  EXPECT_EQ(seen, 9);
  EXPECT_NE(last_failure("why").find("mailbox"), std::string::npos);
  run(absl::Seconds(1));
  speaker.publish(progress(speaker, 0));
  run();
  EXPECT_EQ(seen, 10) << "after its restart it works again";
}

TEST_F(Supervision, ActorsStopInTheReverseOrderOfTheirStart) {
  struct Mourned final : Actor {
    Mourned(std::vector<std::string>& list, std::string called)
        : dead(list), name(std::move(called)) {}
    ~Mourned() override { dead.push_back(name); }
    void receive(const Event&) override {}
    std::vector<std::string>& dead;
    std::string name;
  };
  std::vector<std::string> dead;
  for (const char* name : {"one", "two", "three"}) {
    node->spawn(name, [&dead, name](Context&) { return std::make_unique<Mourned>(dead, name); });
  }
  node.reset();
  EXPECT_EQ(dead, (std::vector<std::string>{"three", "two", "one"}));
}

TEST_F(Supervision, AFullDiskIsNoReasonToGiveAnActorUp) {
  int made = 0;
  log.next_status = absl::ResourceExhaustedError("disk full");
  node->spawn("a", [&](Context& context) {
    ++made;
    context.publish(started(context));
    return std::make_unique<Puppet>(context, nullptr);
  });
  run(absl::Minutes(1));
  EXPECT_GT(made, 11) << "more often than restarts_max";
  EXPECT_LT(made, 25) << "with a growing pause";
  EXPECT_TRUE(sent(Which::VM_STARTED).empty());
  log.next_status = absl::OkStatus();
  run(absl::Seconds(20));
  EXPECT_EQ(sent(Which::VM_STARTED).size(), 1U);
  EXPECT_EQ(sent(Which::BUS_ACTOR_FAILED).size(), static_cast<std::size_t>(made) - 1)
      << "each failure is said once there is room";
  EXPECT_EQ(last_failure("done"), "restarted");
}

TEST_F(Supervision, AMailboxThatOverflowsIsTheActorsOwnFault) {
  NodeOptions options;
  options.mailbox_max = 2;
  options.restarts_max = 2;
  make_node(options);
  spawn("slow", {"migration.>"}, [](Context&, const Event&) {});
  Context& speaker = spawn("speaker");
  speaker.publish(progress(speaker, 0));
  run();
  for (int round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < 5; ++i) speaker.publish(progress(speaker, i));
    run(absl::Seconds(1));
  }
  EXPECT_EQ(last_failure("done"), "gave up");
}

TEST_F(Supervision, ANodeThatLeavesSaysSoLastAndNothingOfItRunsOn) {
  int received = 0;
  int timers = 0;
  Context& a = spawn("a", {"migration.>"}, [&](Context&, const Event&) { ++received; });
  a.publish(progress(a, 1));
  run(absl::Seconds(1));
  a.after(absl::Seconds(1), [&] { ++timers; });
  a.publish(progress(a, 2));  // its mail is under way
  a.publish(started(a));
  std::vector<absl::Status> ended;
  log.hold = true;
  node->leave("the end", [&](absl::Status status) { ended.push_back(std::move(status)); });
  run(absl::Seconds(3));
  EXPECT_TRUE(ended.empty());
  EXPECT_TRUE(sent(Which::NODE_LEFT).empty()) << "not before it is on stable storage";
  log.release();
  run(absl::Seconds(3));
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_TRUE(ended[0].ok()) << ended[0];
  EXPECT_EQ(received, 1);
  EXPECT_EQ(timers, 0);
  EXPECT_EQ(sent(Which::VM_STARTED).size(), 1U) << "what an actor had published still leaves";
  const Event& last = bus->published.back();
  ASSERT_EQ(last.type(), Which::NODE_LEFT) << "not even a heartbeat follows";
  EXPECT_EQ(text(last.payload().getNodeLeft().getNode()), "alpha");
  EXPECT_EQ(text(last.payload().getNodeLeft().getWhy()), "the end");
}

TEST_F(Supervision, ANodeWhoseLogTakesNothingLeavesAllTheSame) {
  log.next_status = absl::ResourceExhaustedError("full");
  std::vector<absl::Status> ended;
  node->leave("the end", [&](absl::Status status) { ended.push_back(std::move(status)); });
  run(absl::Seconds(1));
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_TRUE(absl::IsResourceExhausted(ended[0])) << ended[0];
}

TEST_F(Supervision, ANodeThatLeavesSaysFirstWhatItHadHeldBack) {
  bus->receiver->on_rejected("127.0.0.1:9", "not an event");
  bus->receiver->on_rejected("127.0.0.1:9", "not an event");
  bus->receiver->on_rejected("127.0.0.1:9", "not an event");
  run();
  ASSERT_EQ(sent(Which::BUS_REJECTED).size(), 1U)
      << "the rest would be said with a later heartbeat";
  node->leave("the end", [](const absl::Status&) {});
  bus->receiver->on_rejected("127.0.0.1:9", "too late");
  bus->receiver->on_gap(
      {.origin = "beta/x", .incarnation = 1, .prefix = "", .after = 1, .up_to = 2});
  run(absl::Seconds(30));
  const std::vector<Event> rejected = sent(Which::BUS_REJECTED);
  ASSERT_EQ(rejected.size(), 2U);
  EXPECT_EQ(rejected[1].payload().getBusRejected().getCount(), 2U);
  EXPECT_EQ(bus->published.back().type(), Which::NODE_LEFT);
}

}  // namespace
}  // namespace supercloud
