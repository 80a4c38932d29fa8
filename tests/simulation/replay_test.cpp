// Replays of a generated market: the whole choreography, and what it is said to have cost.
#include "simulation/replay/replay.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "actors/ledger/billing.h"
#include "actors/spot/generated_feed.h"
#include "actors/spot/vector_feed.h"
#include "core/text.h"
#include "gtest/gtest.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

constexpr std::int64_t cent = 10'000'000;

PlaceName zone(const std::string& letter, bool spot = true) {
  return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
}

class Replay : public testing::Test {
 protected:
  Replay() {
    options_.from = absl::FromUnixSeconds(1'440'201'600);
    options_.to = options_.from + absl::Hours(72);
    options_.on_demand = {zone("a", false), Money{17 * cent}, options_.from};
    options_.start = options_.on_demand.place;
    options_.policies = built_in_policies();
    options_.feed = [from = options_.from]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      GeneratedMarket market;
      for (const char* letter : {"a", "b", "c"})
        market.zones.push_back({zone(letter), Money{17 * cent}});
      market.start = from;
      market.seed = 7;
      return std::make_unique<GeneratedFeed>(market);
    };
    choose("smart-spot");
  }

  void choose(const std::string& policy, int vms = 1) {
    options_.vms.clear();
    for (int i = 0; i < vms; ++i) options_.vms.push_back(replay_vm(options_.model, i + 1, policy));
  }

  ReplayStrategy run() {
    auto strategy = replay(options_, "tested");
    EXPECT_TRUE(strategy.ok()) << strategy.status();
    return strategy.ok() ? *std::move(strategy) : ReplayStrategy();
  }

  // Prices that are given, in minutes from the beginning.
  void prices(const std::vector<std::tuple<std::string, int, std::int64_t>>& given) {
    std::vector<Price> list;
    for (const auto& [letter, minute, nano_usd] : given)
      list.push_back({zone(letter), Money{nano_usd}, options_.from + absl::Minutes(minute)});
    options_.feed = [list]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      return std::make_unique<VectorFeed>("given", list);
    };
  }

  ReplayOptions options_;
  EventPool pool_;
};

TEST_F(Replay, MovesWithReasonsAndIsNeverCaught) {
  const ReplayStrategy strategy = run();
  EXPECT_GT(strategy.moves, 0);
  EXPECT_EQ(strategy.caught, 0);
  EXPECT_EQ(strategy.failures, 0);
  ASSERT_EQ(strategy.stays.size(), static_cast<std::size_t>(strategy.moves) + 1);
  EXPECT_EQ(strategy.stays.front().place, options_.start.id());
  for (std::size_t i = 1; i < strategy.stays.size(); ++i) {
    const ReplayStay& stay = strategy.stays[i];
    EXPECT_EQ(stay.from, strategy.stays[i - 1].to);
    EXPECT_NE(stay.place, strategy.stays[i - 1].place);
    EXPECT_FALSE(stay.decision.empty());
    EXPECT_EQ(stay.candidates.size(), 4U);
    EXPECT_TRUE(absl::StrContains(stay.reason, stay.flight ? "the cloud takes" : "the paid hour"))
        << stay.reason;
  }
  EXPECT_LT(strategy.cost.nano_usd, 72 * 17 * cent) << "cheaper than on demand";
}

TEST_F(Replay, CostsWhatTheLedgerChargesAndWhatMovesSend) {
  Money charged, sent;
  struct Open {
    std::string place;
    absl::Time launched, charged_until;
  };
  std::map<std::string, Open> open;  // by instance
  std::map<std::string, std::map<absl::Time, Money>> prices;
  std::map<EventId, std::string> decisions;
  std::vector<EventId> charged_for;
  int priced = 0, charges = 0, completed = 0;
  options_.keep = [&](const LogImage& image) {
    for (const Bytes bytes : image.events) {
      const absl::StatusOr<Event> parsed = pool_.parse(bytes);
      if (!parsed.ok()) return parsed.status();
      const Event& event = *parsed;
      if (event.type() == schema::Payload::MIGRATION_PROPOSED)
        decisions[event.id()] = str(event.payload().getMigrationProposed().getTargetPlace());
      if (event.type() == schema::Payload::MIGRATION_COMPLETED) ++completed;
      if (event.type() == schema::Payload::SPOT_PRICE_CHANGED) {
        const auto change = event.payload().getSpotPriceChanged();
        prices[str(change.getPlace().getId())][absl::FromUnixNanos(change.getSinceNs())] = {
            change.getPriceNanoUsdPerHour()};
      }
      if (event.type() == schema::Payload::INSTANCE_LAUNCHED) {
        const auto launched = event.payload().getInstanceLaunched();
        const absl::Time at = absl::FromUnixNanos(launched.getLaunchedNs());
        open[str(launched.getInstance())] = {str(launched.getPlace().getId()), at, at};
      }
      if (event.type() == schema::Payload::INSTANCE_RETURNED)
        open.erase(str(event.payload().getInstanceReturned().getInstance()));
      if (event.type() == schema::Payload::INSTANCE_REVOKED)
        open.erase(str(event.payload().getInstanceRevoked().getInstance()));
      if (event.type() != schema::Payload::LEDGER_CHARGED) continue;
      const auto charge = event.payload().getLedgerCharged();
      if (charge.getSentBytes() > 0) {
        EXPECT_EQ(charge.getSentBytes(), options_.model.transfer_bytes());
        EXPECT_EQ(Money{charge.getAmountNanoUsd()}, options_.model.transfer_cost());
        EXPECT_TRUE(decisions.contains(EventId::from(charge.getDecision())));
        EXPECT_FALSE(text(charge.getInstance()).empty()) << "traces to what sent it";
        EXPECT_TRUE(absl::StartsWith(str(charge.getWhy()), "sent by the move of vm1 to "));
        sent += Money{charge.getAmountNanoUsd()};
        continue;
      }
      if (const auto at = open.find(str(charge.getInstance())); at != open.end())
        at->second.charged_until = absl::FromUnixNanos(charge.getToNs());
      charged += Money{charge.getAmountNanoUsd()};
      ++charges;
      if (charge.hasPriceEvent()) ++priced;
      if (charge.hasDecision()) {
        const EventId decision = EventId::from(charge.getDecision());
        charged_for.push_back(decision);
        EXPECT_EQ(decisions[decision], str(charge.getPlace())) << "of another decision";
      }
    }
    return absl::OkStatus();
  };
  const ReplayStrategy strategy = run();
  EXPECT_EQ(completed, strategy.moves);
  EXPECT_GT(charges, 70);
  EXPECT_EQ(priced, charges) << "each hour traces to its price";
  EXPECT_GE(charged_for.size(), static_cast<std::size_t>(charges) - 2)
      << "all but the first instance's trace to a decision";
  EXPECT_EQ(sent, Money{options_.model.transfer_cost().nano_usd * strategy.moves});
  EXPECT_EQ(charged + sent + strategy.open, strategy.instances + strategy.transfer)
      << "every cent is in the log, or told to be not";
  Money begun;  // the hours that are not over at the end
  for (const auto& [id, one] : open) {
    const absl::Duration span = options_.to - one.charged_until;
    EXPECT_LE(span, absl::Hours(1));
    const auto& known = prices[one.place];
    const auto after = known.upper_bound(one.charged_until);
    begun += cost(after == known.begin() ? Money{17 * cent} : std::prev(after)->second, span);
  }
  EXPECT_GE(open.size(), 1U);
  EXPECT_EQ(strategy.cost, charged + sent + begun);
  EXPECT_EQ(strategy.transfer, sent);
  EXPECT_EQ(strategy.instances, charged + begun);
  EXPECT_EQ(strategy.downtime, Money{});
  EXPECT_EQ(strategy.cumulative.back().second, strategy.cost);
}

// What is open at the end costs what its own start says, not the hour before it.
TEST_F(Replay, TheLastHourCostsThePriceOfItsStartAndTheLastSecondsTheirs) {
  prices({{"a", 0, cent}, {"a", 90, 15 * cent}, {"a", 170, 5 * cent}});
  options_.start = zone("a");
  choose("stay");
  const auto ends_after = [this](int minutes) {
    options_.to = options_.from + absl::Minutes(minutes);
    return run().cost.nano_usd;
  };
  EXPECT_EQ(ends_after(60), cent);
  EXPECT_EQ(ends_after(175), 2 * cent + 15 * cent * 55 / 60);
  EXPECT_EQ(ends_after(180), 2 * cent + 15 * cent) << "charged later than the replay ends";
  options_.model.billing = schema::Billing::PER_SECOND;
  EXPECT_EQ(ends_after(175), 3 * cent / 2 + 15 * cent * 80 / 60 + 5 * cent * 5 / 60 + 1);
  EXPECT_EQ(ends_after(115), 3 * cent / 2 + 15 * cent * 25 / 60);
}

TEST_F(Replay, IsTheSameTwice) {
  const ReplayStrategy once = run(), again = run();
  EXPECT_EQ(once.cost, again.cost);
  EXPECT_EQ(once.events, again.events);
  EXPECT_EQ(once.cumulative, again.cumulative);
}

TEST_F(Replay, OfAVmThatStaysStartsItAnewOnDemandOnceItIsCaught) {
  prices({{"a", 0, 5 * cent}, {"b", 0, 4 * cent}, {"a", 600, 40 * cent}});
  options_.to = options_.from + absl::Hours(24);
  options_.start = zone("a");
  choose("stay");
  const ReplayStrategy strategy = run();
  EXPECT_EQ(strategy.moves, 0);
  EXPECT_EQ(strategy.revocations, 1);
  EXPECT_EQ(strategy.caught, 1);
  EXPECT_GE(strategy.down, absl::Seconds(60));
  EXPECT_LE(strategy.down, absl::Minutes(12));
  ASSERT_EQ(strategy.stays.size(), 2U);
  EXPECT_EQ(strategy.stays[1].place, options_.on_demand.place.id());
  EXPECT_TRUE(absl::StrContains(strategy.stays[1].reason, "caught"));
}

TEST_F(Replay, ChargesEachVmsOwnPriceOfDowntimeAlsoAfterItWasStartedAnew) {
  prices({{"a", 0, 5 * cent}, {"a", 600, 40 * cent}});
  options_.to = options_.from + absl::Hours(24);
  options_.start = zone("a");
  choose("stay");
  const ReplayStrategy free = run();
  ASSERT_EQ(free.caught, 1);
  for (const ReplayStay& stay : free.stays) EXPECT_EQ(stay.vm, "vm1") << "the same to its user";
  const auto described = Message<schema::VmSpec>::build(
      [](schema::VmSpec::Builder spec) { spec.setDowntimeNanoUsdPerHour(1000'000'000'000); });
  options_.vms = {replay_vm(options_.model, 1, "stay", &described)};
  const ReplayStrategy dear = run();
  EXPECT_EQ(dear.down, free.down);
  EXPECT_NEAR(static_cast<double>((dear.cost - free.cost).nano_usd) / 1e9,
              1000 * absl::ToDoubleHours(free.down), 0.001);
  EXPECT_EQ(dear.downtime, dear.cost - free.cost);
  EXPECT_EQ(dear.instances + dear.transfer + dear.downtime, dear.cost);
}

TEST(ReplayModel, LeadsByWhatAMoveTakesAndSomeMore) {
  ReplayModel model;
  EXPECT_EQ(model.lead_time(), absl::Minutes(3));
  model.launch_delay = absl::Seconds(150);
  EXPECT_EQ(model.lead_time(), absl::Seconds(270));
  model.lead = absl::Seconds(200);
  EXPECT_EQ(model.lead_time(), absl::Seconds(200));
  std::map<std::string, std::string> described;
  for (const auto& [name, value] : model.described()) described[name] = value;
  EXPECT_EQ(described["lead before an hour's end"], "3m20s");
  EXPECT_EQ(described["VMs at one spot place"],
            "smart-spot moves there up to 50 %, more only where nothing else is left");
  EXPECT_EQ(described["a caught VM's user looks"], "every 5m, and starts it anew on demand");
}

TEST_F(Replay, OfANoticeThatGivesTimeIsAFlightThatArrives) {
  prices({{"a", 0, 5 * cent}, {"b", 0, 6 * cent}, {"a", 620, 40 * cent}});
  options_.to = options_.from + absl::Hours(24);
  options_.start = zone("a");
  const ReplayStrategy strategy = run();
  EXPECT_EQ(strategy.revocations, 1);
  EXPECT_EQ(strategy.caught, 0);
  ASSERT_EQ(strategy.stays.size(), 2U);
  EXPECT_TRUE(strategy.stays[1].flight);
  EXPECT_EQ(strategy.stays[1].place, zone("b").id());
  EXPECT_LT(strategy.down, absl::Seconds(2));
}

// Launch and migration take all that a notice gives, less 10 s.
TEST_F(Replay, IsNotCaughtWhereAMoveJustFitsIntoTheNotice) {
  prices({{"a", 0, 5 * cent},
          {"b", 0, 6 * cent},
          {"a", 620, 40 * cent},
          {"a", 700, 5 * cent},
          {"b", 1000, 40 * cent}});
  options_.to = options_.from + absl::Hours(24);
  options_.start = zone("a");
  for (const auto& [launch, migration] :
       std::initializer_list<std::pair<int, int>>{{20, 90}, {80, 30}, {100, 10}}) {
    options_.model.launch_delay = absl::Seconds(launch);
    options_.model.migration = absl::Seconds(migration);
    for (const char* policy : {"smart-spot", "cheapest"}) {
      choose(policy);
      const ReplayStrategy strategy = run();
      EXPECT_EQ(strategy.caught, 0) << policy << ", " << launch << " + " << migration;
      EXPECT_GE(strategy.revocations, 1);
      EXPECT_GE(strategy.moves, 1);
    }
  }
}

TEST_F(Replay, SpreadsManyVmsAndKeepsTheirBudget) {
  prices({{"a", 0, 3 * cent}, {"b", 0, 4 * cent}, {"c", 0, 5 * cent}});
  options_.to = options_.from + absl::Hours(24);
  choose("smart-spot", 4);
  const ReplayStrategy strategy = run();
  std::map<std::string, int> at_end;
  for (const ReplayStay& stay : strategy.stays)
    if (stay.to == options_.to) ++at_end[stay.place];
  EXPECT_EQ(at_end[zone("a").id()], 2) << "half of them, and no more";
  EXPECT_EQ(at_end[zone("b").id()], 2);

  // All would go at once, and see only what they know of each other.
  for (const schema::Billing billing : {schema::Billing::HOURLY, schema::Billing::PER_SECOND}) {
    options_.model.billing = billing;
    choose("smart-spot", 4);
    std::map<std::string, int> most;
    for (const ReplayStay& stay : run().stays)
      if (stay.to == options_.to) ++most[stay.place];
    EXPECT_EQ(most[zone("a").id()], 2);
    options_.model.moving_max = 1;
    for (const char* policy : {"smart-spot", "cheapest"}) {
      choose(policy, 4);
      std::vector<absl::Time> begin;
      for (const ReplayStay& stay : run().stays)
        if (!stay.decision.empty()) begin.push_back(stay.from);
      std::sort(begin.begin(), begin.end());
      ASSERT_EQ(begin.size(), 4U) << policy;
      for (std::size_t i = 1; i < begin.size(); ++i)
        EXPECT_GE(begin[i] - begin[i - 1], options_.model.migration) << policy;
    }
    options_.model.moving_max = 0;
  }

  options_.model.billing = schema::Billing::HOURLY;
  options_.model.moves_per_day = 1;
  for (const char* policy : {"smart-spot", "cheapest"}) {
    choose(policy, 4);
    EXPECT_EQ(run().moves, 1) << policy;
  }
}

// A limit of smart-spot that docs/policies.md tells of, with these figures: it looks back, and who turns by the clock is always ahead of it.
TEST_F(Replay, OfPricesThatTurnByTheClockSmartSpotIsAlwaysLate) {
  options_.to = options_.from + absl::Hours(240);
  options_.start = zone("a");
  const auto paid = [this](const std::string& policy, int hours) {
    std::vector<std::tuple<std::string, int, std::int64_t>> turns;
    for (int turn = 0; turn * hours < 240; ++turn)
      for (const char* letter : {"a", "b"})
        turns.emplace_back(letter, turn * hours * 60,
                           ((*letter == 'a') == (turn % 2 == 0) ? 3 : 9) * cent);
    prices(turns);
    choose(policy);
    return static_cast<double>(run().cost.nano_usd) / 1e9;
  };
  EXPECT_NEAR(paid("stay", 4), 14.4, 0.01);
  EXPECT_NEAR(paid("smart-spot", 4), 18.2, 0.1);
  EXPECT_NEAR(paid("smart-spot", 2), 14.4, 0.01);
  EXPECT_NEAR(paid("smart-spot", 12), 11.3, 0.1);
}

TEST_F(Replay, EndsWhenItIsTold) {
  options_.progress = [this](absl::Time now) { return now < options_.from + absl::Hours(5); };
  EXPECT_TRUE(absl::IsCancelled(replay(options_, "tested").status()));
}

}  // namespace
}  // namespace supercloud
