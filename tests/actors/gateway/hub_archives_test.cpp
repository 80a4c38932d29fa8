// Readers of the hub have from archives what nodes have said whose logs cannot be had.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/actors/gateway/hub_fixture.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

TEST_F(GatewayHubTest, OfANodeThatDoesNotRunArchivesHaveThePast) {
  MemoryLog archive(scheduler);
  world.beta.node->spawn(
      "archive", [&](Context& context) { return std::make_unique<LogReader>(context, archive); });
  for (int i = 0; i < 5; ++i) {
    world.alpha.start("web" + std::to_string(i));
    world.beta.start("db" + std::to_string(i));
  }
  run();
  EXPECT_EQ(since_start("vm.>")->told.size(), 10U);

  for (const GatewayNode* node : {&world.beta, &world.alpha})
    archive.events.insert(archive.events.end(), node->log.events.begin(), node->log.events.end());
  EXPECT_EQ(since_start("vm.>")->told.size(), 10U) << "a node's own log is better";
  world.bus.nodes.erase("alpha");
  world.hub.on_peer("alpha", false);
  const auto reader = since_start("vm.>");
  std::multiset<std::string> subjects;
  for (const ToldMessage& message : reader->told)
    if (message.type != "gap") subjects.insert(message.subject());
  EXPECT_EQ(subjects, (std::multiset<std::string>{"db0", "db1", "db2", "db3", "db4", "web0", "web1",
                                                  "web2", "web3", "web4"}));
  ASSERT_EQ(reader->told.size(), 11U);
  EXPECT_EQ(reader->told.back().subject(), "alpha");
  EXPECT_THAT(reader->told.back().json.dump(), HasSubstr("may be in no archive"));

  // Resumed, and a page at a time.
  const auto second = std::ranges::find_if(
      reader->told, [](const ToldMessage& message) { return message.subject() == "web1"; });
  std::string cursor = second->cursor;
  std::vector<std::string> rest;
  for (;;) {
    const auto page = open({*Cursor::parse(cursor), true, 2U});
    if (page->told.empty()) break;
    ASSERT_LT(rest.size(), 20U);
    for (const ToldMessage& message : page->told) {
      if (message.type == "gap") continue;
      rest.push_back(message.subject());
    }
    if (page->told.size() == 1 && page->told[0].type == "gap") break;
    cursor = page->cursor;
  }
  EXPECT_EQ(std::ranges::count(rest, "web2"), 1);
  EXPECT_EQ(std::ranges::count(rest, "web4"), 1);
  EXPECT_EQ(std::ranges::count(rest, "web0"), 0);
}

TEST_F(GatewayHubTest, ANodeThatComesWhileThePastIsReadIsNotSaidToBeAway) {
  world.alpha.start("web1");
  world.beta.start("db1");
  run();
  world.hub.on_peer("alpha", false);
  auto reader = std::make_shared<TestReader>(10000);
  world.hub.open(world.hub.next_id(), {Cursor(Pattern::of("vm.>"), {}), true, std::nullopt},
                 reader);
  world.hub.on_peer("alpha", true);
  scheduler.run_for(absl::Milliseconds(10));
  EXPECT_EQ(reader->types(), (std::vector<std::string>{"vm.started", "vm.started"}));
}

TEST_F(GatewayHubTest, WhatArchivesHaveOfNodesThatNobodyKnowsIsTold) {
  MemoryLog archive(scheduler);
  world.beta.node->spawn(
      "archive", [&](Context& context) { return std::make_unique<LogReader>(context, archive); });
  GatewayNode rented(scheduler, world.pool, "rented");
  for (const char* vm : {"web1", "web2"}) rented.start(vm);
  run();
  archive.events = rented.log.events;
  EXPECT_EQ(since_start("vm.>")->types(), (std::vector<std::string>{"vm.started", "vm.started"}));
  EXPECT_EQ(world.metrics.gaps, 0U);
}

TEST_F(GatewayHubTest, OfALogThatIsNotGotArchivesHaveThePast) {
  MemoryLog archive(scheduler);
  world.beta.node->spawn(
      "archive", [&](Context& context) { return std::make_unique<LogReader>(context, archive); });
  world.alpha.start("web1");
  run();
  archive.events = world.alpha.log.events;
  world.bus.nodes.erase("alpha");  // and nobody has noticed
  const auto reader = since_start("vm.>");
  EXPECT_EQ(reader->types(), (std::vector<std::string>{"vm.started", "gap"}));
  EXPECT_THAT(reader->told.back().json.dump(), HasSubstr("not got"));
}

}  // namespace
}  // namespace supercloud
