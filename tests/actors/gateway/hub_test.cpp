// Readers of the hub: the past and what happens, resumed without a hole and without a double; what is missing is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/random.h"
#include "tests/actors/gateway/hub_fixture.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

TEST_F(GatewayHubTest, AReaderFromNowHearsWhatHappensAndNothingElse) {
  world.alpha.start("web1");
  run();
  const auto reader = from_now("vm.started.>");
  EXPECT_TRUE(reader->told.empty());
  world.alpha.start("web2");
  world.alpha.pause("web2");
  world.beta.start("db1");
  run();
  EXPECT_EQ(reader->types(), (std::vector<std::string>{"vm.started", "vm.started"}));
  EXPECT_EQ(world.metrics.sent, 2U);
}

TEST_F(GatewayHubTest, ThePastOfAllNodesComesInItsOrderAndThenWhatHappens) {
  for (int i = 0; i < 10; ++i) {
    (i % 2 == 0 ? world.alpha : world.beta).start("web" + std::to_string(i));
    run();
  }
  const auto reader = since_start("vm.>");
  world.beta.start("last");
  run();
  ASSERT_EQ(reader->told.size(), 11U);
  for (std::size_t i = 0; i < 10; ++i)
    EXPECT_EQ(reader->told[i].subject(), "web" + std::to_string(i));
  EXPECT_EQ(reader->told[10].subject(), "last");
  EXPECT_EQ(world.metrics.gaps, 0U);
}

TEST_F(GatewayHubTest, TimeOfTheBeginningCounts) {
  world.alpha.start("before");
  run();
  scheduler.run_for(absl::Seconds(1));
  const HybridTime start = HybridTime::at(scheduler.wall());
  world.alpha.start("after");
  run();
  const auto reader = open({Cursor(Pattern::of("vm.>"), start), true, std::nullopt});
  ASSERT_EQ(reader->told.size(), 1U);
  EXPECT_EQ(reader->told[0].subject(), "after");
}

TEST_F(GatewayHubTest, AReaderThatWasAwayGetsWhatItMissedOnce) {
  auto reader = from_now("vm.>");
  world.alpha.start("web1");
  world.beta.start("web2");
  run();
  ASSERT_EQ(reader->told.size(), 2U);
  const std::string stood = reader->told[0].cursor;  // the second was on its way
  world.hub.close(id);
  for (int i = 3; i < 12; ++i) {
    world.alpha.start("web" + std::to_string(i));
    world.beta.pause("web" + std::to_string(i), "policy");
  }
  run();
  reader = resume(stood);
  std::multiset<std::string> subjects;
  for (const ToldMessage& message : reader->told) subjects.insert(message.subject());
  EXPECT_EQ(reader->told.size(), 19U);
  EXPECT_EQ(subjects.count("web1"), 0U);
  EXPECT_EQ(subjects.count("web2"), 1U);
  EXPECT_EQ(subjects.count("web7"), 2U);
  EXPECT_EQ(world.metrics.gaps, 0U);
}

TEST_F(GatewayHubTest, WhatIsInNoLogAndWasMissedIsSaid) {
  auto reader = from_now("vm.>");
  world.alpha.start("web1");
  run();
  const std::string stood = reader->told.back().cursor;
  world.hub.close(id);
  for (int i = 0; i < 5; ++i) {
    world.alpha.tell_rate("web1");
    world.beta.pause("other");  // the hub forgets the rates
  }
  run();
  world.alpha.start("web2");
  run();
  reader = resume(stood);
  const auto gap = std::ranges::find(reader->told, "gap", &ToldMessage::type);
  ASSERT_NE(gap, reader->told.end());
  EXPECT_EQ(gap->json["data"]["origin"], "alpha/executor");
  EXPECT_EQ(gap->json["data"]["after"], "1");
  EXPECT_THAT(std::string(gap->json["data"]["why"]), HasSubstr("are in none"));
  EXPECT_EQ(std::ranges::count(reader->told, "gap", &ToldMessage::type), 1);
  // Who reads nothing passing has missed nothing.
  Cursor quiet(Pattern::of("vm.started.>"), {});
  quiet.pass("alpha/executor", *Cursor::parse(stood)->find("alpha/executor"));
  EXPECT_EQ(resume(quiet.text())->types(), (std::vector<std::string>{"vm.started"}));
}

TEST_F(GatewayHubTest, WhatTheHubRemembersIsNoHole) {
  auto reader = from_now("vm.>");
  world.alpha.start("web1");
  run();
  world.hub.close(id);
  world.alpha.tell_rate("web1");
  world.alpha.start("web2");
  run();
  reader = resume(reader->told.back().cursor);
  EXPECT_EQ(reader->types(), (std::vector<std::string>{"vm.dirty_rate", "vm.started"}));
}

TEST_F(GatewayHubTest, ALogThatLacksEventsIsFoundOut) {
  auto reader = from_now("vm.started.>");
  world.alpha.start("web1");
  run();
  world.hub.close(id);
  for (int i = 2; i < 12; ++i) world.alpha.start("web" + std::to_string(i));
  run();
  auto& log = world.alpha.log.events;
  std::erase_if(log,
                [](const Event& event) { return event.sequence() > 1 && event.sequence() < 5; });
  reader = resume(reader->told.back().cursor);
  ASSERT_FALSE(reader->told.empty());
  EXPECT_EQ(reader->told[0].type, "gap");
  EXPECT_EQ(reader->told[0].json["data"]["after"], "1");
  EXPECT_EQ(reader->told[0].json["data"]["upTo"], "4");
  EXPECT_EQ(reader->told.size(), 1U + 7U);
}

TEST_F(GatewayHubTest, AGapOfTheBusIsPassedOn) {
  const auto reader = from_now("vm.>");
  world.alpha.start("web1");
  run();
  const Stand stand = *Cursor::parse(reader->told[0].cursor)->find("alpha/executor");
  world.alpha.start("lost");
  scheduler.run_for(absl::Milliseconds(10));
  world.lose();
  world.hub.on_gap({.origin = "alpha/executor",
                    .incarnation = stand.incarnation,
                    .prefix = "",
                    .after = stand.sequence,
                    .up_to = stand.sequence + 1,
                    .why = "its log does not answer"});
  world.alpha.start("web3");
  run();
  EXPECT_EQ(reader->types(), (std::vector<std::string>{"vm.started", "gap", "vm.started"}));
  EXPECT_EQ(reader->told[1].json["data"]["why"], "its log does not answer");
  EXPECT_EQ(world.metrics.bus_gaps, 1U);
  EXPECT_EQ(world.metrics.gaps, 1U);
}

TEST_F(GatewayHubTest, ANodeThatCannotBeAskedIsNamed) {
  world.alpha.start("web1");
  world.beta.start("db1");
  run();
  world.bus.nodes.erase("alpha");
  world.hub.on_peer("gone", false);
  const auto reader = since_start("vm.started.>");
  std::set<std::string> named;
  for (const ToldMessage& message : reader->told)
    if (message.type == "gap") named.insert(message.subject());
  EXPECT_EQ(named, (std::set<std::string>{"alpha", "gone"}));
  EXPECT_EQ(std::ranges::count(reader->told, "vm.started", &ToldMessage::type), 2);
  EXPECT_EQ(world.metrics.pages_failed,
            2U);  // its log, and what it might have archived of the other
  const auto resumed = resume("1;vm.>;0;unheard/agent:1:1");
  const auto unheard = std::ranges::find_if(
      resumed->told, [](const ToldMessage& message) { return message.subject() == "unheard"; });
  ASSERT_NE(unheard, resumed->told.end());
  EXPECT_THAT(unheard->json.dump(), HasSubstr("no such node"));
}

TEST_F(GatewayHubTest, ASlowReaderIsEndedAndSlowsNoOther) {
  const auto slow = open({Cursor(Pattern::of("vm.>"), {}), false, std::nullopt}, 3);
  const auto other = from_now("vm.>");
  for (int i = 0; i < 10; ++i) world.alpha.start("web" + std::to_string(i));
  run();
  EXPECT_TRUE(slow->ended);
  EXPECT_EQ(slow->slow, SlowReader::buffer);
  EXPECT_EQ(slow->told.size(), 3U);
  EXPECT_EQ(other->told.size(), 10U);
  const auto again = resume(slow->told.back().cursor);
  ASSERT_EQ(again->told.size(), 7U);
  EXPECT_EQ(again->told[0].subject(), "web3");
}

TEST_F(GatewayHubTest, ThePastWaitsForAReaderThatHasNoRoom) {
  for (int i = 0; i < 20; ++i) world.alpha.start("web" + std::to_string(i));
  run();
  const auto reader = open({Cursor(Pattern::of("vm.>"), {}), true, std::nullopt}, 4);
  std::uint64_t pages = world.metrics.pages;
  EXPECT_LE(reader->told.size(), 4U);
  scheduler.run_for(absl::Seconds(10));
  EXPECT_EQ(world.metrics.pages, pages) << "nothing is read for one who does not read";
  for (int i = 0; i < 20; ++i) {
    reader->read = reader->told.size();
    world.hub.go_on(id);
    run();
  }
  EXPECT_EQ(reader->told.size(), 20U);
  EXPECT_FALSE(reader->ended);
}

TEST_F(GatewayHubTest, PagesOfHistoryFollowEachOther) {
  for (int i = 0; i < 7; ++i) world.alpha.start("web" + std::to_string(i));
  run();
  std::string cursor = Cursor(Pattern::of("vm.>"), {}).text();
  std::vector<std::string> subjects;
  for (const std::size_t expected : {3U, 3U, 1U, 0U}) {
    const auto page = open({*Cursor::parse(cursor), true, 3U});
    EXPECT_TRUE(page->ended);
    EXPECT_EQ(page->told.size(), expected);
    for (const ToldMessage& message : page->told) subjects.push_back(message.subject());
    cursor = page->cursor;
  }
  EXPECT_THAT(subjects,
              testing::ElementsAre("web0", "web1", "web2", "web3", "web4", "web5", "web6"));
}

// Whatever happens: each event once, in the order of its origin, or a gap that tells of it.
class GatewayRandom : public testing::TestWithParam<int> {};

TEST_P(GatewayRandom, NothingIsLostInSilenceAndNothingComesTwice) {
  Random random(static_cast<std::uint64_t>(GetParam()));
  const char* pattern = random.below(2) == 0 ? "vm.>" : "*.started.>";
  const Pattern wanted = Pattern::of(pattern);
  VirtualScheduler scheduler;
  GatewayHubOptions options;
  options.page_events = static_cast<std::uint32_t>(1 + random.below(5));
  options.recent_events_max = random.below(8);
  GatewayWorld world(scheduler, options);
  std::vector<Event> published;
  std::vector<ToldMessage> had;  // by the reader, over all its connections
  std::string stood = Cursor(wanted, {}).text();
  std::shared_ptr<TestReader> reader;
  GatewayHub::ReadingId id = 0;

  const auto take = [&](std::size_t up_to) {
    for (; reader->read < up_to; ++reader->read) {
      had.push_back(reader->told[reader->read]);
      stood = had.back().cursor;
    }
  };
  const auto connect = [&](std::size_t capacity) {
    reader = std::make_shared<TestReader>(capacity);
    id = world.hub.next_id();
    world.hub.open(id, {*Cursor::parse(stood), true, std::nullopt}, reader);
  };
  const auto disconnect = [&] {
    if (!reader) return;
    take(reader->read + random.below(reader->told.size() - reader->read + 1));
    world.hub.close(id);
    reader.reset();
  };
  const auto publish = [&] {
    GatewayNode& node = random.below(2) == 0 ? world.alpha : world.beta;
    const char* const actor = random.below(3) == 0 ? "policy" : "executor";
    const std::string vm = "web" + std::to_string(random.below(3));
    switch (random.below(3)) {
      case 0:
        return node.start(vm, actor);
      case 1:
        return node.pause(vm, actor);
      default:
        return node.tell_rate(vm, actor);
    }
  };
  const auto note = [&] {
    for (GatewayNode* node : {&world.alpha, &world.beta})
      published.insert(published.end(), node->bus.published.begin(), node->bus.published.end());
  };
  for (int step = 0; step < 400; ++step) {
    switch (random.below(12)) {
      case 0:
        if (!reader) connect(2 + random.below(20));
        break;
      case 1:
        if (random.below(3) == 0) disconnect();
        break;
      case 2:
        if (reader) {
          take(reader->told.size());
          world.hub.go_on(id);
        }
        break;
      case 3:
        world.alpha.log.hold = random.below(2) == 0;
        if (!world.alpha.log.hold) world.alpha.log.release();
        break;
      case 4:
        note();
        if (random.below(8) == 0)
          world.lose();
        else
          world.deliver();
        break;
      case 5:
      case 6:
        scheduler.run_for(absl::Microseconds(100));
        break;
      default:
        publish();
    }
    if (reader && reader->ended) disconnect();
  }
  world.alpha.log.hold = false;
  world.alpha.log.release();
  scheduler.run_for(absl::Milliseconds(10));
  note();
  world.deliver();
  disconnect();
  connect(100000);
  scheduler.run_for(absl::Seconds(1));
  for (GatewayNode* node : {&world.alpha, &world.beta})  // a last word shows what was before it
    for (const char* actor : {"executor", "policy"}) {
      node->start("end", actor);
      node->tell_rate("end", actor);
    }
  scheduler.run_for(absl::Milliseconds(10));
  note();
  world.deliver();
  scheduler.run_for(absl::Seconds(1));
  ASSERT_FALSE(reader->ended);
  take(reader->told.size());

  std::set<std::string> ids;
  std::map<std::string, std::uint64_t> newest;
  for (const ToldMessage& message : had) {
    if (message.type == "gap") continue;
    EXPECT_TRUE(ids.insert(message.id()).second) << message.id() << " came twice";
    const EventId event = *EventId::parse(message.id());
    EXPECT_GT(event.sequence, newest[event.origin]) << message.id() << " came late";
    newest[event.origin] = event.sequence;
  }
  std::size_t expected = 0;
  for (const Event& event : published) {
    if (!wanted.matches(event.topic()) || ids.contains(event.id().to_string())) continue;
    ++expected;
    const bool said = std::ranges::any_of(had, [&](const ToldMessage& message) {
      if (message.type != "gap" || message.subject() != event.origin()) return false;
      const Json& data = message.json["data"];
      return std::stoull(std::string(data["after"])) < event.sequence() &&
             (data["upTo"].is_null() || event.sequence() <= std::stoull(std::string(data["upTo"])));
    });
    EXPECT_TRUE(said) << event.id().to_string() << " " << event.topic() << " is lost in silence";
  }
  EXPECT_GT(ids.size(), expected) << "most of it comes";
}

INSTANTIATE_TEST_SUITE_P(Seeds, GatewayRandom, testing::Range(1, 60));

}  // namespace
}  // namespace supercloud
