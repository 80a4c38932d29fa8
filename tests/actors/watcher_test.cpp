#include "actors/spot/watcher.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/spot/vector_feed.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;

// Replies that the test gives by hand.
class HandFeed final : public PriceFeed {
 public:
  explicit HandFeed(std::vector<absl::StatusOr<Price>>& script) : script_(script) {}
  std::string source() const override { return "by hand"; }
  void next(Reply<Price> reply) override {
    if (script_.empty()) {
      waiting = std::move(reply);
      return;
    }
    absl::StatusOr<Price> first = script_.front();
    script_.erase(script_.begin());
    reply(std::move(first));
  }
  Reply<Price> waiting;

 private:
  std::vector<absl::StatusOr<Price>>& script_;
};

class WatcherTest : public MarketWorld {
 protected:
  Price price(const std::string& letter, std::int64_t nano, int minute, bool spot = true) const {
    return {zone(letter, spot), Money{nano}, market.origin + absl::Minutes(minute)};
  }
  WatcherOptions options() const {
    WatcherOptions options;
    options.market = market;
    return options;
  }
  TestNode& watch(const std::string& name, FeedFactory feed, WatcherOptions with) {
    TestNode& node = start(name);
    node.node->spawn("watcher", [this, &node, feed, with](Context& context) {
      return std::make_unique<Watcher>(context, leases, node.session, feed, with);
    });
    return node;
  }
  FeedFactory trace(std::vector<Price> prices) const {
    return [prices] { return std::make_unique<VectorFeed>("trace", prices); };
  }
  std::vector<std::string> prices_seen(const TestNode& node) const {
    std::vector<std::string> lines;
    for (const Event& event : of(node, Payload::SPOT_PRICE_CHANGED)) {
      const auto change = event.payload().getSpotPriceChanged();
      lines.push_back(
          absl::StrCat(std::string(text(change.getPlace().getZone())).substr(9), " ",
                       change.getPriceNanoUsdPerHour(), " @",
                       (change.getSinceNs() - absl::ToUnixNanos(market.origin)) / 60'000'000'000));
    }
    return lines;
  }
};

TEST_F(WatcherTest, PublishesEachPriceWhenMarketTimeReachesIt) {
  WatcherOptions with = options();
  with.fixed = {{zone("a", false), Money{175'000'000}, market.origin}};
  with.labels = {{"aws/us-east-1", "jurisdiction", "us"}};
  TestNode& node =
      watch("a", trace({price("a", 10, 0), price("b", 20, 5), price("a", 11, 10)}), with);
  run(absl::Minutes(4));
  EXPECT_EQ(prices_seen(node), (std::vector<std::string>{"a 175000000 @0", "a 10 @0"}));
  run(absl::Minutes(2));
  EXPECT_EQ(prices_seen(node).back(), "b 20 @5");
  run(absl::Minutes(5));
  EXPECT_EQ(prices_seen(node).size(), 4U);
  const Event last = of(node, Payload::SPOT_PRICE_CHANGED).back();
  EXPECT_EQ(last.subject(), "aws/us-east-1/us-east-1a/r3.large/spot");
  EXPECT_EQ(text(last.payload().getSpotPriceChanged().getPlace().getLabels()[0].getValue()), "us");
  const absl::Time due = market.start + absl::Minutes(10);
  EXPECT_GE(last.time().wall(), due);
  EXPECT_LE(last.time().wall(), due + absl::Milliseconds(5));
}

TEST_F(WatcherTest, SaysNothingTwiceAfterARestartOrATakeover) {
  std::vector<Price> prices;
  for (int minute = 0; minute < 30; ++minute) prices.push_back(price("a", 10 + minute, minute));
  watch("a", trace(prices), options());
  run(absl::Seconds(2));
  TestNode& b = watch("b", trace(prices), options());
  run(absl::Minutes(5));
  nodes.at("a")->node->fail_actor("watcher", absl::InternalError("a test"));
  run(absl::Minutes(5));
  crash("a");
  run(absl::Minutes(25));
  std::vector<std::string> expected;
  for (int minute = 1; minute < 30; ++minute)
    expected.push_back(absl::StrCat("a ", 10 + minute, " @", minute));
  EXPECT_EQ(prices_seen(b), expected);
}

TEST_F(WatcherTest, LeavesOutPricesThatDidNotChange) {
  TestNode& node =
      watch("a", trace({price("a", 10, 0), price("a", 10, 1), price("a", 12, 2)}), options());
  run(absl::Minutes(5));
  EXPECT_EQ(prices_seen(node), (std::vector<std::string>{"a 10 @0", "a 12 @2"}));
}

TEST_F(WatcherTest, TellsOfAFeedThatIsOutOfReachAndOfItsReturn) {
  auto script = std::make_shared<std::vector<absl::StatusOr<Price>>>();
  HandFeed* feed = nullptr;
  WatcherOptions with = options();
  with.silence = absl::Minutes(10);
  *script = {price("a", 10, 0), absl::UnavailableError("no route to the price server")};
  TestNode& node = watch(
      "a",
      [script, &feed] {
        auto made = std::make_unique<HandFeed>(*script);
        feed = made.get();
        return made;
      },
      with);
  run(absl::Minutes(9));
  EXPECT_TRUE(of(node, Payload::SPOT_FEED_LOST).empty());
  run(absl::Minutes(2));
  ASSERT_EQ(of(node, Payload::SPOT_FEED_LOST).size(), 1U);
  const auto lost = of(node, Payload::SPOT_FEED_LOST)[0].payload().getSpotFeedLost();
  EXPECT_EQ(lost.getSinceNs(), absl::ToUnixNanos(market.origin));
  run(absl::Minutes(60));
  EXPECT_EQ(of(node, Payload::SPOT_FEED_LOST).size(), 1U) << "once is enough";
  feed->waiting(price("a", 12, 70));
  run(absl::Seconds(1));
  EXPECT_EQ(of(node, Payload::SPOT_FEED_RESTORED).size(), 1U);
  EXPECT_EQ(prices_seen(node).back(), "a 12 @70");
}

// Knows what was before its first price.
class LongMemory final : public PriceFeed {
 public:
  LongMemory(Price holds, std::vector<Price> past)
      : place_(holds.place), prices_("with a memory", {holds}) {
    for (const Price& before : past) past_.add(before.since, before.usd_per_hour);
    past_.add(holds.since, holds.usd_per_hour);
  }
  std::string source() const override { return prices_.source(); }
  void next(Reply<Price> reply) override { prices_.next(std::move(reply)); }
  bool looks_back() const override { return true; }
  std::optional<HourlyPrices> take_past(const PlaceName& place) override {
    if (place != place_) return std::nullopt;
    place_ = {};
    return past_;
  }

 private:
  PlaceName place_;
  VectorFeed prices_;
  HourlyPrices past_;
};

TEST_F(WatcherTest, WhatAFeedTellsOfThePastIsNoNewsAndIsToldToWhoAsks) {
  const FeedFactory feed = [this] {
    return std::make_unique<LongMemory>(
        price("a", 10, -30),
        std::vector<Price>{price("a", 7, -60 * 5), price("a", 8, -60 * 3), price("a", 9, -60)});
  };
  TestNode& node = watch("a", feed, options());
  run(absl::Seconds(2));
  const auto marks = [&] {
    const auto answer = ask(node, {"a", "watcher"},
                            Message<schema::Request>::build([](schema::Request::Builder request) {
                              request.setPriceHistory();
                            }));
    std::vector<std::int64_t> told;
    if (!answer.ok() || answer->reader().getPrices().size() != 1) return told;
    EXPECT_EQ(answer->reader().getPrices()[0].getPriceNanoUsdPerHour(), 10);
    for (const std::int64_t mark : answer->reader().getPrices()[0].getHourlyNanoUsd())
      told.push_back(mark);
    return told;
  };
  const std::vector<std::int64_t> expected = {10, 9, 8, 8, 7, 7};
  EXPECT_EQ(marks(), expected);
  EXPECT_EQ(prices_seen(node), (std::vector<std::string>{"a 10 @-30"})) << "no old price is news";
  ASSERT_EQ(of(node, Payload::SPOT_FEED_LOST).size(), 1U) << "until the present is reached";
  ASSERT_EQ(of(node, Payload::SPOT_FEED_RESTORED).size(), 1U);
  EXPECT_LT(of(node, Payload::SPOT_FEED_RESTORED)[0].time(),
            of(node, Payload::SPOT_PRICE_CHANGED)[0].time());

  node.node->fail_actor("watcher", absl::InternalError("a test"));
  run(absl::Seconds(10));
  EXPECT_EQ(prices_seen(node).size(), 1U) << "known already";
  EXPECT_EQ(marks(), expected) << "from the feed again: the past is in no log";
}

TEST_F(WatcherTest, AFeedThatIsRefusedIsLostAtOnceAndReturnsWhenThatIsCured) {
  auto script = std::make_shared<std::vector<absl::StatusOr<Price>>>();
  *script = {price("a", 10, 0), absl::PermissionDeniedError("allow the key to see prices"),
             absl::FailedPreconditionError("this machine's clock is behind"), price("a", 12, 1)};
  TestNode& node = watch("a", [script] { return std::make_unique<HandFeed>(*script); }, options());
  run(absl::Milliseconds(900));
  ASSERT_EQ(of(node, Payload::SPOT_FEED_LOST).size(), 1U);
  EXPECT_EQ(text(of(node, Payload::SPOT_FEED_LOST)[0].payload().getSpotFeedLost().getWhy()),
            "allow the key to see prices");
  run(absl::Minutes(2));
  EXPECT_EQ(of(node, Payload::SPOT_FEED_LOST).size(), 1U);
  EXPECT_EQ(of(node, Payload::SPOT_FEED_RESTORED).size(), 1U);
  EXPECT_EQ(prices_seen(node).back(), "a 12 @1");
}

TEST_F(WatcherTest, ReportsDamagedRowsNotTooOftenAndGoesOn) {
  auto script = std::make_shared<std::vector<absl::StatusOr<Price>>>();
  for (int i = 0; i < 100; ++i)
    script->push_back(absl::DataLossError(absl::StrCat("x.csv:", i, ": damaged")));
  script->push_back(price("a", 10, 0));
  TestNode& node = watch("a", [script] { return std::make_unique<HandFeed>(*script); }, options());
  run(absl::Seconds(5));
  ASSERT_EQ(of(node, Payload::BUS_REJECTED).size(), 1U);
  EXPECT_EQ(text(of(node, Payload::BUS_REJECTED)[0].payload().getBusRejected().getWhy()),
            "x.csv:0: damaged");
  EXPECT_EQ(prices_seen(node), (std::vector<std::string>{"a 10 @0"}));
  // The others are not forgotten where no more come.
  run(absl::Seconds(30));
  const auto told = of(node, Payload::BUS_REJECTED);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(text(told[1].payload().getBusRejected().getWhy()), "x.csv:1: damaged");
  EXPECT_EQ(told[1].payload().getBusRejected().getCount(), 99U);
}

TEST_F(WatcherTest, SaysWhyAFeedCannotBeMade) {
  TestNode& node =
      watch("a", [] { return absl::NotFoundError("prices.csv: cannot be opened"); }, options());
  run(absl::Seconds(30));
  ASSERT_EQ(of(node, Payload::SPOT_FEED_LOST).size(), 1U);
  EXPECT_EQ(text(of(node, Payload::SPOT_FEED_LOST)[0].payload().getSpotFeedLost().getWhy()),
            "prices.csv: cannot be opened");
}

TEST_F(WatcherTest, WithoutAFeedFixedPricesAreToldAndNoneIsMissed) {
  WatcherOptions with = options();
  with.fixed = {{zone("a", false), Money{175'000'000}, market.origin}};
  with.silence = absl::Minutes(1);
  TestNode& node = watch("a", nullptr, with);
  run(absl::Minutes(10));
  EXPECT_EQ(prices_seen(node), (std::vector<std::string>{"a 175000000 @0"}));
  EXPECT_TRUE(of(node, Payload::SPOT_FEED_LOST).empty());
}

}  // namespace
}  // namespace supercloud
