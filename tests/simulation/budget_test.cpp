// Budgets of moves hold, for days of a market in which all machines are rented and given back.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/ledger/billing.h"
#include "actors/spot/generated_feed.h"
#include "core/vm_spec.h"
#include "gtest/gtest.h"
#include "simulation/replay/replay.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

constexpr std::int64_t usd_cent = 10'000'000;
constexpr int vms_of_budget = 4;
// A node that has just joined decides by what it has heard within a fraction of a second, for its VM may have to flee: it may not know
// yet of a move of the last moment.
constexpr int one_more = 1;

PlaceName place_at(const std::string& letter, bool spot = true) {
  return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
}

struct Moves {
  // To save money: in all, within the worst day (of all VMs, and of one), at the worst moment.
  int all = 0, of_a_day = 0, of_one_a_day = 0, at_once = 0;
  int flights = 0, caught = 0;
};

// What a log tells of them, without a look at what policies knew.
class Counted {
 public:
  absl::Status add(const LogImage& image) {
    for (const Bytes bytes : image.events) {
      const absl::StatusOr<Event> event = pool_.parse(bytes);
      if (!event.ok()) return event.status();
      add(*event);
    }
    return absl::OkStatus();
  }

  Moves moves() const {
    Moves moves;
    std::vector<absl::Time> begins;
    std::map<std::string, std::vector<absl::Time>> begins_of;
    std::vector<std::pair<absl::Time, int>> changes;
    for (const auto& [id, move] : moves_) {
      if (move.leaving) {
        ++moves.flights;
        continue;
      }
      begins.push_back(move.proposed);
      begins_of[move.vm].push_back(move.proposed);
      changes.emplace_back(move.begin, 1);
      changes.emplace_back(move.end, -1);
    }
    moves.all = static_cast<int>(begins.size());
    moves.of_a_day = within_a_day(begins);
    for (const auto& [vm, own] : begins_of)
      moves.of_one_a_day = std::max(moves.of_one_a_day, within_a_day(own));
    std::sort(changes.begin(), changes.end());
    int now = 0;
    for (const auto& [at, change] : changes) moves.at_once = std::max(moves.at_once, now += change);
    return moves;
  }

 private:
  static int within_a_day(std::vector<absl::Time> times) {
    std::sort(times.begin(), times.end());
    std::size_t most = 0;
    for (std::size_t first = 0, last = 0; last < times.size(); ++last) {
      while (times[last] - times[first] >= absl::Hours(24)) ++first;
      most = std::max(most, last - first + 1);
    }
    return static_cast<int>(most);
  }

  struct Move {
    std::string vm;
    bool leaving = false;
    absl::Time proposed;  // from then on it counts for a day
    absl::Time begin, end = absl::InfiniteFuture();
  };

  void add(const Event& event) {
    using Payload = schema::Payload;
    if (event.type() == Payload::MIGRATION_PROPOSED)
      proposals_[event.id()] = {event.payload().getMigrationProposed().getLeaving(),
                                event.time().wall()};
    if (event.type() == Payload::MIGRATION_ACCEPTED) {
      const auto& [leaving, proposed] = proposals_[event.migration()];
      moves_[event.migration()] = {std::string(event.subject()), leaving, proposed,
                                   event.time().wall()};
    }
    if (event.type() == Payload::MIGRATION_COMPLETED || event.type() == Payload::MIGRATION_ABORTED)
      if (const auto move = moves_.find(event.migration()); move != moves_.end())
        move->second.end = event.time().wall();
  }

  EventPool pool_;
  std::map<EventId, std::pair<bool, absl::Time>> proposals_;  // whether it leaves, and when
  std::map<EventId, Move> moves_;
};

class SharedBudget : public testing::TestWithParam<schema::Billing> {
 protected:
  SharedBudget() {
    options_.from = absl::FromUnixSeconds(1'440'201'600);
    options_.to = options_.from + absl::Hours(24 * 3);
    options_.on_demand = {place_at("a", false), Money{17 * usd_cent}, options_.from};
    options_.start = options_.on_demand.place;
    options_.policies = built_in_policies();
    options_.model.billing = GetParam();
    options_.feed = [from = options_.from]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      GeneratedMarket market;
      for (const char* letter : {"a", "b", "c"})
        market.zones.push_back({place_at(letter), Money{17 * usd_cent}});
      market.start = from;
      market.seed = 11;
      return std::make_unique<GeneratedFeed>(market);
    };
  }

  Moves replayed(std::uint32_t per_day, std::uint32_t at_once, std::uint32_t own_per_day = 0) {
    options_.vms.clear();
    for (int i = 0; i < vms_of_budget; ++i) {
      const Message<schema::VmSpec> vm = replay_vm(options_.model, i + 1, "cheapest");
      options_.vms.push_back(Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
        copy_spec(vm.reader(), spec);
        spec.setMovesPerDay(own_per_day);
      }));
    }
    options_.model.moves_per_day = per_day;
    options_.model.moving_max = at_once;
    Counted counted;
    options_.keep = [&](const LogImage& image) { return counted.add(image); };
    const auto strategy = replay(options_, "tested");
    EXPECT_TRUE(strategy.ok()) << strategy.status();
    Moves moves = counted.moves();
    if (strategy.ok()) moves.caught = static_cast<int>(strategy->caught);
    return moves;
  }

  ReplayOptions options_;
};

TEST_P(SharedBudget, HoldsEachDayAndAtEachMoment) {
  const Moves free = replayed(0, 0);
  EXPECT_GT(free.of_a_day, 20) << "else a budget changes nothing";
  EXPECT_GE(free.at_once, 4);
  EXPECT_EQ(free.caught, 0);

  const Moves rationed = replayed(3, 0);
  EXPECT_LE(rationed.of_a_day, 3);
  EXPECT_GT(rationed.all, 7) << "it is a budget, no ban";
  EXPECT_EQ(rationed.caught, 0) << "nothing holds back a flight";

  const Moves in_turn = replayed(0, 1);
  EXPECT_LE(in_turn.at_once, 1 + one_more);
  EXPECT_GT(in_turn.all, free.all / 4);
  EXPECT_EQ(in_turn.caught, 0);

  EXPECT_GT(free.of_one_a_day, 2);
  EXPECT_LE(replayed(0, 0, 1).of_one_a_day, 1 + one_more) << "of the VM itself";
}

INSTANTIATE_TEST_SUITE_P(BothBillings, SharedBudget,
                         testing::Values(schema::Billing::HOURLY, schema::Billing::PER_SECOND),
                         [](const auto& billing) {
                           return billing.param == schema::Billing::HOURLY ? "hourly"
                                                                           : "per_second";
                         });

}  // namespace
}  // namespace supercloud
