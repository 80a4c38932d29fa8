// What moves send is charged once each, from whoever's word, and after whatever restarts.
#include "actors/ledger/transfers.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/ledger/ledger.h"
#include "actors/observer/describe.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

class TransfersTest : public MarketWorld {
 protected:
  TestNode& keep(const std::string& name) {
    TestNode& node = start(name);
    LedgerOptions options = options_;
    options.market = market;
    node.node->spawn("ledger", [this, &node, options](Context& context) {
      return std::make_unique<Ledger>(context, leases, node.session, options);
    });
    run(absl::Seconds(10));  // the past is known
    return node;
  }
  void join(TestNode& node, const std::string& name, const PlaceName& place,
            const std::string& instance) {
    publish(node, name, [&](Payload::Builder payload) {
      auto joined = payload.initNodeJoined();
      joined.setNode(name);
      write_place(place, {}, joined.initPlace());
      joined.setInstance(instance);
    });
  }
  EventId propose(TestNode& node) {
    return publish(node, "web1", [](Payload::Builder payload) { payload.initMigrationProposed(); })
        .id();
  }
  void begin(TestNode& node, const EventId& migration) {
    publish(
        node, "web1",
        [](Payload::Builder payload) {
          auto started = payload.initMigrationStarted();
          started.setSource("n1");
          started.setTarget("n2");
        },
        migration);
  }
  void complete(TestNode& node, const EventId& migration, std::uint64_t sent) {
    publish(
        node, "web1",
        [sent](Payload::Builder payload) {
          auto completed = payload.initMigrationCompleted();
          completed.setSource("n1");
          completed.setTarget("n2");
          completed.setSentBytes(sent);
          completed.setTotalMs(30'000);
        },
        migration);
  }
  void abort(TestNode& node, const EventId& migration, std::uint64_t sent) {
    publish(
        node, "web1",
        [sent](Payload::Builder payload) { payload.initMigrationAborted().setSentBytes(sent); },
        migration);
  }
  std::vector<std::string> charges(const TestNode& node) const {
    std::vector<std::string> lines;
    for (const Event& event : of(node, Payload::LEDGER_CHARGED)) lines.push_back(describe(event));
    return lines;
  }

  LedgerOptions options_;
};

TEST_F(TransfersTest, AreChargedToTheInstanceThatSentThemAndToTheDecision) {
  TestNode& node = keep("a");
  join(node, "n1", zone("a"), "i-1");
  const EventId migration = propose(node);
  begin(node, migration);
  const absl::Time began = market_now();
  run(absl::Seconds(30));
  complete(node, migration, 5 * gib + gib / 2);
  run(absl::Seconds(1));
  const auto charged = of(node, Payload::LEDGER_CHARGED);
  ASSERT_EQ(charged.size(), 1U);
  EXPECT_EQ(charged[0].topic(), "ledger.charged.main.i-1");
  const auto charge = charged[0].payload().getLedgerCharged();
  EXPECT_EQ(charge.getAmountNanoUsd(), 55'000'000);
  EXPECT_EQ(charge.getSentBytes(), 5 * gib + gib / 2);
  EXPECT_EQ(charge.getPriceNanoUsdPerHour(), 10'000'000) << "per GiB";
  EXPECT_EQ(text(charge.getPlace()), zone("a").id());
  EXPECT_EQ(EventId::from(charge.getDecision()), migration);
  EXPECT_FALSE(charge.hasPriceEvent());
  EXPECT_NEAR(absl::ToDoubleSeconds(absl::FromUnixNanos(charge.getFromNs()) - began), 0, 1);
  EXPECT_NEAR(static_cast<double>(charge.getToNs() - charge.getFromNs()) / 1e9, 30, 1);
  EXPECT_EQ(describe(charged[0]),
            "0.0550 USD for 5.5 GiB out of us-east-1a/spot (i-1), 0.0100 USD per GiB: sent by the "
            "move of web1 to n2");
}

// What an aborted move had sent is paid like any other. What sent nothing costs nothing, and nothing is said of it.
TEST_F(TransfersTest, OfAbortedMovesArePaidAsFarAsTheyWent) {
  options_.egress_per_gib = {20'000'000};
  TestNode& node = keep("a");
  join(node, "n1", zone("a"), "");
  const EventId none = propose(node), some = propose(node);
  abort(node, none, 0);
  begin(node, some);
  run(absl::Seconds(5));
  abort(node, some, gib / 4);
  run(absl::Seconds(1));
  EXPECT_EQ(charges(node), std::vector<std::string>{
                               "0.0050 USD for 256 MiB out of us-east-1a/spot, 0.0200 USD per "
                               "GiB: sent by the move of web1 to n2, which was aborted"});
  EXPECT_EQ(of(node, Payload::LEDGER_CHARGED)[0].topic(), "ledger.charged.main.n1")
      << "one's own host has no instance";
}

TEST_F(TransfersTest, AreChargedOnceHoweverOftenAndByWhomTheirEndIsTold) {
  keep("a");
  TestNode& b = keep("b");
  join(b, "n1", zone("a"), "i-1");
  const EventId first = propose(b), second = propose(b), third = propose(b);
  abort(b, first, 0);  // who did not know more
  abort(b, first, gib);
  abort(b, first, gib);
  complete(b, first, 2 * gib);
  run(absl::Seconds(1));
  ASSERT_EQ(charges(b).size(), 1U);
  nodes.at("a")->node->fail_actor("ledger", absl::InternalError("a test"));
  run(absl::Seconds(20));
  complete(b, second, gib);
  run(absl::Seconds(1));
  EXPECT_EQ(charges(b).size(), 2U);
  crash("a");
  complete(b, third, gib);  // while nobody has the role
  run(absl::Minutes(1));
  EXPECT_EQ(charges(b).size(), 3U);
  start("a");
  nodes.at("b")->node->fail_actor("ledger", absl::InternalError("a test"));
  run(absl::Minutes(1));
  for (const EventId& again : {first, second, third}) complete(b, again, gib);
  run(absl::Minutes(1));
  EXPECT_EQ(charges(b).size(), 3U);
}

// As a replay has it, whose guests do nothing.
TEST_F(TransfersTest, CountAsWhatAModelSaysAndAbortedOnesAsNoMore) {
  options_.transfer_bytes = 6 * gib;
  TestNode& node = keep("a");
  complete(node, propose(node), gib);
  abort(node, propose(node), gib);
  abort(node, propose(node), 9 * gib);
  run(absl::Seconds(1));
  std::vector<std::uint64_t> bytes;
  for (const Event& event : of(node, Payload::LEDGER_CHARGED))
    bytes.push_back(event.payload().getLedgerCharged().getSentBytes() / gib);
  EXPECT_EQ(bytes, (std::vector<std::uint64_t>{6, 1, 6}));
}

// 0 is a price as well: what was free is charged, so that a price that is set later does not reach back.
TEST_F(TransfersTest, ThatAreFreeAreChargedWithNothing) {
  options_.egress_per_gib = {};
  TestNode& node = keep("a");
  complete(node, propose(node), gib);
  run(absl::Seconds(1));
  const auto charged = of(node, Payload::LEDGER_CHARGED);
  ASSERT_EQ(charged.size(), 1U);
  EXPECT_EQ(charged[0].payload().getLedgerCharged().getAmountNanoUsd(), 0);
}

TEST_F(TransfersTest, AreTheSameInWhicheverOrderTheyAreHeardOf) {
  TestNode& node = start("a");
  const EventId migration = propose(node);
  begin(node, migration);
  run(absl::Seconds(2));
  abort(node, migration, gib);
  join(node, "n1", zone("a"), "i-1");
  run(absl::Seconds(1));
  const TransferRules rules{.market = market};
  const auto told = [&](std::vector<Event> events) {
    Transfers transfers(rules);
    for (const Event& event : events) transfers.apply(event);
    std::vector<std::string> lines;
    for (const auto& [id, due] : transfers.due()) {
      const Transfer one = transfers.with_place(due);
      lines.push_back(absl::StrCat(one.vm, " ", one.source, " ", one.target, " ", one.instance, " ",
                                   one.place, " ", absl::FormatDuration(one.to - one.from), " ",
                                   one.bytes));
    }
    return lines;
  };
  std::vector<Event> events = node.seen;
  const auto forward = told(events);
  ASSERT_EQ(forward.size(), 1U);
  EXPECT_NE(forward[0].find("i-1"), std::string::npos) << forward[0];
  std::reverse(events.begin(), events.end());
  EXPECT_EQ(told(events), forward);
}

}  // namespace
}  // namespace supercloud
