// Real prices of 2015: what the whole cluster does and pays in virtual time is what an independent accounting works out.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "actors/spot/csv_feed.h"
#include "core/json.h"
#include "simulation/cluster.h"
#include "tests/simulation/price_accounting.h"

namespace supercloud {
namespace {

struct Series {
  const char* name;
  const char* instance_type;
  Money on_demand;
  int days;
};

void PrintTo(const Series& series, std::ostream* out) { *out << series.name; }

std::string data_file(const Series& series) {
  const char* folder = std::getenv("SUPERCLOUD_DATA");
  return absl::StrCat(folder != nullptr ? folder : SUPERCLOUD_SOURCE_ROOT "/../shared/data",
                      "/spot/", series.name, "_us-east-1_3zones_events.csv");
}

class RealPrices : public testing::TestWithParam<Series> {
 protected:
  static constexpr std::int64_t speed = 120;
  static inline const absl::Time origin = absl::FromUnixSeconds(1'440'201'600);  // 2015-08-22

  ClusterOptions options() const {
    ClusterOptions options;
    options.places = {{"own", "home", "office", "desk", false}};
    options.market_speed = speed;
    options.prices.origin = origin;
    options.prices.on_demand.instance_type = GetParam().instance_type;
    options.prices.on_demand_per_hour = GetParam().on_demand;
    options.prices.lead = absl::Minutes(15);
    options.prices.feed = [path = data_file(GetParam()),
                           type = std::string(GetParam().instance_type)] {
      CsvFeedOptions feed;
      feed.instance_type = type;
      feed.from = origin;
      return CsvFeed::open(path, feed);
    };
    // All clocks agree: else a price that changes within their difference would be seen by one and not by the other.
    options.adjust = [](MachineOptions& machine) {
      machine.drift_ppm = 0;
      machine.wall_offset = absl::ZeroDuration();
    };
    return options;
  }

  static double seconds(absl::Time at) { return absl::ToDoubleSeconds(at - absl::UnixEpoch()); }

  // "a", "on-demand", "home"
  static std::string short_place(const std::string& id) {
    const absl::StatusOr<PlaceName> place = PlaceName::parse(id);
    if (!place.ok()) return id;
    if (place->cloud == "own") return "home";
    return place->spot ? place->zone.substr(place->zone.size() - 1) : "on-demand";
  }

  void gather(const std::vector<Event>& history) {
    std::map<std::string, std::size_t> launches;
    std::map<EventId, PriceAccounting::Move> proposed;
    std::vector<std::vector<PriceAccounting::Hour>> by_instance;
    for (const Event& event : history) {
      const auto payload = event.payload();
      switch (event.type()) {
        case schema::Payload::MIGRATION_PROPOSED: {
          const auto move = payload.getMigrationProposed();
          proposed[event.id()] = {seconds(market_.at(event.time().wall())), "",
                                  short_place(std::string(text(move.getTargetPlace())))};
          break;
        }
        case schema::Payload::MIGRATION_COMPLETED: {
          PriceAccounting::Move move = proposed.at(event.migration());
          move.from = moves_.empty() ? "home" : moves_.back().to;
          moves_.push_back(move);
          completed_[event.migration()] = payload.getMigrationCompleted().getSentBytes();
          slowest_move_ =
              std::max(slowest_move_, seconds(market_.at(event.time().wall())) - move.at);
          break;
        }
        case schema::Payload::MIGRATION_REFUSED:
        case schema::Payload::MIGRATION_ABORTED:
          ADD_FAILURE() << to_json(event);
          break;
        case schema::Payload::SPOT_INTERRUPTION_NOTICE:
          ++notices_;
          break;
        case schema::Payload::INSTANCE_LAUNCHED:
          launches.emplace(text(payload.getInstanceLaunched().getInstance()), by_instance.size());
          by_instance.emplace_back();
          break;
        case schema::Payload::LEDGER_CHARGED: {
          const auto charged = payload.getLedgerCharged();
          if (charged.getSentBytes() > 0) {
            EXPECT_TRUE(
                sent_.emplace(EventId::from(charged.getDecision()), charged.getSentBytes()).second)
                << to_json(event);
            break;
          }
          by_instance.at(launches.at(std::string(text(charged.getInstance()))))
              .push_back({static_cast<double>(charged.getFromNs()) / 1e9,
                          short_place(std::string(text(charged.getPlace()))),
                          charged.getAmountNanoUsd(), charged.getAmountNanoUsd() == 0});
          break;
        }
        default:
          break;
      }
    }
    for (const auto& hours : by_instance) hours_.insert(hours_.end(), hours.begin(), hours.end());
  }

  MarketClock market_;
  std::vector<PriceAccounting::Move> moves_;
  std::vector<PriceAccounting::Hour> hours_;
  std::map<EventId, std::uint64_t> completed_, sent_;  // bytes, by migration: said and charged
  double slowest_move_ = 0;
  int notices_ = 0;
};

std::string told(const PriceAccounting::Move& move) {
  return absl::StrCat(absl::FormatTime("%d %H:%M:%S", absl::UnixEpoch() + absl::Seconds(move.at),
                                       absl::UTCTimeZone()),
                      " ", move.from, " -> ", move.to);
}

std::string told(const PriceAccounting::Hour& billed) {
  return absl::StrCat(
      absl::FormatTime("%d %H:%M:%S", absl::UnixEpoch() + absl::Seconds(billed.from),
                       absl::UTCTimeZone()),
      " ", billed.place, " ", to_string(Money{billed.nano}), billed.free ? " (free)" : "");
}

TEST_P(RealPrices, cost_moves_and_places_are_those_of_an_independent_accounting) {
  PriceAccounting expected;
  if (!expected.read(data_file(GetParam())))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";

  SimulatedCluster cluster(options());
  market_ = cluster.market_clock();
  cluster.run_for(absl::Seconds(2));
  cluster.create_vm("node-0", "web1", schema::DiskLoss::WAIT);
  const Duration span = absl::Hours(24) * GetParam().days / speed;
  cluster.run_for(span - absl::Seconds(2));
  const std::vector<Event> history = cluster.history();
  gather(history);
  if (std::getenv("SUPERCLOUD_TRACE") != nullptr)
    for (const Event& event : history)
      std::cerr << absl::FormatTime("%d %H:%M:%S ", market_.at(event.time().wall()),
                                    absl::UTCTimeZone())
                << to_json(event) << "\n";
  for (const Violation& violation : cluster.checker().violations())
    ADD_FAILURE() << violation.rule << ": " << violation.what;

  // Each says what was to be gained, or what had to be left.
  for (const Event& event : history) {
    if (event.type() != schema::Payload::MIGRATION_PROPOSED) continue;
    const auto proposed = event.payload().getMigrationProposed();
    const std::string reason(text(proposed.getReason()));
    EXPECT_TRUE(absl::StrContains(reason, "the next would cost") ||
                absl::StrContains(reason, "the cloud takes") ||
                absl::StrContains(reason, "exceeds the bid"))
        << reason;
    EXPECT_GT(proposed.getEvidence().size(), 0U) << reason;
  }

  AccountingRules rules;
  rules.start = seconds(origin) + 2 * speed;
  rules.end = seconds(origin) + absl::ToDoubleSeconds(span) * speed;
  rules.lead = 15 * 60;
  // the account's own minute, and messages and log writes from the decision to the request
  rules.launch = 60 + 0.004 * speed;
  rules.join = 0.055 * speed;  // until the others hear of the new node: its second word
  rules.move = 0.28 * speed;   // checks, copy and hand-over
  rules.notice = 3.0 * speed;  // of the account
  rules.on_demand_nano = GetParam().on_demand.nano_usd;
  expected.run(rules);

  EXPECT_EQ(notices_, expected.interruptions);
  EXPECT_EQ(moves_.size(), expected.moves.size());
  for (std::size_t i = 0; i < std::min(moves_.size(), expected.moves.size()); ++i) {
    ASSERT_EQ(moves_[i].to, expected.moves[i].to)
        << "move " << i << ": " << told(moves_[i]) << ", expected " << told(expected.moves[i]);
    ASSERT_NEAR(moves_[i].at, expected.moves[i].at, 0.1 * speed)
        << "move " << i << ": " << told(moves_[i]) << ", expected " << told(expected.moves[i]);
  }
  EXPECT_EQ(hours_.size(), expected.hours.size());
  std::int64_t paid = 0, expected_paid = 0;
  for (const auto& billed : hours_) paid += billed.nano;
  for (const auto& billed : expected.hours) expected_paid += billed.nano;
  for (std::size_t i = 0; i < std::min(hours_.size(), expected.hours.size()); ++i)
    ASSERT_TRUE(hours_[i].place == expected.hours[i].place &&
                hours_[i].nano == expected.hours[i].nano)
        << "hour " << i << ": " << told(hours_[i]) << ", expected " << told(expected.hours[i]);
  EXPECT_EQ(paid, expected_paid);
  EXPECT_EQ(sent_, completed_) << "what each move sent is charged once";
  std::string where;
  for (const auto& machine : cluster.machines())
    for (const GuestProbe& probe : machine->probes())
      if (probe.executes)
        absl::StrAppend(&where, short_place(machine->options().description.place.id()));
  EXPECT_EQ(where, expected.moves.back().to);
  std::cout << GetParam().name << ", " << GetParam().days << " days: " << moves_.size()
            << " moves (slowest " << slowest_move_ << " s of market time), " << notices_
            << " interruptions, " << hours_.size() << " hours, " << to_string(Money{paid})
            << " paid, on demand "
            << to_string(Money{GetParam().on_demand.nano_usd * 24 * GetParam().days}) << "\n";
}

INSTANTIATE_TEST_SUITE_P(
    Files, RealPrices,
    testing::Values(Series{"2015_m3.medium", "m3.medium", Money{70'000'000}, 6},
                    Series{"2015_r3.large", "r3.large", Money{175'000'000}, 6}),
    [](const auto& series) { return std::string(series.param.instance_type).substr(0, 2); });

}  // namespace
}  // namespace supercloud
