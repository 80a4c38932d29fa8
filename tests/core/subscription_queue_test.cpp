// Subscriptions with bounded queues of their own: what goes, what is told of it, and in which order.
#include "core/subscription_queue.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/random.h"
#include "tests/core/node_fixture.h"

namespace supercloud {
namespace {

using Which = schema::Payload::Which;
using Full = Queueing::Full;

class SubscriptionQueueTest : public NodeTest {
 protected:
  // What an actor was given, in its order: events, and in the place of others that they are missing.
  struct Given {
    std::uint64_t after = 0;  // of an event: the one before
    std::uint64_t up_to = 0;
    std::string origin;
    std::string topic;  // empty: a gap
    std::string prefix;
  };

  struct Wish {
    std::string pattern;
    Queueing queueing;
  };

  Context& listener(const std::string& name, const std::vector<Wish>& wishes) {
    const auto made = std::make_shared<Context*>();
    node->spawn(name, [this, made, wishes](Context& context) {
      *made = &context;
      for (const Wish& wish : wishes)
        context.subscribe(Pattern::of(wish.pattern), nullptr, wish.queueing);
      context.on_gap([this](const BusGap& gap) {
        given.push_back({gap.after, gap.up_to, gap.origin, "", gap.prefix});
      });
      return std::make_unique<Puppet>(
          context,
          [this](Context&, const Event& event) {
            given.push_back({event.sequence() - 1, event.sequence(), std::string(event.origin()),
                             std::string(event.topic()), ""});
            if (on_event) on_event(event);
          },
          [this](Message<schema::Request>, Answer answer) {
            given.push_back({.origin = "request"});
            answer(Message<schema::Response>::build(
                [](schema::Response::Builder response) { response.setDone(); }));
          });
    });
    return **made;
  }

  // The first event of an origin waits until its numbers are reserved in the log: from then on all is given at once. Numbers are told as from there.
  Context& publisher(const std::string& name) {
    Context& made = spawn(name);
    made.publish(progress(made, 0));
    run();
    return made;
  }
  // How many percent, of a VM.
  static Draft progress_of(Context& context, const std::string& vm, unsigned percent) {
    Draft draft = context.draft(vm);
    draft.payload().initMigrationProgress().setPercent(percent);
    return draft;
  }
  // As if in one turn: nothing is taken meanwhile.
  static void say(Context& context, unsigned count, const std::string& vm = "web1") {
    for (unsigned i = 1; i <= count; ++i) context.publish(progress_of(context, vm, i));
  }

  std::vector<std::string> story() const {
    std::vector<std::string> story;
    for (const Given& each : given) {
      if (each.origin == "request") {
        story.emplace_back("request");
      } else if (each.topic.empty()) {
        story.push_back(absl::StrCat("gap ", each.after, "-", each.up_to - 1));
      } else {
        story.push_back(absl::StrCat(each.up_to - 1));
      }
    }
    return story;
  }
  using Story = std::vector<std::string>;

  std::vector<Given> given;
  std::function<void(const Event&)> on_event;
};

TEST_F(SubscriptionQueueTest, ThatIsNotFullGivesAllInTheirOrder) {
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.>", {.full = Full::drop_oldest, .events_max = 4}}});
  say(speaker, 4);
  run();
  EXPECT_EQ(story(), (Story{"1", "2", "3", "4"}));
  EXPECT_TRUE(sent(Which::BUS_GAP).empty());
}

TEST_F(SubscriptionQueueTest, LetsTheOldestGoAndTellsThatInItsPlaceAndOnTheBusOnce) {
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.progress.>", {.full = Full::drop_oldest, .events_max = 3}}});
  say(speaker, 10);
  run();
  EXPECT_EQ(story(), (Story{"gap 1-7", "8", "9", "10"}));
  EXPECT_EQ(given[0].prefix, "migration.progress.");
  const std::vector<Event> gaps = sent(Which::BUS_GAP);
  ASSERT_EQ(gaps.size(), 1U);
  const schema::Gap::Reader gap = gaps[0].payload().getBusGap();
  EXPECT_EQ(text(gap.getSubscriber()), "alpha/a");
  EXPECT_EQ(text(gap.getOrigin()), "alpha/speaker");
  EXPECT_EQ(text(gap.getPrefix()), "migration.progress.");
  EXPECT_EQ(gap.getAfter(), 1U);
  EXPECT_EQ(gap.getUpTo(), 8U);
  EXPECT_EQ(text(gap.getDone()), "its queue of 3 was full, and it lets the oldest go");
  const std::vector<Event> slow = sent(Which::BUS_SLOW_SUBSCRIBER);
  ASSERT_EQ(slow.size(), 1U);
  EXPECT_EQ(text(slow[0].payload().getBusSlowSubscriber().getSubscriber()), "alpha/a");
  EXPECT_EQ(slow[0].payload().getBusSlowSubscriber().getBacklog(), 2U);
  EXPECT_EQ(text(slow[0].payload().getBusSlowSubscriber().getDone()), "drops its oldest");
}

TEST_F(SubscriptionQueueTest, TellsAGapBeforeWhatItsOriginSaidLaterUnderOtherSubscriptions) {
  Context& speaker = publisher("speaker");
  Context& other = publisher("other");
  listener("a", {{"migration.>", {.full = Full::drop_oldest, .events_max = 1}}, {"vm.>", {}}});
  say(speaker, 2);                   // 1, 2
  speaker.publish(paused(speaker));  // 3
  say(other, 1);
  say(speaker, 1);  // 4
  run();
  ASSERT_EQ(given.size(), 4U);
  EXPECT_EQ(story(), (Story{"gap 1-2", "3", "gap 1-1", "4"}));
  EXPECT_EQ(given[2].origin, "alpha/other");
}

TEST_F(SubscriptionQueueTest, KeepsItsPlaceAmongRequestsAndOrdinarySubscriptions) {
  Context& speaker = publisher("speaker");
  Context& a =
      listener("a", {{"migration.>", {.full = Full::drop_oldest, .events_max = 2}}, {"vm.>", {}}});
  say(speaker, 1);
  speaker.publish(paused(speaker));
  a.after(absl::ZeroDuration(), [] {});
  say(speaker, 1);
  Message<schema::Request> ask =
      Message<schema::Request>::build([](schema::Request::Builder request) { request.setPing(); });
  bool answered = false;
  bus->request({"alpha", "a"}, std::string(ask.bytes()),
               Reply<std::string>(
                   far_future, [&](absl::StatusOr<std::string> bytes) { answered = bytes.ok(); }));
  run();
  EXPECT_TRUE(answered);
  EXPECT_EQ(story(), (Story{"1", "2", "3", "request"}));
}

TEST_F(SubscriptionQueueTest, DoesNotCountAgainstTheMailboxNorTheMailboxAgainstIt) {
  make_node({.mailbox_max = 4});
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.>", {.full = Full::drop_oldest}}, {"vm.>", {}}});
  say(speaker, 6);
  for (int i = 0; i < 4; ++i) speaker.publish(paused(speaker));
  run();
  EXPECT_EQ(story(), (Story{"gap 1-2", "3", "4", "5", "6", "7", "8", "9", "10"}))
      << "0 is as many as a mailbox has";
  EXPECT_TRUE(sent(Which::BUS_ACTOR_FAILED).empty());
}

TEST_F(SubscriptionQueueTest, ConflatingKeepsTheNewestOfEachTopicInThePlaceOfTheOlder) {
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.>", {.full = Full::conflate, .events_max = 8}}});
  say(speaker, 3, "web1");  // 1 to 3
  say(speaker, 2, "web2");  // 4, 5
  say(speaker, 1, "web1");  // 6
  run();
  EXPECT_EQ(story(), (Story{"6", "5"}));
  EXPECT_TRUE(sent(Which::BUS_GAP).empty());
  say(speaker, 2, "web1");
  run();
  EXPECT_EQ(story(), (Story{"6", "5", "8"}));
}

TEST_F(SubscriptionQueueTest, ConflatingLetsTheOldestGoWhereThereAreTooManyTopics) {
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.>", {.full = Full::conflate, .events_max = 2}}});
  for (const char* vm : {"web1", "web2", "web3", "web2", "web3"}) say(speaker, 1, vm);
  run();
  EXPECT_EQ(story(), (Story{"gap 1-1", "4", "5"}));
  EXPECT_EQ(sent(Which::BUS_GAP).size(), 1U);
  const std::vector<Event> slow = sent(Which::BUS_SLOW_SUBSCRIBER);
  ASSERT_EQ(slow.size(), 1U);
  EXPECT_EQ(text(slow[0].payload().getBusSlowSubscriber().getDone()),
            "keeps the newest of each topic");
}

TEST_F(SubscriptionQueueTest, ATopicThatChangesAllTheTimeDoesNotStarveTheOthers) {
  Context& speaker = publisher("speaker");
  on_event = [&](const Event&) {
    // As much again as is taken, of one topic.
    if (given.size() < 50) say(speaker, 3, "web1");
  };
  listener("a", {{"migration.>", {.full = Full::conflate, .events_max = 3}}});
  for (const char* vm : {"web1", "web2", "web3"}) say(speaker, 1, vm);
  run();
  ASSERT_GE(given.size(), 3U);
  EXPECT_EQ(given[1].topic, "migration.progress.main.web2");
  EXPECT_EQ(given[2].topic, "migration.progress.main.web3");
}

TEST_F(SubscriptionQueueTest, AnEventIsGivenOnceUnderTheFirstSubscriptionThatItMatches) {
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.>", {}},
                 {"migration.progress.>", {.full = Full::drop_oldest, .events_max = 1}}});
  say(speaker, 3);
  run();
  EXPECT_EQ(story(), (Story{"1", "2", "3"}));
}

TEST_F(SubscriptionQueueTest, WhatItHoldsStillComesWhenTheSubscriptionEnds) {
  Context& speaker = publisher("speaker");
  Context& a = listener("a", {{"migration.>", {.full = Full::drop_oldest, .events_max = 2}}});
  say(speaker, 5);
  a.unsubscribe(Pattern::of("migration.>"));
  say(speaker, 5);
  run();
  EXPECT_EQ(story(), (Story{"gap 1-3", "4", "5"}));
  ASSERT_EQ(sent(Which::BUS_GAP).size(), 1U);
  a.subscribe(Pattern::of("migration.>"), nullptr, {.full = Full::conflate, .events_max = 1});
  say(speaker, 2);
  run();
  EXPECT_EQ(story(), (Story{"gap 1-3", "4", "5", "12"}));
  EXPECT_EQ(bus->subscriptions["migration."], 1);
}

TEST_F(SubscriptionQueueTest, GoesWithAnActorThatFailsAndWhatItLetGoIsToldBefore) {
  Context& speaker = publisher("speaker");
  Context& a = listener("a", {{"migration.>", {.full = Full::drop_oldest, .events_max = 2}}});
  say(speaker, 5);
  a.fail(absl::InternalError("a bug"));
  say(speaker, 5);
  run();
  EXPECT_TRUE(given.empty());
  const std::vector<Event> gaps = sent(Which::BUS_GAP);
  ASSERT_EQ(gaps.size(), 1U);
  EXPECT_EQ(gaps[0].payload().getBusGap().getUpTo(), 9U);
  run(absl::Seconds(1));
  say(speaker, 1);
  run();
  EXPECT_EQ(story(), (Story{"11"})) << "the next one has an empty queue";
}

// Every turn takes a while.
class SlowTurns final : public Scheduler {
 public:
  explicit SlowTurns(VirtualScheduler& scheduler) : scheduler_(scheduler) {}
  const Clock& clock() const override { return scheduler_; }
  TimerId at(Instant when, Task task) override { return scheduler_.at(when, std::move(task)); }
  void cancel(TimerId timer) override { scheduler_.cancel(timer); }
  void post(Task task) override {
    scheduler_.at(scheduler_.now() + absl::Milliseconds(10), std::move(task));
  }

 private:
  VirtualScheduler& scheduler_;
};

TEST_F(SubscriptionQueueTest, OfAnActorThatNeverCatchesUpTheGapsAreToldAtABoundedRate) {
  SlowTurns slow(scheduler);
  node = std::make_unique<Node>(NodeSeams{slow, *bus, log, pool},
                                NodeOptions{.name = "alpha", .batch = 1});
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.>", {.full = Full::drop_oldest, .events_max = 8}}});
  for (int hundredth = 0; hundredth < 6000; ++hundredth) {
    say(speaker, 3);
    run(absl::Milliseconds(10));
  }
  const std::size_t gaps = sent(Which::BUS_GAP).size();
  EXPECT_GE(gaps, 5U) << "one in ten seconds";
  EXPECT_LE(gaps, 7U);
  EXPECT_EQ(sent(Which::BUS_SLOW_SUBSCRIBER).size(), 1U) << "it has not caught up since";
  EXPECT_GT(given.size(), 500U);
  run(absl::Seconds(1));
  EXPECT_EQ(sent(Which::BUS_GAP).size(), gaps + 1) << "the rest when it has caught up";
  std::uint64_t told = 0;
  for (const Given& each : given) told = std::max(told, each.up_to);
  EXPECT_EQ(told, 18'001U);
  node.reset();  // before its scheduler
}

TEST_F(SubscriptionQueueTest, WhatWasLetGoIsToldWhenTheNodeLeaves) {
  Context& speaker = publisher("speaker");
  listener("a", {{"migration.>", {.full = Full::drop_oldest, .events_max = 2}}});
  say(speaker, 3);
  node->leave("test", nullptr);
  run();
  EXPECT_EQ(sent(Which::BUS_GAP).size(), 1U);
}

TEST_F(SubscriptionQueueTest, AnActorThatIsNotTakingGetsNoMoreMemoryThanItsQueueIsLong) {
  SubscriptionQueue queue(Full::drop_oldest, "migration.", 4);
  Context& speaker = publisher("speaker");
  std::vector<std::uint64_t> tickets;
  for (unsigned i = 0; i < 1000; ++i) {
    const auto pushed = queue.push(speaker.publish(progress(speaker, i)));
    ASSERT_TRUE(pushed);
    tickets.push_back(pushed->ticket);
    EXPECT_LE(queue.tickets(), 5U);
  }
  EXPECT_FALSE(queue.is_void(tickets.front())) << "where the gap is told";
  EXPECT_TRUE(queue.is_void(tickets[500]));
}

// ---- of several origins, and of many bytes -------------------------------------------------------------------------

// As said by an actor at a time, of so many bytes at least.
Event said(EventPool& pool, const std::string& origin, std::uint64_t sequence, std::uint64_t time,
           const std::string& vm = "web1", std::size_t bytes = 0) {
  Draft draft = pool.draft(vm);
  draft.payload().initVmPaused().setNode(std::string(bytes, 'x'));
  draft.set_topic().IgnoreError();
  Envelope envelope;
  envelope.origin = origin;
  envelope.incarnation = 1;
  envelope.sequence = sequence;
  envelope.time = {time};
  return *std::move(draft).seal(envelope);
}

TEST_F(SubscriptionQueueTest, ConflatingWhatAnotherOriginSaidBeforeComesTooLate) {
  SubscriptionQueue queue(Full::conflate, "vm.", 4);
  const auto pushed = queue.push(said(pool, "b/maker", 1, 50));
  ASSERT_TRUE(pushed);
  for (const std::uint64_t sequence : {1, 2}) {
    const auto late = queue.push(said(pool, "a/maker", sequence, 30 + sequence));
    ASSERT_TRUE(late);
    EXPECT_EQ(late->ticket, 0U);
    EXPECT_EQ(late->lost, 0U);
  }
  EXPECT_EQ(queue.take(pushed->ticket).event.id().to_string(), "b/maker:1:1");
  EXPECT_TRUE(queue.empty()) << "nothing is told of it";
  // It is told where nothing newer waits, and gives way to what is.
  const auto older = queue.push(said(pool, "a/maker", 3, 40));
  queue.push(said(pool, "b/maker", 2, 60));
  queue.push(said(pool, "c/maker", 1, 60));
  queue.push(said(pool, "a/maker", 4, 59));
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.take(older->ticket).event.id().to_string(), "c/maker:1:1");
}

TEST_F(SubscriptionQueueTest, ConflatingOneOriginIsBelievedInItsOrderWhateverItsClock) {
  SubscriptionQueue queue(Full::conflate, "vm.", 4);
  const auto pushed = queue.push(said(pool, "b/maker", 1, 50));
  queue.push(said(pool, "b/maker", 2, 40));
  EXPECT_EQ(queue.take(pushed->ticket).event.sequence(), 2U);
}

TEST_F(SubscriptionQueueTest, ConflatingNoMoreBytesWaitThanMayWhereWhatIsReplacedGrows) {
  constexpr std::size_t bytes_max = 10'000;
  SubscriptionQueue queue(Full::conflate, "vm.", 1000, bytes_max);
  std::uint64_t sequence = 0;
  std::size_t lost = 0, voided = 0;
  for (const std::size_t bytes : {10U, 3'000U, 20'000U, 10U, 3'000U}) {
    for (const char* vm : {"web1", "web2", "web3", "web4", "web5"}) {
      ++sequence;
      const auto pushed = queue.push(said(pool, "b/maker", sequence, sequence, vm, bytes));
      ASSERT_TRUE(pushed);
      lost += pushed->lost;
      voided += pushed->voided;
      EXPECT_EQ(queue.tickets(), queue.size() + (lost > 0 ? 1U : 0U));
      if (bytes == 20'000U) {
        EXPECT_EQ(queue.size(), 1U) << "one may wait that is larger";
      }
    }
  }
  EXPECT_GT(lost, 5U);
  EXPECT_EQ(voided, lost - 1);
  std::size_t waiting = 0;
  std::uint64_t newest = 0;
  std::optional<BusGap> gap;
  while (const std::optional<std::uint64_t> ticket = queue.first()) {
    SubscriptionQueue::Taken taken = queue.take(*ticket);
    if (taken.gap) {
      gap = std::move(taken.gap);
      continue;
    }
    waiting += taken.event.bytes().size();
    newest = std::max(newest, taken.event.sequence());
  }
  EXPECT_LE(waiting, bytes_max);
  EXPECT_EQ(newest, sequence);
  ASSERT_TRUE(gap);
  EXPECT_NE(gap->why.find("its queue of 10000 bytes was full"), std::string::npos) << gap->why;
  EXPECT_EQ(queue.untold().size(), 1U);
}

// ---- over seeds ----------------------------------------------------------------------------------------------------

// What a subscription was owed, against what it was given and told.
class Judge {
 public:
  void published(const Event& event) {
    const std::string origin(event.origin());
    published_[origin].insert(event.sequence());
    if (event.type() == Which::VM_PAUSED) ordinary_[origin].insert(event.sequence());
    last_[std::string(event.topic())] = {origin, event.sequence()};
  }
  void given(const std::string& origin, const std::string& topic, std::uint64_t sequence) {
    auto& all = given_[origin];
    EXPECT_TRUE(all.insert(sequence).second) << origin << " " << sequence << " came twice";
    EXPECT_GT(sequence, std::exchange(newest_[topic], sequence)) << "out of order, of " << topic;
    in_order_ = in_order_ && sequence > std::exchange(of_origin_[origin], sequence);
  }
  void told(const std::string& origin, std::uint64_t after, std::uint64_t up_to) {
    for (std::uint64_t i = after + 1; i <= up_to; ++i) told_[origin].insert(i);
    in_order_ = in_order_ && after >= of_origin_[origin];
  }
  bool all_given_or_told() {
    return std::ranges::all_of(published_, [this](const auto& stream) {
      return std::ranges::all_of(
          stream.second, [&](std::uint64_t sequence) { return known(stream.first, sequence); });
    });
  }
  bool last_of_each_topic_given_or_told() {
    return std::ranges::all_of(last_, [this](const auto& entry) {
      return known(entry.second.first, entry.second.second);
    });
  }
  bool in_order() const { return in_order_; }
  std::size_t missed() const {
    std::size_t missed = 0;
    for (const auto& [origin, all] : told_) missed += all.size();
    return missed;
  }

 private:
  bool known(const std::string& origin, std::uint64_t sequence) {
    return given_[origin].contains(sequence) ||
           (told_[origin].contains(sequence) && !ordinary_[origin].contains(sequence));
  }
  std::map<std::string, std::set<std::uint64_t>> published_, ordinary_, given_, told_;
  std::map<std::string, std::pair<std::string, std::uint64_t>> last_;
  std::map<std::string, std::uint64_t> newest_, of_origin_;
  bool in_order_ = true;
};

class SubscriptionQueueSeeds : public SubscriptionQueueTest {
 protected:
  // Publishers who say much and little at a time, of several VMs each, to an actor with a queue of `events_max`.
  Judge play(std::uint64_t seed, Queueing queueing) {
    make_node();
    bus->keep_published = false;
    given.clear();
    Context* speakers[] = {&publisher("one"), &publisher("two"), &publisher("three")};
    listener("a", {{"vm.>", {}}, {"migration.>", queueing}});
    Judge judge;
    Random random(seed);
    for (int round = 0; round < 40; ++round) {
      const std::uint64_t count = random.chance(300'000) ? random.between(1, 60) : 2;
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t number = random.between(0, 2);
        Context& speaker = *speakers[number];
        // No two say anything of one VM: then its last is that of its origin.
        const std::string vm = absl::StrCat("vm", number, "-", random.between(0, 4));
        judge.published(random.chance(100'000) ? speaker.publish(paused(speaker))
                                               : speaker.publish(progress_of(speaker, vm, 1)));
      }
      if (random.chance(700'000)) run();
    }
    run(absl::Seconds(20));
    for (const Given& each : given) {
      if (each.topic.empty()) {
        judge.told(each.origin, each.after, each.up_to);
      } else if (!each.topic.starts_with("vm.")) {
        judge.given(each.origin, each.topic, each.up_to);
      } else {
        judge.given(each.origin, absl::StrCat(each.topic, each.origin), each.up_to);
      }
    }
    return judge;
  }
};

TEST_F(SubscriptionQueueSeeds, DroppingTheOldestWhatIsGivenAndWhatIsToldIsAllInOrder) {
  std::size_t missed = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Judge judge = play(seed, {.full = Full::drop_oldest, .events_max = 1 + seed % 16});
    EXPECT_TRUE(judge.all_given_or_told()) << "seed " << seed;
    EXPECT_TRUE(judge.in_order()) << "seed " << seed;
    missed += judge.missed();
  }
  EXPECT_GT(missed, 1000U) << "or nothing was tried";
}

TEST_F(SubscriptionQueueSeeds, ConflatingTheLastOfEachTopicComesOrIsTold) {
  std::size_t missed = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const std::size_t max = 1 + seed % 20;
    Judge judge = play(seed, {.full = Full::conflate, .events_max = max});
    EXPECT_TRUE(judge.last_of_each_topic_given_or_told()) << "seed " << seed;
    if (max >= 15) {
      EXPECT_EQ(judge.missed(), 0U) << "all topics have room, seed " << seed;
    }
    missed += judge.missed();
  }
  EXPECT_GT(missed, 100U) << "or nothing was tried";
}

}  // namespace
}  // namespace supercloud
