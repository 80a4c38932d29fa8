// Readers that are slower than what happens, and chose what becomes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/random.h"
#include "tests/actors/gateway/hub_fixture.h"

namespace supercloud {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Full = Queueing::Full;

class GatewayQueueTest : public testing::Test {
 protected:
  void run() {
    scheduler.run_for(absl::Milliseconds(10));
    world.deliver();
    scheduler.run_for(absl::Milliseconds(10));
  }
  std::shared_ptr<TestReader> open(Reading::Begin begin, std::size_t capacity, Full queue) {
    auto reader = std::make_shared<TestReader>(capacity);
    id = world.hub.next_id();
    world.hub.open(id, std::move(begin), reader, queue);
    scheduler.run_for(absl::Milliseconds(10));
    return reader;
  }
  std::shared_ptr<TestReader> from_now(std::size_t capacity, Full queue) {
    return open(
        {Cursor(Pattern::of("vm.>"), HybridTime::at(scheduler.wall())), false, std::nullopt},
        capacity, queue);
  }
  // It has taken all that was told.
  void drain(TestReader& reader) {
    for (std::size_t read = SIZE_MAX; read != reader.read;) {
      read = std::exchange(reader.read, reader.told.size());
      world.hub.go_on(id);
      run();
    }
  }
  static std::vector<std::string> story(const TestReader& reader) {
    std::vector<std::string> story;
    for (const ToldMessage& message : reader.told)
      story.push_back(message.type == "gap"
                          ? absl::StrCat("gap ", std::string(message.json["data"]["after"]), "-",
                                         std::string(message.json["data"]["upTo"]))
                          : message.subject());
    return story;
  }

  VirtualScheduler scheduler;
  GatewayHubOptions options = [] {
    GatewayHubOptions small;
    small.waiting_events_max = 4;
    return small;
  }();
  GatewayWorld world{scheduler, options};
  GatewayHub::ReadingId id = 0;
};

TEST_F(GatewayQueueTest, DroppingTheOldestAReaderIsToldWhatWentAndGoesOn) {
  const auto reader = from_now(3, Full::drop_oldest);
  for (int i = 1; i <= 10; ++i) world.alpha.start("web" + std::to_string(i));
  run();
  EXPECT_THAT(story(*reader), ElementsAre("web1", "web2", "web3"));
  EXPECT_FALSE(reader->ended);
  drain(*reader);
  EXPECT_THAT(story(*reader),
              ElementsAre("web1", "web2", "web3", "gap 3-6", "web7", "web8", "web9", "web10"));
  EXPECT_THAT(reader->told[3].json.dump(), HasSubstr("its queue of 4 was full"));
  world.alpha.start("web11");
  run();
  EXPECT_EQ(story(*reader).back(), "web11");
  EXPECT_EQ(world.metrics.gaps, 1U);
}

TEST_F(GatewayQueueTest, DroppingTheOldestACursorGoesOnBehindItsMessageWhateverWaited) {
  const auto reader = from_now(3, Full::drop_oldest);
  for (int i = 1; i <= 10; ++i) world.alpha.start("web" + std::to_string(i));
  run();
  drain(*reader);
  world.hub.close(id);
  for (const std::size_t at : {2U, 3U, 4U}) {
    const auto again =
        open({*Cursor::parse(reader->told[at].cursor), true, std::nullopt}, 100, Full::fail);
    EXPECT_EQ(again->told.front().subject(), at == 2 ? "web4" : at == 3 ? "web7" : "web8");
    EXPECT_EQ(again->told.back().subject(), "web10");
    world.hub.close(id);
  }
}

TEST_F(GatewayQueueTest, ConflatingAReaderGetsTheNewestOfEachTopic) {
  const auto reader = from_now(1, Full::conflate);
  for (int i = 0; i < 10; ++i)
    for (const char* vm : {"web1", "web2", "web3"}) world.alpha.start(vm);
  run();
  drain(*reader);
  EXPECT_THAT(story(*reader), ElementsAre("web1", "web2", "web3", "web1"));
  EXPECT_EQ(EventId::parse(reader->told[1].id())->sequence, 29U);
  EXPECT_EQ(EventId::parse(reader->told[3].id())->sequence, 28U) << "in the place of an older one";
  EXPECT_EQ(world.metrics.gaps, 0U);
}

TEST_F(GatewayQueueTest, ConflatingTooManyTopicsTheOldestGoesAndIsTold) {
  const auto reader = from_now(1, Full::conflate);
  for (int i = 1; i <= 7; ++i) world.alpha.start("web" + std::to_string(i));
  run();
  drain(*reader);
  EXPECT_THAT(story(*reader), ElementsAre("web1", "gap 1-3", "web4", "web5", "web6", "web7"));
}

TEST_F(GatewayQueueTest, ThePastIsToldInFullWhateverTheReaderChose) {
  for (int i = 0; i < 20; ++i) world.alpha.start("web1");
  run();
  for (const Full queue : {Full::drop_oldest, Full::conflate}) {
    const auto reader = open({Cursor(Pattern::of("vm.>"), {}), true, std::nullopt}, 4, queue);
    drain(*reader);
    EXPECT_EQ(reader->told.size(), 20U);
    EXPECT_FALSE(reader->ended);
    world.hub.close(id);
  }
}

TEST_F(GatewayQueueTest, LargeEventsCountByTheirBytes) {
  options.waiting_events_max = 1000;
  options.waiting_bytes_max = 1;
  GatewayWorld small(scheduler, options);
  auto reader = std::make_shared<TestReader>(1);
  small.hub.open(
      small.hub.next_id(),
      {Cursor(Pattern::of("vm.>"), HybridTime::at(scheduler.wall())), false, std::nullopt}, reader,
      Full::drop_oldest);
  for (int i = 1; i <= 4; ++i) small.alpha.start("web" + std::to_string(i));
  scheduler.run_for(absl::Milliseconds(10));
  small.deliver();
  for (int i = 0; i < 5; ++i) {
    reader->read = reader->told.size();
    small.hub.go_on(1);
  }
  EXPECT_THAT(story(*reader), ElementsAre("web1", "gap 1-3", "web4"));
  EXPECT_THAT(reader->told[1].json.dump(), HasSubstr("its queue of 1 bytes was full"));
}

// Readers that come and go: whatever was logged is given or told, and of each topic the newest comes.
class GatewayQueueRandom : public testing::TestWithParam<int> {};

TEST_P(GatewayQueueRandom, TheNewestOfEachTopicComesOrIsToldOverAllConnections) {
  Random random(static_cast<std::uint64_t>(GetParam()));
  const Full queue = GetParam() % 2 == 0 ? Full::conflate : Full::drop_oldest;
  VirtualScheduler scheduler;
  GatewayHubOptions options;
  options.waiting_events_max = 1 + random.below(8);
  GatewayWorld world(scheduler, options);
  const auto run = [&] {
    scheduler.run_for(absl::Milliseconds(10));
    world.deliver();
    scheduler.run_for(absl::Milliseconds(10));
  };
  std::string stood = Cursor(Pattern::of("vm.>"), {}).text();
  std::shared_ptr<TestReader> reader;
  GatewayHub::ReadingId id = 0;
  std::uint64_t published = 0;
  std::set<std::uint64_t> known;              // given, or told as missing
  std::map<std::string, std::uint64_t> last;  // by topic
  const auto take = [&](std::size_t up_to) {
    for (; reader->read < up_to; ++reader->read) {
      const ToldMessage& message = reader->told[reader->read];
      stood = message.cursor;
      if (message.type == "gap") {
        const Json& gap = message.json["data"];
        const std::uint64_t end = std::stoull(std::string(gap["upTo"]));
        for (std::uint64_t i = std::stoull(std::string(gap["after"])) + 1; i <= end; ++i)
          known.insert(i);
      } else {
        known.insert(EventId::parse(message.id())->sequence);
      }
    }
  };
  const auto connect = [&] {
    reader = std::make_shared<TestReader>(2 + random.below(6));
    id = world.hub.next_id();
    world.hub.open(id, {*Cursor::parse(stood), true, std::nullopt}, reader, queue);
    run();
  };
  connect();
  for (int round = 0; round < 60; ++round) {
    for (std::uint64_t i = random.below(12); i > 0; --i) {
      const std::string vm = absl::StrCat("web", random.below(5));
      world.alpha.start(vm);
      last[vm] = ++published;
    }
    run();
    take(reader->read + random.below(reader->told.size() - reader->read + 1));
    if (random.below(8) == 0) {
      world.hub.close(id);
      connect();
    }
    world.hub.go_on(id);
    EXPECT_FALSE(reader->ended);
  }
  for (int i = 0; i < 1000 && reader->read < reader->told.size(); ++i) {
    take(reader->told.size());
    world.hub.go_on(id);
    run();
  }
  for (const auto& [vm, sequence] : last)
    EXPECT_TRUE(known.contains(sequence)) << vm << ", " << sequence << " of " << published;
  if (queue != Full::drop_oldest) return;
  for (std::uint64_t i = 1; i <= published; ++i) EXPECT_TRUE(known.contains(i)) << i;
}

INSTANTIATE_TEST_SUITE_P(Seeds, GatewayQueueRandom, testing::Range(1, 41));

}  // namespace
}  // namespace supercloud
