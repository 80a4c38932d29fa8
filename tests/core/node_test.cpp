// Turns of actors: who gets what, in which order, caused by what.
#include "core/node.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/core/node_fixture.h"

namespace supercloud {
namespace {

using Which = schema::Payload::Which;

TEST_F(NodeTest, AnEventReachesEverySubscriberOnceInTheOrderOfTheirSubscriptions) {
  std::vector<std::string> seen;
  const auto note = [&seen](Context& context, const Event&) {
    seen.push_back(context.self().actor);
  };
  spawn("general", {">"}, note);
  spawn("exact", {"migration.progress.main.web1"}, note);
  spawn("twice", {"migration.>", "migration.progress.>"}, note);
  spawn("wild", {"*.progress.*.web1"}, note);
  spawn("other", {"vm.>", "migration.progress.main.web2"}, note);
  Context& speaker = spawn("speaker");
  speaker.publish(progress(speaker, 1));
  EXPECT_TRUE(seen.empty()) << "nothing is delivered inside publish()";
  run();
  EXPECT_EQ(seen, (std::vector<std::string>{"general", "exact", "twice", "wild"}));
}

TEST_F(NodeTest, SubscribersBusAndLogShareTheBytesThatThePublisherWrote) {
  std::vector<const std::byte*> seen;
  const auto note = [&seen](Context&, const Event& event) { seen.push_back(event.bytes().data()); };
  spawn("one", {"migration.>", "vm.>"}, note);
  spawn("other", {">"}, note);
  Context& speaker = spawn("speaker");
  const auto shared_by_all = [&](Draft draft) {
    seen.clear();
    bus->published.clear();
    log.events.clear();
    const Event event = speaker.publish(std::move(draft));
    const bool logged = event.type() != Which::MIGRATION_PROGRESS;
    run();
    EXPECT_EQ(seen, (std::vector<const std::byte*>(2, event.bytes().data())));
    ASSERT_EQ(bus->published.size(), 1U);
    EXPECT_EQ(bus->published[0].bytes().data(), event.bytes().data());
    ASSERT_EQ(log.events.size(), logged ? 1U : 0U);
    if (logged) {
      EXPECT_EQ(log.events[0].bytes().data(), event.bytes().data());
    }
  };
  shared_by_all(progress(speaker, 1));  // volatile
  shared_by_all(paused(speaker));       // noted
  shared_by_all(started(speaker));      // durable
}

TEST_F(NodeTest, AnActorGetsItsOwnEventsOnlyIfItSubscribes) {
  int own = 0;
  Context& deaf = spawn("deaf", {}, [&](Context&, const Event&) { ++own; });
  deaf.publish(progress(deaf, 1));
  run();
  EXPECT_EQ(own, 0);
  deaf.subscribe(Pattern::of("migration.>"));
  deaf.publish(progress(deaf, 2));
  run();
  EXPECT_EQ(own, 1);
  deaf.unsubscribe(Pattern::of("migration.>"));
  deaf.publish(progress(deaf, 3));
  run();
  EXPECT_EQ(own, 1);
}

TEST_F(NodeTest, SubscriptionsReachTheBusAsCountedPrefixesAndReadyRunsInATurn) {
  Context& context = spawn("a", {"vm.resumed.>", "vm.resumed.*.web1", "*.x.>"});
  EXPECT_EQ(bus->subscriptions, (std::map<std::string, int>{{"vm.resumed.", 2}, {"", 1}}));
  bool ready = false;
  context.subscribe(Pattern::of("vm.paused.>"), [&] { ready = true; });
  EXPECT_FALSE(ready);
  run();
  EXPECT_TRUE(ready);
  context.unsubscribe(Pattern::of("vm.resumed.>"));
  EXPECT_EQ(bus->subscriptions["vm.resumed."], 1);
}

TEST_F(NodeTest, AnEventKnowsItsCauseAndTheRootOfItsChain) {
  Event first, second, third;
  spawn("b", {"migration.progress.>"},
        [&](Context& context, const Event&) { second = context.publish(paused(context)); });
  spawn("c", {"vm.paused.>"},
        [&](Context& context, const Event&) { third = context.publish(started(context)); });
  Context& a = spawn("a");
  first = a.publish(progress(a, 1));
  run();
  ASSERT_TRUE(third);
  EXPECT_TRUE(first.cause().empty());
  EXPECT_EQ(first.root(), first.id());
  EXPECT_EQ(second.cause(), first.id());
  EXPECT_EQ(second.root(), first.id());
  EXPECT_EQ(third.cause(), second.id());
  EXPECT_EQ(third.root(), first.id());
  EXPECT_LT(first.time(), second.time());
  EXPECT_LT(second.time(), third.time());
}

TEST_F(NodeTest, TimersAndRepliesAndLoggedInheritTheCauseTheyWereMadeUnder) {
  Event by_timer, by_reply, by_logged, by_old_timer;
  Reply<int> reply;
  spawn("b", {"migration.progress.>"}, [&](Context& context, const Event&) {
    context.after(absl::Seconds(1), [&] { by_timer = context.publish(paused(context)); });
    reply = context.reply<int>(absl::Seconds(9), [&](absl::StatusOr<int>) {
      by_reply = context.publish(paused(context));
    });
    context.publish(started(context),
                    [&](absl::Status) { by_logged = context.publish(paused(context)); });
  });
  node->spawn("c", [&](Context& context) {
    context.after(absl::Seconds(1), [&] { by_old_timer = context.publish(paused(context)); });
    return std::make_unique<Puppet>(context, nullptr);
  });
  Context& a = spawn("a");
  const Event cause = a.publish(progress(a, 1));
  run(absl::Seconds(2));
  reply(7);
  run();
  EXPECT_EQ(by_timer.cause(), cause.id());
  EXPECT_EQ(by_reply.cause(), cause.id());
  EXPECT_EQ(by_logged.cause(), cause.id());
  EXPECT_TRUE(by_old_timer.cause().empty());
}

TEST_F(NodeTest, AReplyCalledInsideTheSeamCallStillRunsInALaterTurn) {
  std::vector<std::string> order;
  Context& a = spawn("a", {"migration.>"}, [&](Context& context, const Event&) {
    Reply<std::string> reply = context.reply<std::string>(
        absl::Seconds(1), [&](absl::StatusOr<std::string> value) { order.push_back(*value); });
    reply(std::string("value"));
    order.emplace_back("turn ends");
  });
  a.publish(progress(a, 1));
  run();
  EXPECT_EQ(order, (std::vector<std::string>{"turn ends", "value"}));
}

TEST_F(NodeTest, AReplyComesOnceWithItsValueOrWithDeadlineExceeded) {
  std::vector<absl::StatusOr<int>> got;
  const auto note = [&got](absl::StatusOr<int> value) { got.push_back(std::move(value)); };
  Context& a = spawn("a");
  Reply<int> in_time = a.reply<int>(absl::Seconds(1), note);
  EXPECT_EQ(in_time.deadline(), scheduler.now() + absl::Seconds(1));
  in_time(1);
  in_time(2);
  run(absl::Seconds(2));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(*got[0], 1);

  Reply<int> late = a.reply<int>(absl::Seconds(1), note);
  run(absl::Seconds(1));
  ASSERT_EQ(got.size(), 2U);
  EXPECT_TRUE(absl::IsDeadlineExceeded(got[1].status()));
  late(3);
  run(absl::Seconds(1));
  EXPECT_EQ(got.size(), 2U) << "a late value is dropped";

  Reply<int> patient = a.reply<int>(absl::InfiniteDuration(), note);
  EXPECT_EQ(patient.deadline(), far_future);
  run(absl::Hours(1));
  patient(absl::NotFoundError("gone"));
  run();
  ASSERT_EQ(got.size(), 3U);
  EXPECT_TRUE(absl::IsNotFound(got[2].status()));
}

TEST_F(NodeTest, RepliesThatOutliveTheActorOrTheNodeDoNothing) {
  int called = 0;
  Context& a = spawn("a");
  const auto count = [&called](absl::StatusOr<int>) { ++called; };
  Reply<int> of_failed = a.reply<int>(absl::Seconds(9), count);
  Reply<int> of_ended = a.reply<int>(absl::Seconds(9), count);
  Reply<int> posted = a.reply<int>(absl::Seconds(9), count);
  node->fail_actor("a", absl::InternalError("test"));
  run();
  of_failed(1);
  run();
  posted(2);
  node.reset();
  of_ended(3);
  run(absl::Seconds(20));
  EXPECT_EQ(called, 0);
}

TEST_F(NodeTest, ACancelledTimerDoesNotRunEvenWhenItIsDueAlready) {
  std::vector<int> ran;
  node->spawn("a", [&](Context& context) {
    auto second = std::make_shared<TimerId>(0);
    context.after(absl::Seconds(1), [&ran, &context, second] {
      ran.push_back(1);
      context.cancel(*second);
    });
    *second = context.after(absl::Seconds(1), [&ran] { ran.push_back(2); });
    context.after(absl::Seconds(1), [&ran] { ran.push_back(3); });
    return std::make_unique<Puppet>(context, nullptr);
  });
  run(absl::Seconds(2));
  EXPECT_EQ(ran, (std::vector<int>{1, 3}));
}

TEST_F(NodeTest, HistoryGivesPastEventsInOrderPageByPage) {
  Context& a = spawn("a");
  for (int i = 0; i < 5; ++i) a.publish(started(a));
  a.publish(paused(a));
  run();
  log.page_max = 2;
  std::vector<std::uint64_t> sequences;
  absl::Status end = absl::UnknownError("not called");
  a.history(
      Pattern::of("vm.started.>"),
      [&](const Event& event) { sequences.push_back(event.sequence()); },
      [&](absl::Status status) { end = status; });
  run();
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_EQ(sequences, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
}

TEST_F(NodeTest, OneDeliveryPerTaskWhenASimulationAsksForIt) {
  NodeOptions options;
  options.batch = 1;
  make_node(options);
  int seen = 0;
  spawn("b", {"migration.>"}, [&](Context&, const Event&) { ++seen; });
  Context& a = spawn("a");
  a.publish(progress(a, 1));
  run();
  seen = 0;
  for (unsigned i = 0; i < 3; ++i) a.publish(progress(a, i));
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(scheduler.step());
    EXPECT_EQ(seen, i);
  }
}

// ---- remote events -------------------------------------------------------------------------------------------------

class RemoteEvents : public NodeTest {
 protected:
  // As another node would have sent it.
  Event remote(absl::Time at, std::string_view topic_of_payload = "") {
    (void)topic_of_payload;
    Draft draft = pool.draft("web1");
    draft.payload().initMigrationProgress().setPercent(7);
    EXPECT_TRUE(draft.set_topic().ok());
    Envelope envelope;
    envelope.origin = "beta/executor";
    envelope.incarnation = 1;
    envelope.sequence = ++sequence_;
    envelope.time = HybridTime::at(at);
    return *std::move(draft).seal(envelope);
  }
  std::uint64_t sequence_ = 0;
};

TEST_F(RemoteEvents, AreDeliveredAndMoveTheHybridClock) {
  std::vector<Event> seen;
  Context& a =
      spawn("a", {"migration.>"}, [&](Context&, const Event& event) { seen.push_back(event); });
  const absl::Time ahead = scheduler.wall() + absl::Seconds(4);
  bus->receiver->on_event(remote(ahead));
  EXPECT_TRUE(seen.empty()) << "delivered in a turn of its own";
  run();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_GE(a.time(), seen[0].time());
  EXPECT_GT(a.publish(progress(a, 1)).time(), seen[0].time());
}

TEST_F(RemoteEvents, FromTheFutureAreDroppedAndReportedAtMostEveryTenSeconds) {
  int seen = 0;
  spawn("a", {"migration.>"}, [&](Context&, const Event&) { ++seen; });
  for (int i = 0; i < 100; ++i) {
    bus->receiver->on_event(remote(scheduler.wall() + absl::Seconds(6)));
  }
  run();
  EXPECT_EQ(seen, 0);
  std::vector<Event> rejected = sent(Which::BUS_REJECTED);
  ASSERT_EQ(rejected.size(), 1U);
  EXPECT_EQ(text(rejected[0].payload().getBusRejected().getFrom()), "beta/executor");
  EXPECT_EQ(rejected[0].payload().getBusRejected().getCount(), 1U);
  run(absl::Seconds(12));
  rejected = sent(Which::BUS_REJECTED);
  ASSERT_EQ(rejected.size(), 2U) << "the others are counted";
  EXPECT_EQ(rejected[1].payload().getBusRejected().getCount(), 99U);
  // They were in their place in the stream, so nobody else will miss them.
  const std::vector<Event> gaps = sent(Which::BUS_GAP);
  ASSERT_EQ(gaps.size(), 2U);
  std::uint64_t after = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto gap = gaps[i].payload().getBusGap();
    EXPECT_EQ(text(gap.getOrigin()), "beta/executor");
    EXPECT_EQ(gap.getIncarnation(), 1U);
    EXPECT_EQ(gap.getAfter(), after);
    after = gap.getUpTo();
  }
  EXPECT_EQ(after, 100U);
}

TEST_F(RemoteEvents, AGapIsToldInItsPlace) {
  std::vector<std::string> told;
  Context& a = spawn("a", {"migration.>"}, [&](Context&, const Event& event) {
    told.push_back(absl::StrCat(event.sequence()));
  });
  a.on_gap([&](const BusGap& gap) { told.push_back(absl::StrCat("gap to ", gap.up_to)); });
  run();
  bus->receiver->on_event(remote(scheduler.wall()));
  bus->receiver->on_gap({"beta/executor", 1, "migration.", 1, 3});
  sequence_ = 3;
  bus->receiver->on_event(remote(scheduler.wall()));
  EXPECT_TRUE(told.empty()) << "in turns of their own";
  run();
  EXPECT_EQ(told, (std::vector<std::string>{"1", "gap to 3", "4"}));
}

TEST_F(RemoteEvents, GapsAndRejectedBytesBecomeEventsOfTheNode) {
  bus->receiver->on_gap({"beta/executor", 3, "vm.", 7, 9});
  bus->receiver->on_rejected("127.0.0.1:9", "not an event");
  run();
  const std::vector<Event> gaps = sent(Which::BUS_GAP);
  ASSERT_EQ(gaps.size(), 1U);
  const auto gap = gaps[0].payload().getBusGap();
  EXPECT_EQ(gaps[0].origin(), "alpha/node");
  EXPECT_EQ(text(gap.getSubscriber()), "alpha");
  EXPECT_EQ(text(gap.getOrigin()), "beta/executor");
  EXPECT_EQ(gap.getAfter(), 7U);
  EXPECT_EQ(gap.getUpTo(), 9U);
  EXPECT_EQ(sent(Which::BUS_REJECTED).size(), 1U);
}

// ---- requests ------------------------------------------------------------------------------------------------------

class Requests : public NodeTest {
 protected:
  static Message<schema::Request> ping() {
    return Message<schema::Request>::build(
        [](schema::Request::Builder builder) { builder.setPing(); });
  }
  absl::StatusOr<Message<schema::Response>> ask(const std::string& actor,
                                                const std::string& at = "alpha") {
    absl::StatusOr<Message<schema::Response>> got = absl::UnknownError("no answer");
    Context& client = spawn(absl::StrCat("client", ++clients_));
    client.request({at, actor}, ping(), absl::Seconds(1),
                   [&](auto response) { got = std::move(response); });
    run(absl::Seconds(2));
    return got;
  }
  int clients_ = 0;
};

TEST_F(Requests, AreServedInAnActorsTurnAndAnswered) {
  spawn("server", {}, nullptr, [](const Message<schema::Request>& request, Answer answer) {
    EXPECT_TRUE(request.reader().isPing());
    answer(Message<schema::Response>::build(
        [](schema::Response::Builder builder) { builder.setEndpoint("here"); }));
  });
  const auto got = ask("server");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(text(got->reader().getEndpoint()), "here");
}

TEST_F(Requests, ErrorsTravelAsCodeAndMessage) {
  spawn("server", {}, nullptr, [](const Message<schema::Request>&, Answer answer) {
    answer(absl::FailedPreconditionError("not now; try later"));
  });
  spawn("dumb");
  spawn("silent", {}, nullptr, [](const Message<schema::Request>&, const Answer&) {});
  EXPECT_EQ(ask("server").status(), absl::FailedPreconditionError("not now; try later"));
  EXPECT_TRUE(absl::IsUnimplemented(ask("dumb").status()));
  EXPECT_TRUE(absl::IsNotFound(ask("nobody").status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(ask("silent").status()));
  EXPECT_TRUE(absl::IsUnavailable(ask("server", "beta").status()));
  node->fail_actor("server", absl::InternalError("test"));
  scheduler.step();
  EXPECT_TRUE(ask("node").ok()) << "the node itself answers a ping";
}

TEST_F(Requests, ThatAreMalformedAreAnsweredInvalidArgument) {
  std::string answer;
  bus->receiver->on_request(
      "node", "garbage",
      Reply<std::string>(far_future, [&](absl::StatusOr<std::string> bytes) { answer = *bytes; }));
  const auto response = Message<schema::Response>::parse(answer);
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->reader().getCode(), static_cast<int>(absl::StatusCode::kInvalidArgument));
}

// ---- other threads -------------------------------------------------------------------------------------------------

TEST_F(NodeTest, AReplyMayBeCalledFromAnotherThread) {
  int got = 0;
  Context& a = spawn("a");
  Reply<int> reply =
      a.reply<int>(absl::Seconds(1), [&](absl::StatusOr<int> value) { got = *value; });
  std::thread([reply = std::move(reply)]() mutable { reply(5); }).join();
  run();
  EXPECT_EQ(got, 5);
}

// ---- what the log refuses ------------------------------------------------------------------------------------------

class Reports : public NodeTest {
 protected:
  Reports() {
    NodeOptions options;
    options.complain = [this](const std::string& line) { complaints.push_back(line); };
    make_node(options);
  }
  void lose(std::uint64_t sequence) {
    bus->receiver->on_gap({"beta/executor", 1, "vm.", sequence - 1, sequence});
  }
  std::vector<std::uint64_t> gaps() const {
    std::vector<std::uint64_t> found;
    for (const Event& event : sent(Which::BUS_GAP)) {
      found.push_back(event.payload().getBusGap().getUpTo());
    }
    return found;
  }
  std::vector<std::string> complaints;
};

TEST_F(Reports, WaitForALogThatRefusesThemInTheirOrder) {
  log.next_status = absl::ResourceExhaustedError("disk full");
  lose(1);
  run(absl::Seconds(30));
  lose(2);
  bus->receiver->on_rejected("127.0.0.1:9", "not an event");
  lose(3);
  run(absl::Seconds(30));
  EXPECT_TRUE(gaps().empty());
  ASSERT_EQ(complaints.size(), 1U) << "said once";
  EXPECT_NE(complaints[0].find("disk full"), std::string::npos);
  log.next_status = absl::OkStatus();
  run(absl::Seconds(15));
  EXPECT_EQ(gaps(), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(sent(Which::BUS_REJECTED).size(), 1U);
  lose(4);
  run();
  EXPECT_EQ(gaps().size(), 4U) << "and at once from then on";
}

TEST_F(Reports, AreCountedWhereTheyAreTooMany) {
  log.next_status = absl::ResourceExhaustedError("disk full");
  for (std::uint64_t i = 1; i <= 300; ++i) lose(i);
  run(absl::Seconds(30));
  log.next_status = absl::OkStatus();
  run(absl::Seconds(15));
  EXPECT_EQ(gaps().size(), 256U);
  const std::vector<Event> rest = sent(Which::BUS_REJECTED);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(text(rest[0].payload().getBusRejected().getFrom()), "alpha");
  EXPECT_EQ(rest[0].payload().getBusRejected().getCount(), 44U);
  EXPECT_EQ(complaints.size(), 2U);
}

TEST_F(NodeTest, QueuesOfTheBusThatAreFullBecomeAnEvent) {
  node->on_slow_subscriber("beta", 7);
  node->on_slow_subscriber("", 3);
  run();
  const std::vector<Event> slow = sent(Which::BUS_SLOW_SUBSCRIBER);
  ASSERT_EQ(slow.size(), 2U);
  const schema::SlowSubscriber::Reader named = slow[0].payload().getBusSlowSubscriber();
  EXPECT_EQ(text(named.getSubscriber()), "beta");
  EXPECT_EQ(named.getBacklog(), 7U);
  EXPECT_EQ(text(named.getDone()), "dropped: it gets them from the log, or is told");
  EXPECT_EQ(text(slow[1].payload().getBusSlowSubscriber().getSubscriber()),
            "a process that subscribes to alpha");
}

TEST_F(NodeTest, PublishesForOthersUnderTheirNames) {
  std::vector<Event> heard;
  spawn("observer", {"resource.>", "latency.>"},
        [&](Context&, const Event& event) { heard.push_back(event); });
  std::vector<absl::StatusOr<Event>> told;
  const auto wish = [&](const std::string& name, bool durable) {
    Draft draft = pool.draft("x");
    if (durable) {
      draft.payload().initResourceAccessed().setResource("x");
    } else {
      draft.payload().initLatencyMeasured().setClient("x");
    }
    node->publish_for(name, std::move(draft),
                      Reply<Event>(far_future, [&](absl::StatusOr<Event> event) {
                        told.push_back(std::move(event));
                      }));
  };
  log.hold = true;
  wish("meter", true);
  run();
  EXPECT_TRUE(told.empty()) << "not before it is in the log";
  log.hold = false;
  log.release();
  run();
  ASSERT_EQ(told.size(), 1U);
  ASSERT_TRUE(told[0].ok()) << told[0].status();
  EXPECT_EQ(told[0]->origin(), "alpha/for-meter");
  EXPECT_EQ(told[0]->root(), told[0]->id());
  wish("meter", false);
  run();
  ASSERT_EQ(told.size(), 2U);
  ASSERT_TRUE(told[1].ok()) << told[1].status();
  EXPECT_EQ(told[1]->previous(0), told[0]->sequence());
  EXPECT_EQ(heard.size(), 2U);
  EXPECT_EQ(sent(Which::RESOURCE_ACCESSED).size(), 1U);
  EXPECT_EQ(sent(Which::LATENCY_MEASURED).size(), 1U);

  for (const std::string& name : {std::string("a/b"), std::string(), std::string(61, 'x')}) {
    wish(name, true);
    EXPECT_TRUE(absl::IsInvalidArgument(told.back().status())) << name;
  }
  log.next_status = absl::ResourceExhaustedError("full");
  wish("meter", true);
  run();
  EXPECT_TRUE(absl::IsResourceExhausted(told.back().status()));
  log.next_status = absl::OkStatus();
  for (std::size_t i = 1; i < Node::publishers_max; ++i) wish(absl::StrCat("n", i), false);
  run();
  EXPECT_TRUE(told.back().ok()) << told.back().status();
  wish("one-more", false);
  run();
  EXPECT_TRUE(absl::IsResourceExhausted(told.back().status()));
  wish("meter", false);
  run();
  EXPECT_TRUE(told.back().ok()) << "who is known goes on";
}

TEST_F(NodeTest, AbortsUnderANameThatItsOwnLogWouldRefuse) {
  EXPECT_DEATH(
      Node(NodeSeams{scheduler, *bus, log, pool}, NodeOptions{.name = "host1.example.com"}),
      "host1.example.com/node");
  EXPECT_DEATH(spawn("a.b"), "alpha/a.b");
}

}  // namespace
}  // namespace supercloud
