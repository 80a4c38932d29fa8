// Subscriptions that publishers wait for: what a node says of them, and what it answers to who waits.
#include <time.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/held_events.h"
#include "tests/core/node_fixture.h"
#include "tests/core/sealed.h"

namespace supercloud {
namespace {

using Which = schema::Payload::Which;
using Numbers = std::vector<std::uint64_t>;

class HoldingTest : public NodeTest {
 protected:
  // Takes nothing of itself: take() does.
  Context& holder(const std::string& name, const std::string& pattern, std::size_t events_max = 0) {
    const auto made = std::make_shared<Context*>();
    node->spawn(name, [made, pattern, events_max](Context& context) {
      *made = &context;
      context.subscribe(Pattern::of(pattern), nullptr,
                        {.full = Queueing::Full::hold, .events_max = events_max});
      return std::make_unique<Puppet>(context, nullptr);
    });
    run();
    return **made;
  }

  // Of another node's actor "b/maker".
  Event made(std::uint64_t sequence, std::uint64_t incarnation = 1) {
    Draft draft = pool.draft("web1");
    draft.payload().initVmStarted().setNode("b");
    return sealed(std::move(draft), sequence, incarnation);
  }
  Event comes(std::uint64_t sequence, std::uint64_t incarnation = 1) {
    Event event = made(sequence, incarnation);
    bus->receiver->on_event(event);
    return event;
  }
  Event paused(std::uint64_t sequence) {
    Draft draft = pool.draft("web1");
    draft.payload().initVmPaused().setNode("b");
    return sealed(std::move(draft), sequence, 1);
  }
  static Event sealed(Draft draft, std::uint64_t sequence, std::uint64_t incarnation) {
    draft.set_topic().IgnoreError();
    Envelope envelope;
    envelope.origin = "b/maker";
    envelope.incarnation = incarnation;
    envelope.sequence = sequence;
    return *std::move(draft).seal(envelope);
  }

  struct Asked {
    std::optional<absl::Status> status;
    Numbers taken;
    bool answered() const { return status.has_value(); }
  };
  std::shared_ptr<Asked> ask(const std::string& actor, const Numbers& sequences,
                             std::uint64_t incarnation = 1, const std::string& origin = "b/maker") {
    std::vector<EventId> ids;
    for (const std::uint64_t each : sequences) ids.push_back({origin, incarnation, each});
    return ask_by_id(actor, ids);
  }
  std::shared_ptr<Asked> ask_by_id(const std::string& actor, const std::vector<EventId>& ids) {
    auto asked = std::make_shared<Asked>();
    const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
      auto await = builder.initAwaitTaken();
      await.setActor(actor);
      auto events = await.initEvents(static_cast<unsigned>(ids.size()));
      for (unsigned i = 0; i < events.size(); ++i) ids[i].write(events[i]);
    });
    bus->receiver->on_request(
        "node", std::string(request.bytes()),
        Reply<std::string>(far_future, [asked](const absl::StatusOr<std::string>& bytes) {
          const auto response = Message<schema::Response>::parse(*bytes);
          const auto reader = response->reader();
          asked->status = absl::Status(static_cast<absl::StatusCode>(reader.getCode()), "");
          if (reader.isTaken())
            for (const auto id : reader.getTaken())
              asked->taken.push_back(EventId::from(id).sequence);
        }));
    run();
    return asked;
  }

  // What was said last of who holds, as "actor pattern"; empty: nothing was said.
  std::optional<std::vector<std::string>> said() const {
    const std::vector<Event> all = sent(Which::BUS_HOLDING);
    if (all.empty()) return std::nullopt;
    std::vector<std::string> holds;
    for (const auto hold : all.back().payload().getBusHolding().getHolds())
      holds.push_back(std::string(text(hold.getActor())) + " " +
                      std::string(text(hold.getPattern())));
    return holds;
  }
  std::vector<std::pair<std::uint64_t, std::string>> slow() const {
    std::vector<std::pair<std::uint64_t, std::string>> found;
    for (const Event& event : sent(Which::BUS_SLOW_SUBSCRIBER)) {
      const auto e = event.payload().getBusSlowSubscriber();
      found.emplace_back(e.getBacklog(), text(e.getDone()));
    }
    return found;
  }
};

TEST_F(HoldingTest, WhoHoldsIsSaidAtOnceAndEachSecondAndThatNobodyDoesOnce) {
  run(absl::Seconds(3));
  EXPECT_FALSE(said()) << "nobody holds";
  Context& taker = holder("taker", "vm.>");
  EXPECT_EQ(said(), std::vector<std::string>{"taker vm.>"});
  const std::size_t before = sent(Which::BUS_HOLDING).size();
  run(absl::Seconds(5));
  EXPECT_EQ(sent(Which::BUS_HOLDING).size(), before + 5);
  holder("other", "migration.accepted.>");
  EXPECT_EQ(said(), (std::vector<std::string>{"taker vm.>", "other migration.accepted.>"}));
  taker.unsubscribe(Pattern::of("vm.>"));
  run();
  EXPECT_EQ(said(), std::vector<std::string>{"other migration.accepted.>"});
  node->fail_actor("other", absl::InternalError("a test"));
  run();
  EXPECT_EQ(said(), std::vector<std::string>{});
  run(absl::Seconds(5));
  EXPECT_EQ(said(), std::vector<std::string>{"other migration.accepted.>"}) << "it runs again";
}

TEST_F(HoldingTest, WhatIsTakenIsAnsweredAsSoonAsItIs) {
  Context& taker = holder("taker", "vm.>");
  const Event one = comes(1);
  const Event two = comes(2);
  const auto asked = ask("taker", {1, 2});
  EXPECT_FALSE(asked->answered());
  taker.taken(one);
  run();
  EXPECT_EQ(asked->taken, Numbers{1});
  const auto again = ask("taker", {2});
  EXPECT_FALSE(again->answered());
  taker.taken(two);
  run();
  EXPECT_EQ(again->taken, Numbers{2});
  EXPECT_EQ(ask("taker", {1, 2})->taken, (Numbers{1, 2})) << "also later";
}

TEST_F(HoldingTest, TakenMeansAllThatTheOriginSaidBefore) {
  Context& taker = holder("taker", "vm.>");
  for (const std::uint64_t each : {1, 2, 3}) comes(each);
  const Event four = comes(4, 2);
  comes(5, 2);
  taker.taken(four);
  EXPECT_EQ(ask("taker", {1, 2, 3})->taken, (Numbers{1, 2, 3}));
  EXPECT_EQ(ask("taker", {4, 5}, 2)->taken, Numbers{4});
}

TEST_F(HoldingTest, WhatIsNotTakenIsAnsweredInVainAfterAMoment) {
  holder("taker", "vm.>");
  comes(1);
  const auto asked = ask("taker", {1});
  run(absl::Seconds(1));
  EXPECT_FALSE(asked->answered());
  run(absl::Seconds(3));
  ASSERT_TRUE(asked->answered());
  EXPECT_TRUE(asked->status->ok());
  EXPECT_EQ(asked->taken, Numbers{});
}

TEST_F(HoldingTest, WhatIsOnItsWayIsWaitedFor) {
  Context& taker = holder("taker", "vm.>");
  const auto asked = ask("taker", {1});
  EXPECT_FALSE(asked->answered());
  const Event one = comes(1);
  run();
  EXPECT_FALSE(asked->answered()) << "it came, and is not taken";
  taker.taken(one);
  run();
  EXPECT_EQ(asked->taken, Numbers{1});
}

TEST_F(HoldingTest, WhatNeverComesCountsAsTakenWhenItWasAskedForLongEnough) {
  holder("taker", "vm.>");
  Duration waited;
  while (ask("taker", {1})->taken.empty()) {
    run(absl::Seconds(1));
    waited += absl::Seconds(1);
    ASSERT_LT(waited, 2 * HeldEvents::unseen_max);
  }
  EXPECT_GE(waited + absl::Milliseconds(100), HeldEvents::unseen_max);
}

TEST_F(HoldingTest, WhatWasToldAsAGapOrPassedByCountsAsTaken) {
  Context& taker = holder("taker", "vm.started.>");
  taker.taken(comes(3));
  EXPECT_EQ(ask("taker", {1, 2})->taken, (Numbers{1, 2})) << "later ones came";
  BusGap gap{.origin = "b/maker",
             .incarnation = 1,
             .prefix = "vm.started.main.",
             .after = 3,
             .up_to = 5,
             .why = "a test"};
  bus->receiver->on_gap(gap);
  EXPECT_FALSE(ask("taker", {5})->answered()) << "of a part of what it subscribes";
  gap.prefix = "vm.";
  bus->receiver->on_gap(gap);
  EXPECT_EQ(ask("taker", {4, 5})->taken, (Numbers{4, 5}));
  EXPECT_FALSE(ask("taker", {6})->answered());
}

TEST_F(HoldingTest, WhereNothingHoldsItIsAnsweredAtOnceAndInVain) {
  spawn("other", {"vm.>"});
  comes(1);
  for (const char* actor : {"other", "nobody"}) {
    const auto asked = ask(actor, {1});
    ASSERT_TRUE(asked->answered());
    EXPECT_TRUE(asked->status->ok());
    EXPECT_EQ(asked->taken, Numbers());
  }
}

TEST_F(HoldingTest, WhoFailsIsReleasedAndHasTakenNothing) {
  Context& taker = holder("taker", "vm.>");
  taker.taken(comes(1));
  comes(2);
  const auto asked = ask("taker", {2});
  EXPECT_FALSE(asked->answered());
  node->fail_actor("taker", absl::InternalError("a test"));
  run();
  ASSERT_TRUE(asked->answered());
  EXPECT_EQ(asked->taken, Numbers());
  EXPECT_EQ(said(), std::vector<std::string>{});
  EXPECT_EQ(ask("taker", {2})->taken, Numbers()) << "until it runs again";
  run(absl::Seconds(2));
  comes(3);
  EXPECT_EQ(said(), std::vector<std::string>{"taker vm.>"});
  EXPECT_FALSE(ask("taker", {3})->answered()) << "it holds again";
  EXPECT_EQ(ask("taker", {2})->taken, Numbers{2}) << "it was said before";
}

TEST_F(HoldingTest, MoreThanMayWaitIsAFailureAndHalfOfThemIsSaid) {
  Context& taker = holder("taker", "vm.>", 8);
  Event last;
  for (std::uint64_t each = 1; each <= 3; ++each) last = comes(each);
  run();
  EXPECT_TRUE(slow().empty());
  comes(4);
  run();
  using Said = std::vector<std::pair<std::uint64_t, std::string>>;
  EXPECT_EQ(slow(), (Said{{4, "holds its publishers"}}));
  for (std::uint64_t each = 5; each <= 8; ++each) last = comes(each);
  run();
  EXPECT_EQ(slow().size(), 1U) << "once";
  EXPECT_TRUE(sent(Which::BUS_ACTOR_FAILED).empty());
  taker.taken(last);
  for (std::uint64_t each = 9; each <= 12; ++each) comes(each);
  run();
  EXPECT_EQ(slow().size(), 2U) << "it had caught up";
  for (std::uint64_t each = 13; each <= 17; ++each) comes(each);
  run();
  ASSERT_EQ(sent(Which::BUS_ACTOR_FAILED).size(), 1U);
  const std::string why(
      text(sent(Which::BUS_ACTOR_FAILED)[0].payload().getBusActorFailed().getWhy()));
  EXPECT_NE(why.find("8 events wait until it takes them"), std::string::npos) << why;
}

TEST_F(HoldingTest, WhatNobodyIsWaitedForWithDoesNotCount) {
  holder("taker", ">", 2);
  for (std::uint64_t each = 1; each <= 5; ++each) {
    Draft volatile_one = pool.draft("web1");
    volatile_one.payload().initMigrationProgress().setPercent(1);
    bus->receiver->on_event(sealed(std::move(volatile_one), 3 * each, 1));
    bus->receiver->on_event(paused(3 * each + 1));
    Draft of_a_node = pool.draft("b");
    of_a_node.payload().initNodeLeft().setNode("b");
    bus->receiver->on_event(sealed(std::move(of_a_node), 3 * each + 2, 1));
  }
  run();
  EXPECT_TRUE(sent(Which::BUS_ACTOR_FAILED).empty());
  EXPECT_TRUE(slow().empty());
}

TEST_F(HoldingTest, AsksAreBounded) {
  holder("taker", "vm.>");
  comes(1);
  EXPECT_TRUE(absl::IsInvalidArgument(
      *ask("taker", Numbers(HeldEvents::events_per_question_max + 1, 1))->status));
  EXPECT_TRUE(absl::IsInvalidArgument(*ask("taker", Numbers())->status));
  EXPECT_TRUE(
      absl::IsInvalidArgument(*ask_by_id("taker", {{"b/maker", 1, 1}, {"c/maker", 1, 1}})->status));
  std::vector<std::shared_ptr<Asked>> all;
  const auto answered = [&] {
    return std::ranges::count_if(all, [](const auto& each) { return each->answered(); });
  };
  for (std::size_t i = 0; i < HeldEvents::questions_per_node_max + 2; ++i)
    all.push_back(ask("taker", {1}));
  EXPECT_EQ(answered(), 2);
  EXPECT_TRUE(all.front()->answered()) << "the oldest, in vain";
  for (std::size_t i = 0; i < HeldEvents::questions_max; ++i)
    all.push_back(ask("taker", {1}, 1, absl::StrCat("other", i, "/maker")));
  EXPECT_EQ(answered(), 2 + static_cast<std::ptrdiff_t>(HeldEvents::questions_per_node_max));
  EXPECT_FALSE(all.back()->answered());
}

Numbers many(std::uint64_t first) {
  Numbers numbers(HeldEvents::events_per_question_max);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

TEST_F(HoldingTest, WhoAsksForWhatNeverWasKeepsNobodyElseWaiting) {
  holder("taker", "vm.>");
  bool taken = false;
  Duration waited;
  for (std::uint64_t round = 0; !taken; ++round) {
    // Ever other ones: of one node, and of as many as there may be.
    for (std::uint64_t i = 0; i < 8; ++i)
      ask("taker", many(1 + 512 * (8 * round + i)), 1, "liar/maker");
    for (std::uint64_t i = 0; i < 8; ++i)
      ask("taker", many(1), 1, absl::StrCat("lie", 8 * round + i, "/maker"));
    taken = !ask("taker", {1})->taken.empty();
    run(absl::Seconds(1));
    waited += absl::Seconds(1);
    ASSERT_LT(waited, HeldEvents::unseen_max + absl::Seconds(5));
  }
}

// Of this thread.
Duration cpu_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

TEST_F(HoldingTest, ALookAtAllThatMayBeAskedCostsLittleBesideTheAsking) {
  HeldEvents held;
  held.add(Pattern::of("vm.>"), 1);
  std::size_t answered = 0;
  const auto ask_all = [&](Instant now) {
    for (std::size_t i = 0; i < HeldEvents::questions_max; ++i) {
      std::vector<EventId> events;
      for (const std::uint64_t each : many(1)) {
        const std::size_t node = i / HeldEvents::questions_per_node_max;
        events.push_back({absl::StrCat("node", node, "/an-actor-of-it"), 1, 1000 * i + each});
      }
      held.await(std::move(events), now, [&answered](const std::vector<EventId>& taken) {
        EXPECT_TRUE(taken.empty());
        ++answered;
      });
    }
  };
  Instant now{1};
  const Duration begun = cpu_time();
  ask_all(now);
  const Duration asked = cpu_time() - begun;
  Duration most;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(answered, i < 3 ? std::size_t{0} : HeldEvents::questions_max);
    if (i == 2) now = now + HeldEvents::answer_after;  // all of them are due
    const Duration before = cpu_time();
    held.look(now);
    most = std::max(most, cpu_time() - before);
  }
  EXPECT_LT(most, asked / 6);
}

TEST_F(HoldingTest, OfMoreUnseenThanAreRememberedTheRestIsTakenWhenTheFirstAre) {
  holder("taker", "vm.>");
  std::set<std::uint64_t> left;
  for (std::uint64_t i = 1; i <= HeldEvents::unseen_per_node_max + 1024; ++i) left.insert(i);
  Duration waited;
  while (!left.empty()) {
    std::vector<std::shared_ptr<Asked>> all;
    for (auto it = left.begin(); it != left.end();) {
      Numbers some;
      for (; it != left.end() && some.size() < HeldEvents::events_per_question_max; ++it)
        some.push_back(*it);
      all.push_back(ask("taker", some));
    }
    run(absl::Seconds(3));
    for (const auto& asked : all)
      for (const std::uint64_t each : asked->taken) left.erase(each);
    waited += absl::Seconds(3);
    ASSERT_LT(waited, 2 * HeldEvents::unseen_max + absl::Seconds(7)) << left.size() << " left";
  }
}

// ---- beside other subscriptions ------------------------------------------------------------------------------------

TEST_F(HoldingTest, WhatIsHeldIsLetGoByNoQueueOfTheSameActor) {
  for (const Queueing::Full full : {Queueing::Full::drop_oldest, Queueing::Full::conflate}) {
    make_node();
    Context* taker = nullptr;
    std::vector<Event> got;
    Numbers missed;
    node->spawn("taker", [&](Context& context) {
      taker = &context;
      context.subscribe(Pattern::of("vm.>"), nullptr, {.full = full, .events_max = 1});
      context.subscribe(Pattern::of("vm.started.>"), nullptr, {.full = Queueing::Full::hold});
      context.on_gap([&](const BusGap& gap) { missed.push_back(gap.up_to); });
      return std::make_unique<Puppet>(context,
                                      [&](Context&, const Event& event) { got.push_back(event); });
    });
    run();
    for (const std::uint64_t each : {1, 2, 3}) comes(each);
    for (const std::uint64_t each : {4, 5, 6}) bus->receiver->on_event(paused(each));
    run();
    Numbers sequences;
    for (const Event& event : got) sequences.push_back(event.sequence());
    EXPECT_EQ(sequences, (Numbers{1, 2, 3, 6}));
    EXPECT_EQ(missed, full == Queueing::Full::drop_oldest ? Numbers{5} : Numbers());
    EXPECT_FALSE(ask("taker", {1, 2, 3})->answered());
    taker->taken(got.at(2));
    EXPECT_EQ(ask("taker", {1, 2, 3})->taken, (Numbers{1, 2, 3}));
  }
}

TEST_F(HoldingTest, ItEndsWithItsOwnSubscriptionAndNoOtherOfTheSamePattern) {
  Context* taker = nullptr;
  node->spawn("taker", [&](Context& context) {
    taker = &context;
    context.subscribe(Pattern::of("vm.>"));
    context.subscribe(Pattern::of("vm.>"), nullptr, {.full = Queueing::Full::hold});
    return std::make_unique<Puppet>(context, nullptr);
  });
  run();
  taker->unsubscribe(Pattern::of("vm.>"));
  comes(1);
  run();
  EXPECT_EQ(said(), std::vector<std::string>{"taker vm.>"});
  const auto asked = ask("taker", {1});
  EXPECT_FALSE(asked->answered());
  taker->unsubscribe(Pattern::of("vm.>"));
  run();
  EXPECT_EQ(said(), std::vector<std::string>{});
  ASSERT_TRUE(asked->answered());
  EXPECT_EQ(asked->taken, Numbers()) << "it was released";
}

TEST_F(HoldingTest, WhatWaitedForASubscriptionThatEndsWaitsNoLongerAndWhatWaitsForAnotherDoes) {
  Context& taker = holder("taker", "vm.started.>", 8);
  taker.subscribe(Pattern::of("vm.>"), nullptr, {.full = Queueing::Full::hold, .events_max = 8});
  run();
  const auto stops = [&](std::uint64_t sequence) {
    Draft draft = pool.draft("web1");
    draft.payload().initVmStopped().setNode("b");
    bus->receiver->on_event(sealed(std::move(draft), sequence, 1));
  };
  const auto failed = [&] { return sent(Which::BUS_ACTOR_FAILED).size(); };
  for (const std::uint64_t each : {1, 2}) comes(each);
  for (const std::uint64_t each : {3, 4, 5, 6}) stops(each);
  run();
  EXPECT_EQ(slow().size(), 1U);
  taker.unsubscribe(Pattern::of("vm.>"));
  run();
  EXPECT_EQ(said(), std::vector<std::string>{"taker vm.started.>"});
  EXPECT_EQ(ask("taker", {1, 2, 3, 4, 5, 6})->taken, (Numbers{3, 4, 5, 6}));
  EXPECT_FALSE(ask("taker", {1, 2})->answered());
  for (const std::uint64_t each : {7, 8, 9, 10, 11, 12}) comes(each);
  run();
  EXPECT_EQ(failed(), 0U) << "eight may wait, and eight do";
  EXPECT_EQ(slow().size(), 2U) << "it had caught up";
  comes(13);
  run();
  EXPECT_EQ(failed(), 1U);
}

TEST_F(HoldingTest, NothingIsSaidOfItByWhoLeaves) {
  holder("taker", "vm.>");
  const std::size_t before = sent(Which::BUS_HOLDING).size();
  node->leave("a test", [](const absl::Status&) {});
  run(absl::Seconds(3));
  EXPECT_EQ(sent(Which::BUS_HOLDING).size(), before) << "node.left says it";
}

}  // namespace
}  // namespace supercloud
