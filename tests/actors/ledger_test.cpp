#include "actors/ledger/ledger.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;

class LedgerTest : public MarketWorld {
 protected:
  TestNode& keep(const std::string& name, Duration charges_kept = absl::InfiniteDuration()) {
    TestNode& node = start(name);
    LedgerOptions options;
    options.market = market;
    options.charges_kept = charges_kept;
    node.node->spawn("ledger", [this, &node, options](Context& context) {
      return std::make_unique<Ledger>(context, leases, node.session, options);
    });
    run(absl::Seconds(1));
    return node;
  }
  absl::Time minute(int count) const { return market.origin + absl::Minutes(count); }
  void launch(TestNode& node, const std::string& id, const PlaceName& place, absl::Time when) {
    publish(node, id, [&](Payload::Builder payload) {
      auto launched = payload.initInstanceLaunched();
      launched.setInstance(id);
      write_place(place, {}, launched.initPlace());
      launched.setLaunchedNs(absl::ToUnixNanos(when));
      launched.setNode("n");
    });
  }
  void end(TestNode& node, const std::string& id, absl::Time when, bool revoked) {
    publish(node, id, [&](Payload::Builder payload) {
      auto ended = revoked ? payload.initInstanceRevoked() : payload.initInstanceReturned();
      ended.setInstance(id);
      ended.setEndedNs(absl::ToUnixNanos(when));
    });
  }
  // "instance from-minute to-minute nano"
  std::vector<std::string> charges(const TestNode& node) const {
    const auto minutes = [this](std::int64_t ns) {
      return (ns - absl::ToUnixNanos(market.origin)) / 60'000'000'000;
    };
    std::vector<std::string> lines;
    for (const Event& event : of(node, Payload::LEDGER_CHARGED)) {
      const auto charged = event.payload().getLedgerCharged();
      lines.push_back(absl::StrCat(std::string(text(charged.getInstance())), " ",
                                   minutes(charged.getFromNs()), " ", minutes(charged.getToNs()),
                                   " ", charged.getAmountNanoUsd()));
    }
    return lines;
  }
};

// Two instances and four prices, added up by hand.
TEST_F(LedgerTest, ChargesEveryInstanceHourOnceWhenItIsOver) {
  TestNode& node = keep("a");
  publish_price(node, zone("a"), 100, minute(0));
  publish_price(node, zone("b"), 1000, minute(0));
  publish_price(node, zone("a"), 250, minute(20));
  publish_price(node, zone("a"), 70, minute(60));
  launch(node, "i-1", zone("a"), minute(0));
  launch(node, "i-2", zone("b"), minute(10));
  run(absl::Minutes(59));
  EXPECT_TRUE(charges(node).empty());
  run(absl::Minutes(2));
  EXPECT_EQ(charges(node), (std::vector<std::string>{"i-1 0 60 100"}));
  run(absl::Minutes(29));  // 90
  end(node, "i-1", minute(90), true);
  end(node, "i-2", minute(85), false);
  run(absl::Minutes(300));
  EXPECT_EQ(charges(node), (std::vector<std::string>{"i-1 0 60 100", "i-2 10 70 1000",
                                                     "i-1 60 90 0", "i-2 70 85 1000"}));
}

// A log keeps for ever that an instance was launched and has ended, and its charges not so long.
TEST_F(LedgerTest, ChargesNothingAnewThatLogsMayHaveForgotten) {
  TestNode& node = start("z");
  publish_price(node, zone("a"), 100, minute(0));
  launch(node, "i-1", zone("a"), minute(0));
  launch(node, "i-2", zone("a"), minute(0));
  end(node, "i-2", minute(90), false);
  run(minute(305) - market_now());
  TestNode& ledger = keep("a", market.cluster_span(absl::Minutes(120)));
  run(absl::Minutes(30));
  EXPECT_EQ(charges(ledger), (std::vector<std::string>{"i-1 180 240 100", "i-1 240 300 100"}));
}

// Another's hour that ends a moment later does not make it hasty.
TEST_F(LedgerTest, WaitsForLateFactsOfEachInstance) {
  TestNode& node = keep("a");
  publish_price(node, zone("a"), 100, minute(0));
  launch(node, "i-1", zone("a"), minute(0));
  launch(node, "i-2", zone("a"), minute(0) + absl::Milliseconds(100));
  run(minute(60) + absl::Milliseconds(250) - market_now());
  EXPECT_EQ(charges(node), (std::vector<std::string>{"i-1 0 60 100"}));
  end(node, "i-2", minute(60), true);
  run(absl::Minutes(1));
  EXPECT_EQ(charges(node), (std::vector<std::string>{"i-1 0 60 100", "i-2 0 60 0"}));
}

TEST_F(LedgerTest, ChargesNothingTwiceAfterRestartsAndTakeovers) {
  keep("a");
  TestNode& b = keep("b");
  publish_price(b, zone("a"), 100, minute(0));
  launch(b, "i-1", zone("a"), minute(0));
  run(absl::Minutes(90));
  nodes.at("a")->node->fail_actor("ledger", absl::InternalError("a test"));
  run(absl::Minutes(60));
  crash("a");
  run(absl::Minutes(60));
  start("a");  // its log has the first hours
  nodes.at("b")->node->fail_actor("ledger", absl::InternalError("a test"));
  run(absl::Minutes(60));
  EXPECT_EQ(charges(b), (std::vector<std::string>{"i-1 0 60 100", "i-1 60 120 100",
                                                  "i-1 120 180 100", "i-1 180 240 100"}));
}

TEST_F(LedgerTest, DoesNotMindInWhichOrderFactsArrive) {
  TestNode& node = keep("a");
  run(absl::Minutes(200));
  end(node, "i-1", minute(90), false);
  run(absl::Seconds(1));
  launch(node, "i-1", zone("a"), minute(0));
  publish_price(node, zone("a"), 70, minute(60));
  publish_price(node, zone("a"), 100, minute(0));
  run(absl::Minutes(1));
  EXPECT_EQ(charges(node), (std::vector<std::string>{"i-1 0 60 100", "i-1 60 90 70"}));
}

// What has ended and is charged is no account any more, and its facts may be told again, in any order.
TEST_F(LedgerTest, ChargesNothingTwiceOfWhatIsLongOver) {
  TestNode& node = keep("a");
  publish_price(node, zone("a"), 60'000'000, minute(0));
  launch(node, "i-1", zone("a"), minute(0));
  end(node, "i-1", minute(90), false);
  run(absl::Hours(2));
  const auto once = charges(node);
  ASSERT_EQ(once.size(), 2U);
  launch(node, "i-1", zone("a"), minute(0));
  end(node, "i-1", minute(90), false);
  run(absl::Hours(3));
  EXPECT_EQ(charges(node), once);
}

// Prices that no hour needs any more are forgotten; those of a charge that is late are not.
TEST_F(LedgerTest, KeepsThePricesThatAnUnchargedHourNeeds) {
  TestNode& node = keep("a");
  run(absl::Seconds(10));  // so that the past is known
  publish_price(node, zone("a"), 60'000'000, minute(0));
  launch(node, "i-1", zone("a"), minute(0));
  run(absl::Seconds(1));
  // Three days ahead, as of a feed that is read in advance: the hour from minute 0 is still to be charged.
  for (int day = 1; day <= 3; ++day)
    publish_price(node, zone("a"), 1'000'000 * day, minute(day * 24 * 60));
  run(absl::Hours(1) + absl::Minutes(1));
  EXPECT_EQ(charges(node), (std::vector<std::string>{"i-1 0 60 60000000"}));
}

}  // namespace
}  // namespace supercloud
