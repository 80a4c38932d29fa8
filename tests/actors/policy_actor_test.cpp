#include "actors/policy/policy_actor.h"

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;
using Decide = std::function<Message<schema::Decision>(schema::World::Reader)>;

class TestPolicy final : public Policy {
 public:
  explicit TestPolicy(Decide decide) : decide_(std::move(decide)) {}
  std::string name() const override { return "test"; }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    if (decide_) {
      reply(decide_(world.reader()));
    } else {
      kept = std::move(reply);  // never answered
    }
  }
  Reply<Message<schema::Decision>> kept;

 private:
  Decide decide_;
};

class PolicyActorTest : public MarketWorld {
 protected:
  static constexpr std::int64_t cent = 10'000'000;

  // The VM web1 on node a in zone a, `running` or about to; prices 3 and 1 cents in a and b. Its hour began at the market's
  // origin.
  TestNode& furnish(const std::string& policy, PolicyRegistry registry = built_in_policies(),
                    bool running = true, PolicyActorOptions options = {}) {
    TestNode& node = start("a");
    options.market = market;
    node.node->spawn("policy", [this, registry, options](Context& context) {
      return std::make_unique<PolicyActor>(context, leases, registry, options);
    });
    run(absl::Seconds(3));
    publish(node, "i-1", [&](Payload::Builder payload) {
      auto launched = payload.initInstanceLaunched();
      launched.setInstance("i-1");
      write_place(zone("a"), {}, launched.initPlace());
      launched.setBidNanoUsdPerHour(17 * cent);
      launched.setLaunchedNs(absl::ToUnixNanos(market.origin));
      launched.setNode("a");
    });
    publish_price(node, zone("a"), 3 * cent, market.origin);
    publish_price(node, zone("b"), 1 * cent, market.origin);
    const auto spec = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder builder) {
      builder.setName("web1");
      builder.setPolicy(policy);
    });
    Swap swap;
    swap.key = "vm/main/web1";
    swap.session = *node.session.id;
    swap.swap_id = "define";
    swap.value = std::string(spec.bytes());
    leases.swap(std::move(swap),
                Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                  ASSERT_TRUE(result.ok() && result->won);
                }));
    run(absl::Seconds(1));
    publish(node, "web1", [](Payload::Builder payload) { payload.initVmDefined().setNode("a"); });
    if (running) resumed(node, "a", 1);
    run(absl::Seconds(1));
    return node;
  }
  static void resumed(TestNode& node, const std::string& where, Epoch epoch) {
    Draft draft = node.hand->draft("web1");
    draft.payload().initVmResumed().setNode(where);
    draft.epoch(epoch);
    node.hand->publish(std::move(draft), [](const absl::Status&) {});
  }
  Event give_notice(TestNode& node) {
    return publish(node, "i-1", [&](Payload::Builder payload) {
      auto body = payload.initSpotInterruptionNotice();
      body.setInstance("i-1");
      body.setNode("a");
      body.setDeadlineNs(absl::ToUnixNanos(market_now() + absl::Seconds(120)));
    });
  }
  void until(int minute, int second = 0) {
    const absl::Duration left =
        market.origin + absl::Minutes(minute) + absl::Seconds(second) - market_now();
    ASSERT_GT(left, absl::ZeroDuration());
    run(left);
  }
  static std::vector<std::string> considered(const TestNode& node) {
    std::vector<std::string> lines;
    for (const Event& event : of(node, Payload::POLICY_CONSIDERED)) {
      const auto body = event.payload().getPolicyConsidered();
      lines.push_back(absl::StrCat(std::string(text(body.getChoice())), ": ",
                                   std::string(text(body.getReason()))));
    }
    return lines;
  }
  // The Decision that `policy explain` is told.
  nlohmann::json explained(TestNode& node) {
    const auto answer = ask(node, {"a", "policy"},
                            Message<schema::Request>::build([](schema::Request::Builder request) {
                              request.initExplainPolicy().setName("web1");
                            }));
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok() || !answer->reader().isJson()) return nlohmann::json::object();
    return nlohmann::json::parse(std::string(text(answer->reader().getJson())));
  }
  void refuse(TestNode& node, const EventId& migration) {
    publish(
        node, "web1", [](Payload::Builder payload) { payload.initMigrationRefused(); }, migration);
  }
  static PolicyRegistry with(Decide decide) {
    PolicyRegistry registry = built_in_policies();
    registry["test"] = [decide] { return std::make_unique<TestPolicy>(decide); };
    return registry;
  }
  static Decide always(const std::string& choice) {
    return [choice](schema::World::Reader) {
      return Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
        decision.setChoice(choice);
        decision.setReason("a test says so");
      });
    };
  }
};

TEST_F(PolicyActorTest, ProposesTheCheapestPlaceAsThePaidHourEnds) {
  TestNode& node = furnish("cheapest");
  ASSERT_EQ(considered(node).size(), 1U);
  EXPECT_EQ(
      considered(node)[0],
      "stay: the hour at aws/us-east-1/us-east-1a/r3.large/spot is paid until 2015-08-22 01:00");
  until(56, 59);
  EXPECT_TRUE(of(node, Payload::MIGRATION_PROPOSED).empty());
  until(57, 1);
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  const Event event = of(node, Payload::MIGRATION_PROPOSED)[0];
  const auto proposed = event.payload().getMigrationProposed();
  EXPECT_EQ(text(proposed.getTargetPlace()), zone("b").id());
  EXPECT_EQ(text(proposed.getProposer()), "policy cheapest");
  EXPECT_FALSE(proposed.getLeaving());
  EXPECT_EQ(text(proposed.getSourceNode()), "a");
  EXPECT_EQ(proposed.getGainNanoUsd(), 2 * cent);
  const std::vector<Event> prices = of(node, Payload::SPOT_PRICE_CHANGED);
  ASSERT_EQ(proposed.getEvidence().size(), 2U);
  EXPECT_EQ(EventId::from(proposed.getEvidence()[0]), prices[0].id());
  EXPECT_EQ(EventId::from(proposed.getEvidence()[1]), prices[1].id());
  EXPECT_EQ(considered(node).size(), 2U);
}

TEST_F(PolicyActorTest, CountsLooksThatChangeNothingAndTellsAtTheHoursEnd) {
  const Decide cheapest_at_every_price = [](schema::World::Reader world) {
    const auto decided = decide_cheapest(world);
    return Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
      decision.setReason(decided.reader().getReason());
      decision.setCandidates(decided.reader().getCandidates());
      decision.setWakeAtNs(decided.reader().getWakeAtNs());
    });
  };
  TestNode& node = furnish("test", with(cheapest_at_every_price));
  for (int i = 1; i <= 10; ++i) {
    publish_price(node, zone("a"), cent / 2 + i, market.origin + absl::Minutes(i));
    run(absl::Minutes(1));
  }
  EXPECT_EQ(considered(node).size(), 1U);
  until(58);
  ASSERT_EQ(considered(node).size(), 2U);
  const auto body = of(node, Payload::POLICY_CONSIDERED)[1].payload().getPolicyConsidered();
  EXPECT_EQ(text(body.getChoice()), "stay");
  EXPECT_GE(body.getUnchangedLooks(), 10U);
  EXPECT_GT(body.getLastLook(), 0U);
  EXPECT_EQ(body.getCandidates().size(), 2U);
  EXPECT_EQ(body.getWakeAtNs(), absl::ToUnixNanos(market.origin + absl::Minutes(117)));
  until(118);
  EXPECT_EQ(considered(node).size(), 3U);
}

TEST_F(PolicyActorTest, IsNotAskedForPricesBelowTheBidWhileTheHourIsPaid) {
  TestNode& node = furnish("cheapest");
  for (int i = 1; i <= 10; ++i) {
    publish_price(node, zone("a"), cent / 2 + i, market.origin + absl::Minutes(i));
    run(absl::Minutes(1));
  }
  until(58);
  ASSERT_EQ(considered(node).size(), 2U);
  const auto body = of(node, Payload::POLICY_CONSIDERED)[1].payload().getPolicyConsidered();
  EXPECT_LT(body.getUnchangedLooks(), 10U);
  until(70);
  publish_price(node, zone("a"), 18 * cent, market.origin + absl::Minutes(70));
  run(absl::Seconds(1));
  ASSERT_EQ(considered(node).size(), 3U);
  EXPECT_NE(considered(node)[2].find("exceeds the bid"), std::string::npos);
}

TEST_F(PolicyActorTest, FleesFromANoticeWithItsDeadline) {
  TestNode& node = furnish("cheapest");
  const Event notice = give_notice(node);
  run(absl::Seconds(1));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  const Event event = of(node, Payload::MIGRATION_PROPOSED)[0];
  EXPECT_EQ(event.cause(), notice.id());
  const auto evidence = event.payload().getMigrationProposed().getEvidence();
  ASSERT_GT(evidence.size(), 0U);
  EXPECT_EQ(EventId::from(evidence[0]), notice.id());
  EXPECT_LE(event.payload().getMigrationProposed().getDeadlineNs(), 120'000'000'000);
  EXPECT_GT(event.payload().getMigrationProposed().getDeadlineNs(), 119'000'000'000);
}

TEST_F(PolicyActorTest, FleesThoughItWaitsForTheAnswerToWhatItProposedBeforeTheNotice) {
  TestNode& node = furnish("test", with(always(zone("b").id())));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  give_notice(node);
  run(absl::Seconds(1));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U);
  const Event event = of(node, Payload::MIGRATION_PROPOSED)[1];
  EXPECT_TRUE(event.payload().getMigrationProposed().getLeaving());
  EXPECT_GT(event.payload().getMigrationProposed().getDeadlineNs(), 0);
  refuse(node, of(node, Payload::MIGRATION_PROPOSED)[0].id());  // replaced
  publish_price(node, zone("a"), 4 * cent, market.origin + absl::Seconds(1));
  run(absl::Seconds(1));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U) << "the flight is proposed once";
}

TEST_F(PolicyActorTest, HasOneProposalOpenAndWaitsAfterARefusal) {
  TestNode& node = furnish("test", with(always(zone("b").id())));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  publish_price(node, zone("a"), 4 * cent, market.origin + absl::Seconds(1));
  run(absl::Seconds(20));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U) << "it is not answered yet";
  refuse(node, of(node, Payload::MIGRATION_PROPOSED)[0].id());
  run(absl::Seconds(50));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U) << "nothing has changed";
  run(absl::Seconds(11));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U) << "a minute is over";
  refuse(node, of(node, Payload::MIGRATION_PROPOSED)[1].id());
  run(absl::Seconds(1));
  publish_price(node, zone("b"), cent / 2, market.origin + absl::Seconds(2));
  run(absl::Seconds(3));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U) << "not at once, even so";
  run(absl::Seconds(3));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 3U) << "the target's price has changed";
}

// Its node.joined was not heard: it left before anybody had subscribed.
TEST_F(PolicyActorTest, ProposesARefusedTargetAgainSoonWhenANodeIsHeardOfThere) {
  TestNode& node = furnish("test", with(always(zone("b").id())));
  refuse(node, of(node, Payload::MIGRATION_PROPOSED).at(0).id());
  run(absl::Seconds(10));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  publish(node, "b", [&](Payload::Builder payload) {
    auto capacity = payload.initNodeCapacity();
    capacity.setNode("b");
    capacity.initJoined().setNode("b");
    write_place(zone("b"), {}, capacity.getJoined().initPlace());
  });
  run(absl::Milliseconds(100));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U);
}

TEST_F(PolicyActorTest, ProposesNothingWhileAMoveIsUnderWay) {
  TestNode& node = furnish("test", with(always(zone("b").id())));
  const EventId migration = of(node, Payload::MIGRATION_PROPOSED).at(0).id();
  leases.swap({.key = "vm/main/web1",
               .kind = SwapKind::ACCEPT,
               .session = *node.session.id,
               .swap_id = "accept",
               .epoch = 1,
               .heir = Heir{"b", migration}},
              Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                ASSERT_TRUE(result.ok() && result->won) << result->why;
              }));
  publish(
      node, "web1", [](Payload::Builder payload) { payload.initMigrationAccepted(); }, migration);
  run(absl::Minutes(5));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  publish(
      node, "web1", [](Payload::Builder payload) { payload.initMigrationAborted(); }, migration);
  run(absl::Seconds(59));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  run(absl::Seconds(5));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U);
}

TEST_F(PolicyActorTest, HoldsBackByABudgetWhatAnyPolicyWantsUntilThereIsRoomAgain) {
  PolicyActorOptions options;
  options.world.moving_max = 1;
  TestNode& node = furnish("cheapest", built_in_policies(), true, options);
  const Event other = publish(node, "web2", [](Payload::Builder payload) {
    auto proposed = payload.initMigrationProposed();
    proposed.setVm("web2");
    proposed.setSourceNode("b");
    proposed.setTargetNode("c");
  });
  publish(
      node, "web2", [](Payload::Builder payload) { payload.initMigrationAccepted(); }, other.id());
  until(57, 1);
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U) << "that of the other VM";
  EXPECT_EQ(considered(node).back(),
            "stay: staying for now: another VM is moving, and no more may at once; else it would "
            "go to aws/us-east-1/us-east-1b/r3.large/spot: the paid hour at "
            "aws/us-east-1/us-east-1a/r3.large/spot ends; the next would cost 0.0300, at "
            "aws/us-east-1/us-east-1b/r3.large/spot 0.0100");
  publish(
      node, "web2", [](Payload::Builder payload) { payload.initMigrationAborted(); }, other.id());
  run(absl::Seconds(1));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U);
}

TEST_F(PolicyActorTest, ProposesNothingBeforeTheVmRunsAndAtOnceWhenItDoes) {
  TestNode& node = furnish("test", with(always(zone("b").id())), false);
  EXPECT_EQ(considered(node).size(), 1U) << "it says what it wants";
  run(absl::Seconds(5));
  resumed(node, "elsewhere", 1);
  resumed(node, "a", 0);
  run(absl::Seconds(1));
  EXPECT_TRUE(of(node, Payload::MIGRATION_PROPOSED).empty()) << "not here, not at this epoch";
  resumed(node, "a", 1);
  run(absl::Milliseconds(100));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
}

TEST_F(PolicyActorTest, FleesAsSoonAsTheVmRunsWithTheTimeThatIsLeft) {
  TestNode& node = furnish("cheapest", built_in_policies(), false);
  give_notice(node);
  run(absl::Seconds(5));
  EXPECT_TRUE(of(node, Payload::MIGRATION_PROPOSED).empty());
  resumed(node, "a", 1);
  run(absl::Milliseconds(100));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  const auto proposed = of(node, Payload::MIGRATION_PROPOSED)[0].payload().getMigrationProposed();
  EXPECT_LE(proposed.getDeadlineNs(), 115'000'000'000);
  EXPECT_GT(proposed.getDeadlineNs(), 114'000'000'000);
}

TEST_F(PolicyActorTest, TakesAVmToRunThatNobodySawStartAfterAWhile) {
  TestNode& node = furnish("test", with(always(zone("b").id())), false);
  run(absl::Seconds(7));
  EXPECT_TRUE(of(node, Payload::MIGRATION_PROPOSED).empty());
  run(absl::Seconds(4));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
}

TEST_F(PolicyActorTest, KnowsAfterAFailureFromItsLogThatTheVmRuns) {
  TestNode& node = furnish("cheapest");
  node.node->fail_actor("policy", absl::InternalError("a test"));
  run(absl::Seconds(1));
  give_notice(node);
  run(absl::Milliseconds(100));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
}

TEST_F(PolicyActorTest, StaysAndSaysSoWhenThePolicyIsUnknownSilentOrTalksNonsense) {
  PolicyRegistry registry = with(always("aws/nowhere/x/y/spot"));
  registry["silent"] = [] { return std::make_unique<TestPolicy>(nullptr); };
  for (const auto& [policy, what] : std::vector<std::pair<std::string, std::string>>{
           {"smrat",
            "stay: there is no policy \"smrat\" (known: cheapest, silent, smart-spot, stay, test, "
            "threshold-10"},
           {"silent", "stay: policy silent did not answer within 1s; staying"},
           {"test",
            "stay: policy test answered nonsense: it chose \"aws/nowhere/x/y/spot\", which is no "
            "place"}}) {
    SCOPED_TRACE(policy);
    TestNode& node = start("x" + policy);
    PolicyActorOptions options;
    options.market = market;
    node.node->spawn("policy", [this, registry, options](Context& context) {
      return std::make_unique<PolicyActor>(context, leases, registry, options);
    });
    run(absl::Seconds(3));
    const auto spec =
        Message<schema::VmSpec>::build([&, name = policy](schema::VmSpec::Builder builder) {
          builder.setName(name);
          builder.setPolicy(name);
        });
    Swap swap;
    swap.key = "vm/main/" + policy;
    swap.session = *node.session.id;
    swap.swap_id = "define " + policy;
    swap.value = std::string(spec.bytes());
    leases.swap(std::move(swap),
                Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                  ASSERT_TRUE(result.ok() && result->won);
                }));
    run(absl::Seconds(20));
    ASSERT_EQ(considered(node).size(), 1U);
    EXPECT_TRUE(considered(node)[0].starts_with(what)) << considered(node)[0];
    EXPECT_TRUE(of(node, Payload::MIGRATION_PROPOSED).empty());
  }
}

TEST_F(PolicyActorTest, TellsEachKindOfFailureOnceAndThenItsNumberNowAndThen) {
  int asked = 0;
  const Decide decide = [&asked](schema::World::Reader) {
    ++asked;
    return Message<schema::Decision>::build(
        [](schema::Decision::Builder decision) { decision.setChoice("aws/nowhere/x/y/spot"); });
  };
  TestNode& node = furnish("test", with(decide));
  const auto failures = [&] { return of(node, Payload::POLICY_FAILED); };
  ASSERT_EQ(failures().size(), 1U);
  const auto first = failures()[0].payload().getPolicyFailed();
  EXPECT_EQ(text(first.getPolicy()), "test");
  EXPECT_EQ(text(first.getWhy()),
            "policy test answered nonsense: it chose \"aws/nowhere/x/y/spot\", which is no place "
            "that is known");
  EXPECT_EQ(failures()[0].subject(), "web1");
  for (int i = 1; i <= 20; ++i) {
    publish_price(node, zone("a"), cent + i, market.origin + absl::Seconds(i));
    run(absl::Seconds(1));
  }
  EXPECT_LE(asked, 4) << "prices do not make it be asked sooner";
  EXPECT_GE(asked, 3);
  EXPECT_EQ(failures().size(), 1U);
  run(absl::Minutes(6));
  publish_price(node, zone("a"), cent, market.origin + absl::Minutes(5));
  run(absl::Seconds(1));
  ASSERT_EQ(failures().size(), 2U);
  EXPECT_NE(
      text(failures()[1].payload().getPolicyFailed().getWhy()).find(" more of this kind before)"),
      std::string_view::npos);
  EXPECT_EQ(considered(node).size(), 1U);
}

TEST_F(PolicyActorTest, AsksAgainAfterAFailureThoughNothingElseHappens) {
  bool well = false;
  int asked = 0;
  PolicyRegistry registry = with([&](schema::World::Reader) {
    ++asked;
    return Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
      decision.setChoice(well ? zone("b").id() : "nowhere");
    });
  });
  TestNode& node = furnish("test", registry);
  const int before = asked;
  run(absl::Minutes(1));
  EXPECT_GT(asked, before);
  EXPECT_LT(asked, before + 8) << "less often each time";
  EXPECT_TRUE(of(node, Payload::MIGRATION_PROPOSED).empty());
  well = true;
  run(absl::Minutes(2));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
}

TEST_F(PolicyActorTest, SaysHowLongALatePolicyWasWaitedFor) {
  PolicyRegistry registry = built_in_policies();
  registry["silent"] = [] { return std::make_unique<TestPolicy>(nullptr); };
  TestNode& node = furnish("silent", registry);
  run(absl::Seconds(2));
  ASSERT_EQ(of(node, Payload::POLICY_FAILED).size(), 1U);
  const auto failed = of(node, Payload::POLICY_FAILED)[0].payload().getPolicyFailed();
  EXPECT_EQ(text(failed.getWhy()), "policy silent did not answer within 1s");
  EXPECT_EQ(failed.getTookNs(), 1'000'000'000);
}

TEST_F(PolicyActorTest, AsksAPolicyThatIsNotReadySoonAgainAndCallsThatNoFailure) {
  class Starting final : public Policy {
   public:
    std::string name() const override { return "test"; }
    void decide(Message<schema::World>, Reply<Message<schema::Decision>> reply) override {
      if (++asked < 4) return reply(absl::FailedPreconditionError("it is starting"));
      reply(always(zone("b").id())({}));
    }
    int asked = 0;
  };
  PolicyRegistry registry = built_in_policies();
  registry["test"] = [] { return std::make_unique<Starting>(); };
  TestNode& node = furnish("test", registry);
  run(absl::Seconds(2));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  EXPECT_TRUE(of(node, Payload::POLICY_FAILED).empty());
  EXPECT_EQ(considered(node)[0], "stay: policy test is not ready yet (it is starting); staying");
}

TEST_F(PolicyActorTest, IsNotKeptBusyByAPolicyThatAsksToBeWokenAtOnce) {
  int asked = 0;
  TestNode& node =
      furnish("test", with([&asked](schema::World::Reader world) {
                ++asked;
                return Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
                  decision.setWakeAtNs(world.getNowNs() + 1);
                });
              }));
  EXPECT_FALSE(considered(node).empty());
  const int before = asked;
  run(absl::Seconds(10));
  EXPECT_GE(asked - before, 9);
  EXPECT_LE(asked - before, 11);
}

// Its policy would move at once, if only because it knows no price.
TEST_F(PolicyActorTest, DecidesNothingOnANewNodeBeforeItHasReadWhatOthersKnow) {
  TestNode& a = furnish("stay");
  TestNode& fresh = start("fresh");
  std::vector<std::size_t> known;
  const Decide decide = [&known](schema::World::Reader world) {
    known.push_back(world.getCandidates().size());
    return Message<schema::Decision>::build([](schema::Decision::Builder) {});
  };
  PolicyActorOptions options;
  options.market = market;
  fresh.node->spawn("policy", [this, options, registry = with(decide)](Context& context) {
    return std::make_unique<PolicyActor>(context, leases, registry, options);
  });
  const auto spec = Message<schema::VmSpec>::build([](schema::VmSpec::Builder builder) {
    builder.setName("web2");
    builder.setPolicy("test");
  });
  leases.swap({.key = "vm/main/web2",
               .session = *fresh.session.id,
               .swap_id = "define web2",
               .value = std::string(spec.bytes())},
              Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                ASSERT_TRUE(result.ok() && result->won);
              }));
  run(absl::Milliseconds(100));
  publish(fresh, "web2",
          [](Payload::Builder payload) { payload.initVmStarted().setNode("fresh"); });
  run(absl::Milliseconds(100));
  EXPECT_TRUE(known.empty());
  const std::size_t beats = of(fresh, Payload::NODE_CAPACITY).size();
  run(absl::Seconds(2) + absl::Milliseconds(200));
  EXPECT_GT(of(fresh, Payload::NODE_CAPACITY).size(), beats);
  ASSERT_FALSE(known.empty()) << "it has heard of the other";
  for (const std::size_t places : known) EXPECT_EQ(places, 2U);
  EXPECT_FALSE(a.seen.empty());
}

TEST_F(PolicyActorTest, ExplainsOnRequestAndNamesTheNodeThatKnows) {
  TestNode& node = furnish("cheapest");
  start("b").node->spawn("policy", [this](Context& context) {
    PolicyActorOptions options;
    options.market = market;
    return std::make_unique<PolicyActor>(context, leases, built_in_policies(), options);
  });
  run(absl::Seconds(3));
  const auto explain = [](const std::string& name) {
    return Message<schema::Request>::build(
        [&](schema::Request::Builder request) { request.initExplainPolicy().setName(name); });
  };
  const auto answer = ask(node, {"a", "policy"}, explain("web1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_TRUE(answer->reader().isJson());
  EXPECT_NE(text(answer->reader().getJson()).find("is paid until"), std::string_view::npos);
  EXPECT_EQ(considered(node).size(), 2U) << "asked for, so published";
  const auto elsewhere = ask(node, {"b", "policy"}, explain("web1"));
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  EXPECT_EQ(text(elsewhere->reader().getRedirect()), "a");
  EXPECT_TRUE(absl::IsNotFound(ask(node, {"a", "policy"}, explain("web9")).status()));
}

TEST_F(PolicyActorTest, ExplainsWhatItWouldDoAndDoesNothing) {
  bool away = false;
  const Decide decide = [&away](schema::World::Reader world) {
    return away ? always(zone("b").id())(world) : decide_stay(world);
  };
  TestNode& node = furnish("test", with(decide));
  away = true;
  EXPECT_EQ(explained(node).value("choice", ""), zone("b").id());
  run(absl::Seconds(2));
  EXPECT_TRUE(of(node, Payload::MIGRATION_PROPOSED).empty());
}

TEST_F(PolicyActorTest, ExplainsAFailureAndDoesNotMakeThePolicyWaitForIt) {
  bool fails = false;
  int asked = 0;
  const Decide decide = [&](schema::World::Reader world) {
    ++asked;
    return fails ? always("aws/nowhere/x/y/spot")(world) : decide_stay(world);
  };
  TestNode& node = furnish("test", with(decide));
  fails = true;
  for (int i = 0; i < 10; ++i)
    EXPECT_NE(explained(node).value("reason", "").find("answered nonsense"), std::string::npos);
  EXPECT_FALSE(of(node, Payload::POLICY_FAILED).empty());
  fails = false;
  const int before = asked;
  publish_price(node, zone("a"), 18 * cent, market_now());
  run(absl::Seconds(2));
  EXPECT_GT(asked, before) << "ten failures in a row would have it wait for minutes";
}

TEST_F(PolicyActorTest, ExplainsWhyItDoesNotDoWhatThePolicyWants) {
  TestNode& node = furnish("test", with(always(zone("b").id())));
  EXPECT_EQ(explained(node).value("choice", ""), "");
  EXPECT_EQ(explained(node).value("reason", ""),
            absl::StrCat("staying for now: a move to ", zone("b").id(),
                         " is proposed already; else it would go to ", zone("b").id(),
                         ": a test says so"));
  refuse(node, of(node, Payload::MIGRATION_PROPOSED).at(0).id());
  run(absl::Seconds(1));
  EXPECT_NE(explained(node).value("reason", "").find("has just failed"), std::string::npos);
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
}

TEST_F(PolicyActorTest, AFlightThatFailsLeadsElsewhereAtOnce) {
  TestNode& node = furnish("cheapest");
  publish_price(node, zone("c"), 2 * cent, market.origin);
  give_notice(node);
  run(absl::Seconds(1));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
  const auto place = [&](std::size_t index) {
    const Event event = of(node, Payload::MIGRATION_PROPOSED).at(index);
    return std::string(text(event.payload().getMigrationProposed().getTargetPlace()));
  };
  EXPECT_EQ(place(0), zone("b").id());
  refuse(node, of(node, Payload::MIGRATION_PROPOSED)[0].id());
  run(absl::Seconds(1));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U);
  EXPECT_EQ(place(1), zone("c").id());
  refuse(node, of(node, Payload::MIGRATION_PROPOSED)[1].id());
  run(absl::Seconds(8));
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 2U) << "both have just failed";
  EXPECT_NE(considered(node).back().find("there is no place to go to"), std::string::npos);
  run(absl::Seconds(4));
  ASSERT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 3U);
  EXPECT_EQ(place(2), zone("b").id());
}

// Prices that never change again, the on-demand ones above all, are in the logs of others only.
TEST_F(PolicyActorTest, KnowsOnANodeThatJoinedLateWhatHappenedBefore) {
  furnish("stay");
  run(absl::Minutes(5));
  TestNode& late = start("late");
  late.node->spawn("policy", [this](Context& context) {
    PolicyActorOptions options;
    options.market = market;
    return std::make_unique<PolicyActor>(context, leases, built_in_policies(), options);
  });
  const auto spec = Message<schema::VmSpec>::build(
      [](schema::VmSpec::Builder builder) { builder.setName("web2"); });
  Swap swap;
  swap.key = "vm/main/web2";
  swap.session = *late.session.id;
  swap.swap_id = "define late";
  swap.value = std::string(spec.bytes());
  leases.swap(std::move(swap),
              Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>&) {}));
  run(absl::Seconds(20));
  const auto answer = ask(late, {"late", "policy"},
                          Message<schema::Request>::build([](schema::Request::Builder request) {
                            request.initExplainPolicy().setName("web2");
                          }));
  ASSERT_TRUE(answer.ok()) << answer.status();
  for (const char* letter : {"a", "b"}) {
    EXPECT_NE(text(answer->reader().getJson()).find(zone(letter).id()), std::string_view::npos);
  }
}

TEST_F(PolicyActorTest, GoesOnAfterAFailureFromLogAndLeases) {
  TestNode& node = furnish("cheapest");
  node.node->fail_actor("policy", absl::InternalError("a test"));
  until(58);
  EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
}

// A flight from a to b; the second notice, for b, comes so long after the first.
class PolicyActorFlightTest : public PolicyActorTest {
 protected:
  std::vector<Event> proposed_though_taken_after(Duration wait) {
    TestNode& node = furnish("test", with(always(zone("b").id())));
    EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U);
    const EventId move = of(node, Payload::MIGRATION_PROPOSED)[0].id();
    leases.swap({.key = "vm/main/web1",
                 .kind = SwapKind::ACCEPT,
                 .session = *node.session.id,
                 .swap_id = "accept",
                 .epoch = 1,
                 .heir = Heir{"b", move}},
                Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                  ASSERT_TRUE(result.ok() && result->won) << result->why;
                }));
    run(absl::Milliseconds(100));
    publish(
        node, "web1",
        [](Payload::Builder payload) {
          payload.initMigrationAccepted().setSource("a");
          payload.getMigrationAccepted().setTarget("b");
        },
        move);
    give_notice(node);
    run(wait);
    EXPECT_EQ(of(node, Payload::MIGRATION_PROPOSED).size(), 1U) << "it leaves already";
    publish(node, "i-2", [](Payload::Builder payload) {
      payload.initInstanceLaunched().setInstance("i-2");
      payload.getInstanceLaunched().setNode("b");
    });
    publish(node, "i-2", [&](Payload::Builder payload) {
      auto body = payload.initSpotInterruptionNotice();
      body.setInstance("i-2");
      body.setNode("b");
      body.setDeadlineNs(absl::ToUnixNanos(market_now() + absl::Seconds(120)));
    });
    run(absl::Seconds(5));
    return of(node, Payload::MIGRATION_PROPOSED);
  }
};

TEST_F(PolicyActorFlightTest,
       LooksForAnotherPlaceWhileTheVmMovesToWhereTheCloudTakesTheMachineToo) {
  const auto proposed = proposed_though_taken_after(absl::Seconds(5));
  ASSERT_EQ(proposed.size(), 2U);
  EXPECT_TRUE(proposed[1].payload().getMigrationProposed().getLeaving());
}

TEST_F(PolicyActorFlightTest, GoesOnToWhatTheCloudTakesLaterWhereThereIsNoTimeForAnother) {
  EXPECT_EQ(proposed_though_taken_after(absl::Seconds(40)).size(), 1U);
}

}  // namespace
}  // namespace supercloud
