// The provider actor over the simulated market account.
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/provider/fixed_hosts.h"
#include "actors/provider/provider_actor.h"
#include "actors/provider/simulated_market.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;

class ProviderTest : public MarketWorld {
 protected:
  SimulatedMarketOptions account_options() const {
    SimulatedMarketOptions options;
    options.market = market;
    return options;
  }
  TestNode& provide(const std::string& name, Provider& provider,
                    ProviderActorOptions options = {}) {
    TestNode& node = start(name);
    options.market = market;
    node.node->spawn("provider", [this, &node, &provider, options](Context& context) {
      return std::make_unique<ProviderActor>(context, leases, node.session, provider, options);
    });
    run(absl::Seconds(3));
    return node;
  }
  absl::StatusOr<Message<schema::Response>> rent(TestNode& node, const PlaceName& place,
                                                 std::int64_t bid, const std::string& token,
                                                 const std::string& at = "a") {
    return ask(node, {at, "provider"},
               Message<schema::Request>::build([&](schema::Request::Builder request) {
                 auto rent = request.initRent();
                 rent.setPlace(place.id());
                 rent.setBidNanoUsdPerHour(bid);
                 rent.setClientToken(token);
                 rent.setWhy("a test");
               }));
  }
  absl::StatusOr<Message<schema::Response>> give_back(TestNode& node, const std::string& instance) {
    return ask(node, {"a", "provider"},
               Message<schema::Request>::build(
                   [&](schema::Request::Builder request) { request.setReturnInstance(instance); }));
  }
  static ProviderActorOptions told_by_the_facts(SimulatedMarket& account) {
    ProviderActorOptions options;
    options.adopt = [&account](const Instance& instance) {
      account.adopt(instance);
      return true;
    };
    return options;
  }
  // A VM's lease, held by `node`.
  void place_vm(const std::string& node) {
    Swap swap;
    swap.key = "vm/main/web1";
    swap.session = *nodes.at(node)->session.id;
    swap.swap_id = "define";
    leases.swap(std::move(swap),
                Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                  ASSERT_TRUE(result.ok() && result->won);
                }));
    run(absl::Seconds(1));
  }
  void remove_vm(const std::string& node) {
    Swap swap;
    swap.key = "vm/main/web1";
    swap.kind = SwapKind::REMOVE;
    swap.session = *nodes.at(node)->session.id;
    swap.swap_id = "remove";
    swap.epoch = 1;
    swap.revision = 1;
    leases.swap(std::move(swap),
                Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                  ASSERT_TRUE(result.ok() && result->won) << result->why;
                }));
  }
};

TEST_F(ProviderTest, RentsOnceForATokenHoweverOftenItIsAsked) {
  SimulatedMarket account(scheduler, account_options());
  TestNode& node = provide("a", account);
  publish_price(node, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  for (int i = 0; i < 3; ++i) {
    const auto answer = rent(node, zone("a"), 50'000'000, "token-1");
    EXPECT_TRUE(answer.ok()) << answer.status();
  }
  run(absl::Minutes(2));
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 1U);
  EXPECT_EQ(of(node, Payload::INSTANCE_REQUESTED).size(), 1U);
  const auto launched = of(node, Payload::INSTANCE_LAUNCHED)[0].payload().getInstanceLaunched();
  EXPECT_EQ(text(launched.getClientToken()), "token-1");
  EXPECT_EQ(launched.getPriceNanoUsdPerHour(), 30'000'000);
  const auto again = rent(node, zone("a"), 50'000'000, "token-1");
  EXPECT_EQ(text(again->reader().getInstance()), text(launched.getInstance()));
}

TEST_F(ProviderTest, RefusesABidBelowThePriceAPlaceThatIsFullAndWhatIsNoPlace) {
  SimulatedMarketOptions options = account_options();
  options.capacity[zone("b")] = 1;
  SimulatedMarket account(scheduler, options);
  TestNode& node = provide("a", account);
  publish_price(node, zone("a"), 30'000'000, market.origin);
  publish_price(node, zone("b"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  const auto low = rent(node, zone("a"), 29'999'999, "1");
  EXPECT_TRUE(absl::IsResourceExhausted(low.status())) << low.status();
  EXPECT_NE(low.status().message().find("below the price"), absl::string_view::npos);
  EXPECT_TRUE(rent(node, zone("b"), 30'000'000, "2").ok());
  EXPECT_NE(rent(node, zone("b"), 30'000'000, "3").status().message().find("no capacity"),
            absl::string_view::npos);
  EXPECT_TRUE(absl::IsUnavailable(rent(node, zone("c"), 30'000'000, "4").status()));
  PlaceName elsewhere = zone("a");
  elsewhere.cloud = "azure";
  EXPECT_TRUE(absl::IsInvalidArgument(rent(node, elsewhere, 1, "5").status()));
  EXPECT_EQ(of(node, Payload::INSTANCE_REFUSED).size(), 3U);
  // The price falls: the same token may be asked for again.
  publish_price(node, zone("a"), 10'000'000, market.origin + absl::Seconds(1));
  run(absl::Seconds(1));
  EXPECT_TRUE(rent(node, zone("a"), 29'999'999, "1").ok());
}

TEST_F(ProviderTest, GivesNoticeWhenThePriceExceedsTheBidAndThenTakesTheInstance) {
  SimulatedMarketOptions options = account_options();
  options.initial = {{zone("a"), "node-a", Money{100'000'000}}};
  SimulatedMarket account(scheduler, options);
  TestNode& node = provide("a", account);
  publish_price(node, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 1U);
  const auto launched = of(node, Payload::INSTANCE_LAUNCHED)[0].payload().getInstanceLaunched();
  EXPECT_EQ(launched.getLaunchedNs(), absl::ToUnixNanos(market.origin));
  EXPECT_EQ(text(launched.getNode()), "node-a");

  // the bid itself is enough
  publish_price(node, zone("a"), 100'000'000, market.origin + absl::Minutes(1));
  run(absl::Seconds(1));
  EXPECT_TRUE(of(node, Payload::SPOT_INTERRUPTION_NOTICE).empty());
  const Event spike = publish_price(node, zone("a"), 100'000'001, market.origin + absl::Minutes(2));
  run(absl::Seconds(1));
  ASSERT_EQ(of(node, Payload::SPOT_INTERRUPTION_NOTICE).size(), 1U);
  const Event event = of(node, Payload::SPOT_INTERRUPTION_NOTICE)[0];
  EXPECT_EQ(event.cause(), spike.id()) << "the price is why";
  const auto notice = event.payload().getSpotInterruptionNotice();
  EXPECT_EQ(text(notice.getNode()), "node-a");
  EXPECT_GT(notice.getNoticeNs(), 118'000'000'000);
  EXPECT_LE(notice.getNoticeNs(), 120'000'000'000);
  publish_price(node, zone("a"), 1'000'000, market.origin + absl::Minutes(3));  // too late
  run(absl::Seconds(117));
  EXPECT_TRUE(of(node, Payload::INSTANCE_REVOKED).empty());
  run(absl::Seconds(3));
  ASSERT_EQ(of(node, Payload::INSTANCE_REVOKED).size(), 1U);
  EXPECT_EQ(of(node, Payload::INSTANCE_REVOKED)[0].payload().getInstanceRevoked().getEndedNs(),
            notice.getDeadlineNs());
}

TEST_F(ProviderTest, TellsWhatRunsAndItsNoticesButNothingThatHasEnded) {
  SimulatedMarketOptions options = account_options();
  options.initial = {{zone("a"), "node-a", Money{100'000'000}},
                     {zone("b"), "node-b", Money{100'000'000}}};
  SimulatedMarket account(scheduler, options);
  TestNode& node = provide("a", account);
  const auto running = [&] {
    std::vector<std::string> events;
    const auto answer = ask(node, {"a", provider_actor},
                            Message<schema::Request>::build([](schema::Request::Builder request) {
                              request.setRunningInstances();
                            }));
    if (!answer.ok()) return std::vector<std::string>{answer.status().ToString()};
    EXPECT_TRUE(answer->reader().getLog().getEnd());
    for (const auto data : answer->reader().getLog().getEvents()) {
      const auto event =
          node.pool.parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
      events.push_back(event.ok() ? std::string(event->topic()) : event.status().ToString());
    }
    return events;
  };
  using Topics = std::vector<std::string>;
  EXPECT_EQ(running(), Topics{});
  publish_price(node, zone("a"), 30'000'000, market.origin);
  publish_price(node, zone("b"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  EXPECT_EQ(running(),
            (Topics{"instance.launched.main.i-aws-1", "instance.launched.main.i-aws-2"}));
  publish_price(node, zone("a"), 200'000'000, market.origin + absl::Minutes(2));
  run(absl::Seconds(1));
  EXPECT_EQ(running(),
            (Topics{"instance.launched.main.i-aws-1", "spot.interruption_notice.main.i-aws-1",
                    "instance.launched.main.i-aws-2"}));
  run(absl::Seconds(120));
  EXPECT_EQ(running(), Topics{"instance.launched.main.i-aws-2"});
}

TEST_F(ProviderTest, AsksWhoHoldsTheRoleForWhatRuns) {
  SimulatedMarket account(scheduler, account_options());
  provide("a", account);
  TestNode& other = provide("b", account);
  const auto answer = ask(other, {"b", provider_actor},
                          Message<schema::Request>::build([](schema::Request::Builder request) {
                            request.setRunningInstances();
                          }));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(text(answer->reader().getRedirect()), "a");
}

TEST_F(ProviderTest, ReturnsAnInstanceWithoutVmsAsItsPaidHourEndsAndNoOther) {
  SimulatedMarketOptions options = account_options();
  options.initial = {{zone("b"), "node-b", Money{100'000'000}}};
  SimulatedMarket account(scheduler, options);
  TestNode& node = provide("a", account);
  publish_price(node, zone("a"), 30'000'000, market.origin);
  publish_price(node, zone("b"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  EXPECT_TRUE(rent(node, zone("a"), 50'000'000, "1").ok());
  run(absl::Minutes(2));
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 2U);
  const auto launched = of(node, Payload::INSTANCE_LAUNCHED)[1].payload().getInstanceLaunched();
  start(std::string(text(launched.getNode())));
  place_vm(std::string(text(launched.getNode())));
  const auto busy = give_back(node, std::string(text(launched.getInstance())));
  EXPECT_NE(busy.status().message().find("vm/main/web1 is there"), absl::string_view::npos);
  run(absl::Minutes(100));
  EXPECT_TRUE(of(node, Payload::INSTANCE_RETURNED).empty());
  // The VM leaves.
  remove_vm(std::string(text(launched.getNode())));
  run(absl::Minutes(60));
  ASSERT_EQ(of(node, Payload::INSTANCE_RETURNED).size(), 1U);
  const auto returned = of(node, Payload::INSTANCE_RETURNED)[0].payload().getInstanceReturned();
  EXPECT_EQ(text(returned.getInstance()), text(launched.getInstance()));
  EXPECT_EQ(text(returned.getNode()), text(launched.getNode()));
  const std::int64_t used = (returned.getEndedNs() - launched.getLaunchedNs()) / 1'000'000'000;
  EXPECT_GE(used, 2 * 3600 - 181);
  EXPECT_LT(used, 2 * 3600);
  EXPECT_TRUE(of(node, Payload::INSTANCE_REVOKED).empty());
}

// Rule 14: the source of a move by post-copy is needed after the commit, and is in no record.
TEST_F(ProviderTest, ReturnsNothingThatMayBeTheSourceOfAMoveByPostCopy) {
  SimulatedMarket account(scheduler, account_options());
  TestNode& node = provide("a", account);
  publish_price(node, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  ASSERT_TRUE(rent(node, zone("a"), 50'000'000, "1").ok());
  run(absl::Minutes(2));
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 1U);
  const auto launched = of(node, Payload::INSTANCE_LAUNCHED)[0].payload().getInstanceLaunched();
  const std::string source(text(launched.getNode()));
  const std::string instance(text(launched.getInstance()));
  start(source);
  const Heir heir{"a", EventId{"a/executor", 1, 1}};
  const auto swap = [&](SwapKind kind, const std::string& by, Epoch epoch) {
    Swap wanted;
    wanted.key = "vm/main/web1";
    wanted.kind = kind;
    wanted.session = *nodes.at(by)->session.id;
    wanted.swap_id = absl::StrCat("swap ", static_cast<int>(kind));
    wanted.epoch = epoch;
    if (kind != SwapKind::DEFINE) wanted.heir = heir;
    if (kind == SwapKind::COMMIT) wanted.in_sync = {"a"};
    if (kind == SwapKind::DEFINE)
      wanted.value = std::string(Message<schema::VmSpec>::build([](schema::VmSpec::Builder spec) {
                                   spec.setName("web1");
                                   spec.setPostCopy(true);
                                 }).bytes());
    leases.swap(std::move(wanted),
                Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                  ASSERT_TRUE(result.ok() && result->won) << result->why;
                }));
    run(absl::Seconds(1));
  };
  swap(SwapKind::DEFINE, source, 0);
  swap(SwapKind::ACCEPT, source, 1);
  swap(SwapKind::COMMIT, "a", 1);
  const auto needed = give_back(node, instance);
  EXPECT_NE(needed.status().message().find("may need"), absl::string_view::npos) << needed.status();
  run(absl::Minutes(70));
  EXPECT_TRUE(of(node, Payload::INSTANCE_RETURNED).empty());
  swap(SwapKind::CLEAR_HEIR, "a", 2);  // its end was said
  EXPECT_TRUE(give_back(node, instance).ok());
}

TEST_F(ProviderTest, ReturnsAnInstanceWhoseVmLeavesInTheLastMinutesOfThePaidHour) {
  SimulatedMarket account(scheduler, account_options());
  TestNode& node = provide("a", account);
  publish_price(node, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  ASSERT_TRUE(rent(node, zone("a"), 50'000'000, "1").ok());
  run(absl::Minutes(2));
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 1U);
  const auto launched = of(node, Payload::INSTANCE_LAUNCHED)[0].payload().getInstanceLaunched();
  start(std::string(text(launched.getNode())));
  place_vm(std::string(text(launched.getNode())));
  const absl::Time end = absl::FromUnixNanos(launched.getLaunchedNs()) + absl::Hours(1);
  run(end - absl::Minutes(2) - market_now());  // the last three minutes have begun
  remove_vm(std::string(text(launched.getNode())));
  run(absl::Minutes(3));
  ASSERT_EQ(of(node, Payload::INSTANCE_RETURNED).size(), 1U);
  EXPECT_LT(of(node, Payload::INSTANCE_RETURNED)[0].payload().getInstanceReturned().getEndedNs(),
            absl::ToUnixNanos(end));
}

TEST_F(ProviderTest, ReturnsWhatIsBilledByTheSecondAsSoonAsItsVmHasMovedAway) {
  SimulatedMarketOptions options = account_options();
  options.billing = schema::Billing::PER_SECOND;
  SimulatedMarket account(scheduler, options);
  TestNode& node = provide("a", account);
  publish_price(node, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  for (const char* token : {"1", "2"}) ASSERT_TRUE(rent(node, zone("a"), 50'000'000, token).ok());
  run(absl::Minutes(2));
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 2U);
  const auto launched = of(node, Payload::INSTANCE_LAUNCHED)[0].payload().getInstanceLaunched();
  run(absl::Minutes(6));
  EXPECT_TRUE(of(node, Payload::INSTANCE_RETURNED).empty()) << "a VM may be on its way there";
  publish(node, "web1", [&](Payload::Builder payload) {
    auto completed = payload.initMigrationCompleted();
    completed.setSource(launched.getNode());
    completed.setTarget("a");
  });
  run(absl::Minutes(3));
  ASSERT_EQ(of(node, Payload::INSTANCE_RETURNED).size(), 1U) << "and not the other one";
  const auto returned = of(node, Payload::INSTANCE_RETURNED)[0].payload().getInstanceReturned();
  EXPECT_EQ(text(returned.getInstance()), text(launched.getInstance()));
  EXPECT_EQ(text(returned.getWhy()), "no VM is left on it");
  run(absl::Minutes(5));
  EXPECT_EQ(of(node, Payload::INSTANCE_RETURNED).size(), 2U) << "nobody came";
}

// Without a move that tells of it: the VM was destroyed, while nobody held the role.
TEST_F(ProviderTest, ReturnsWhatIsBilledByTheSecondAndUnusedAfterATakeoverToo) {
  SimulatedMarketOptions options = account_options();
  options.billing = schema::Billing::PER_SECOND;
  SimulatedMarket account(scheduler, options);
  provide("a", account);
  TestNode& b = provide("b", account);
  publish_price(b, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  ASSERT_TRUE(rent(b, zone("a"), 50'000'000, "1").ok());
  run(absl::Minutes(2));
  ASSERT_EQ(of(b, Payload::INSTANCE_LAUNCHED).size(), 1U);
  const auto launched = of(b, Payload::INSTANCE_LAUNCHED)[0].payload().getInstanceLaunched();
  start(std::string(text(launched.getNode())));
  place_vm(std::string(text(launched.getNode())));
  run(absl::Minutes(90));
  EXPECT_TRUE(of(b, Payload::INSTANCE_RETURNED).empty()) << "the VM is there";
  crash("a");
  remove_vm(std::string(text(launched.getNode())));
  run(absl::Minutes(15));
  ASSERT_EQ(of(b, Payload::INSTANCE_RETURNED).size(), 1U);
  const auto returned = of(b, Payload::INSTANCE_RETURNED)[0].payload().getInstanceReturned();
  EXPECT_EQ(text(returned.getInstance()), text(launched.getInstance()));
}

TEST_F(ProviderTest, IsTakenOverByAnotherNodeThatMissesNothing) {
  SimulatedMarketOptions options = account_options();
  options.initial = {{zone("a"), "node-a", Money{100'000'000}}};
  SimulatedMarket account(scheduler, options);
  provide("a", account);
  TestNode& b = provide("b", account);
  publish_price(b, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  EXPECT_EQ(of(b, Payload::INSTANCE_LAUNCHED).size(), 1U);
  const auto elsewhere = rent(b, zone("a"), 50'000'000, "1", "b");
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  ASSERT_TRUE(elsewhere->reader().isRedirect());
  EXPECT_EQ(text(elsewhere->reader().getRedirect()), "a");
  crash("a");
  // while nobody holds the role
  publish_price(b, zone("a"), 200'000'000, market.origin + absl::Minutes(1));
  run(absl::Seconds(30));
  EXPECT_EQ(of(b, Payload::INSTANCE_LAUNCHED).size(), 1U) << "a fact is said once";
  EXPECT_EQ(of(b, Payload::SPOT_INTERRUPTION_NOTICE).size(), 1U);
  run(absl::Minutes(3));
  EXPECT_EQ(of(b, Payload::INSTANCE_REVOKED).size(), 1U);
}

TEST_F(ProviderTest, TellsAnotherProcesssCopyOfASimulatedAccountWhatIsRented) {
  SimulatedMarketOptions options = account_options();
  options.initial = {{zone("a"), "node-a", Money{100'000'000}}};
  SimulatedMarket first(scheduler, options);
  SimulatedMarket second(scheduler, options);
  provide("a", first);
  TestNode& b = provide("b", second, told_by_the_facts(second));
  publish_price(b, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  EXPECT_TRUE(rent(b, zone("a"), 50'000'000, "1", "a").ok());
  run(absl::Minutes(2));
  ASSERT_EQ(of(b, Payload::INSTANCE_LAUNCHED).size(), 2U);
  crash("a");
  run(absl::Seconds(30));
  EXPECT_EQ(of(b, Payload::INSTANCE_LAUNCHED).size(), 2U);
  EXPECT_TRUE(of(b, Payload::INSTANCE_REVOKED).empty());
  publish_price(b, zone("a"), 60'000'000, market.origin + absl::Minutes(5));
  run(absl::Minutes(3));
  EXPECT_EQ(of(b, Payload::INSTANCE_REVOKED).size(), 1U) << "only the one that bid less";
}

// Prices that let it rent, or give notice, are told when it knows what is rented.
TEST_F(ProviderTest, AnAccountOfANewProcessGivesNoIdOutAgainAndKeepsTheNoticesThatWereGiven) {
  SimulatedMarketOptions options = account_options();
  options.initial = {{zone("a"), "node-a", Money{100'000'000}},
                     {zone("b"), "node-b", Money{100'000'000}},
                     {zone("c"), "node-c", Money{100'000'000}}};
  SimulatedMarket first(scheduler, options);
  SimulatedMarket second(scheduler, options);
  provide("a", first);
  TestNode& b = provide("b", second, told_by_the_facts(second));
  for (const char* name : {"a", "b", "c"}) publish_price(b, zone(name), 30'000'000, market.origin);
  run(absl::Seconds(1));
  EXPECT_TRUE(rent(b, zone("c"), 50'000'000, "1", "a").ok());
  run(absl::Minutes(2));
  ASSERT_EQ(of(b, Payload::INSTANCE_LAUNCHED).size(), 4U);
  // The first and the last end, a third is under notice; the first one's price stays high.
  publish_price(b, zone("a"), 200'000'000, market.origin + absl::Minutes(3));
  EXPECT_TRUE(
      give_back(
          b,
          std::string(text(
              of(b, Payload::INSTANCE_LAUNCHED)[3].payload().getInstanceLaunched().getInstance())))
          .ok());
  run(absl::Minutes(3));
  publish_price(b, zone("c"), 200'000'000, market.origin + absl::Minutes(6));
  run(absl::Seconds(5));
  ASSERT_EQ(of(b, Payload::SPOT_INTERRUPTION_NOTICE).size(), 2U);
  ASSERT_EQ(of(b, Payload::INSTANCE_REVOKED).size(), 1U);
  publish_price(b, zone("c"), 30'000'000, market.origin + absl::Minutes(7));  // too late
  crash("a");
  run(absl::Minutes(3));
  EXPECT_EQ(of(b, Payload::INSTANCE_REVOKED).size(), 2U) << "once given, a notice stands";
  EXPECT_EQ(of(b, Payload::INSTANCE_LAUNCHED).size(), 4U);
  EXPECT_TRUE(absl::IsFailedPrecondition(rent(b, zone("c"), 50'000'000, "1", "b").status()))
      << "the same token never rents twice";
  EXPECT_TRUE(rent(b, zone("c"), 50'000'000, "2", "b").ok());
  run(absl::Minutes(2));
  std::set<std::string> ids;
  for (const Event& event : of(b, Payload::INSTANCE_LAUNCHED))
    ids.insert(std::string(text(event.payload().getInstanceLaunched().getInstance())));
  EXPECT_EQ(ids.size(), 5U);
}

TEST_F(ProviderTest, LendsFixedHostsAndTakesThemBack) {
  FixedHosts hosts(scheduler, market, "own",
                   {{"h2", {"own", "home", "rack", "box", false}, Money{}},
                    {"h1", {"own", "home", "rack", "box", false}, Money{}}});
  TestNode& node = provide("a", hosts);
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 2U);
  const PlaceName box{"own", "home", "rack", "box", false};
  EXPECT_TRUE(absl::IsResourceExhausted(rent(node, box, 0, "1").status()));
  EXPECT_TRUE(give_back(node, "host-h1").ok());
  EXPECT_TRUE(rent(node, box, 0, "1").ok());
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 3U);
  const auto again = of(node, Payload::INSTANCE_LAUNCHED)[2].payload().getInstanceLaunched();
  EXPECT_EQ(text(again.getNode()), "h1");
  EXPECT_NE(text(again.getInstance()), "host-h1") << "bills are kept by instance";
}

TEST_F(ProviderTest, AHostThatIsFreeAtFirstIsRentedAtItsPrice) {
  const PlaceName box{"own", "home", "rack", "box", false};
  FixedHosts hosts(scheduler, market, "own",
                   {{"h1", box, Money{20'000'000}}, {"h2", box, Money{20'000'000}, false}});
  TestNode& node = provide("a", hosts);
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 1U);
  const auto answer = rent(node, box, 0, "1");
  EXPECT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(of(node, Payload::INSTANCE_LAUNCHED).size(), 2U);
  const auto launched = of(node, Payload::INSTANCE_LAUNCHED)[1].payload().getInstanceLaunched();
  EXPECT_EQ(text(launched.getNode()), "h2");
  EXPECT_EQ(launched.getPriceNanoUsdPerHour(), 20'000'000);
}

TEST_F(ProviderTest, FixedHostsOfAProcessThatStartedAnewStandAsTheFactsSay) {
  const PlaceName box{"own", "home", "rack", "box", false};
  const std::vector<FixedHost> list = {{"h1", box, Money{}}, {"h2", box, Money{}}};
  FixedHosts before(scheduler, market, "own", list);
  TestNode& node = provide("a", before);
  EXPECT_TRUE(give_back(node, "host-h1").ok());
  EXPECT_TRUE(give_back(node, "host-h2").ok());
  EXPECT_TRUE(rent(node, box, 0, "1").ok());  // h1, again
  crash("a");
  run(absl::Seconds(30));

  FixedHosts after(scheduler, market, "own", list);
  ProviderActorOptions options;
  options.adopt = [&after](const Instance& instance) { return after.adopt(instance); };
  TestNode& again = provide("a", after, options);
  run(absl::Seconds(30));
  EXPECT_TRUE(of(again, Payload::INSTANCE_RETURNED).empty()) << "h1 is in use as before";
  const auto same = rent(again, box, 0, "1");
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(same->reader().isInstance()) << "the same token, the same instance";
  EXPECT_TRUE(rent(again, box, 0, "2").ok()) << "h2 was given back, and is free";
  EXPECT_TRUE(absl::IsResourceExhausted(rent(again, box, 0, "3").status()));
}

// A host that is on the list no more is none.
TEST_F(ProviderTest, AFixedHostThatWasTakenFromTheListHasEnded) {
  const PlaceName box{"own", "home", "rack", "box", false};
  FixedHosts before(scheduler, market, "own", {{"h1", box, Money{}}});
  provide("a", before);
  crash("a");
  run(absl::Seconds(30));
  FixedHosts after(scheduler, market, "own", {});
  ProviderActorOptions options;
  options.adopt = [&after](const Instance& instance) { return after.adopt(instance); };
  TestNode& again = provide("a", after, options);
  run(absl::Seconds(30));
  EXPECT_EQ(of(again, Payload::INSTANCE_RETURNED).size(), 1U);
}

TEST_F(ProviderTest, AnEndThatIsHeardBeforeItsLaunchStands) {
  SimulatedMarket account(scheduler, account_options());
  TestNode& node = provide("a", account);
  const auto launched = [&] {
    publish(node, "i-9", [&](Payload::Builder payload) {
      auto launch = payload.initInstanceLaunched();
      launch.setInstance("i-9");
      write_place(zone("a"), {}, launch.initPlace());
      launch.setNode("n");
      launch.setClientToken("9");
    });
  };
  publish(node, "i-9", [&](Payload::Builder payload) {
    auto ended = payload.initInstanceRevoked();
    ended.setInstance("i-9");
    ended.setPlace(zone("a").id());
  });
  launched();
  run(absl::Seconds(1));
  EXPECT_TRUE(give_back(node, "i-9").ok()) << "it has ended already";
  EXPECT_TRUE(of(node, Payload::INSTANCE_RETURNED).empty());
  EXPECT_TRUE(absl::IsNotFound(give_back(node, "i-8").status()));
}

}  // namespace
}  // namespace supercloud
