// The least that was possible is a bound on what policies pay in a replay: of several VMs, with notices, by the hour and by the second.
// What is compared here is the search's own figure, refunds included, on a grid as fine as what a replay does; no strategy's cost is
// taken for it.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/spot/generated_feed.h"
#include "actors/spot/vector_feed.h"
#include "gtest/gtest.h"
#include "simulation/replay/clairvoyant.h"
#include "simulation/replay/replay.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

constexpr std::int64_t one_usd_cent = 10'000'000;
// Hours count from the launch, a minute after the model's: the last one, counted as far as it has gone, is another one's.
constexpr double end_of_time = 0.0002;
// Who follows a schedule rents anew for each move that it makes, and pays what the model leaves out: what passes until a notice is heard, and an
// instance that is given back a little later.
constexpr double followed_by_hour = 1.06, followed_by_second = 1.015;

PlaceName possible_zone(const std::string& letter, bool spot = true) {
  return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
}

// Goes where a schedule says, which knows the future.
class Oracle final : public Policy {
 public:
  explicit Oracle(std::map<absl::Time, std::string> stays) : stays_(std::move(stays)) {}
  std::string name() const override { return "oracle"; }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    const absl::Time now = absl::FromUnixNanos(world.reader().getNowNs());
    const auto next = stays_.upper_bound(now);
    reply(Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
      if (next != stays_.begin()) decision.setChoice(std::prev(next)->second);
      decision.setReason("it is known what follows");
      if (next != stays_.end()) decision.setWakeAtNs(absl::ToUnixNanos(next->first));
    }));
  }

 private:
  const std::map<absl::Time, std::string> stays_;
};

class Possible : public testing::TestWithParam<int> {
 protected:
  Possible() {
    options_.from = absl::FromUnixSeconds(1'440'201'600);
    options_.to = options_.from + absl::Hours(24 * 6);
    options_.on_demand = {possible_zone("a", false), Money{17 * one_usd_cent}, options_.from};
    options_.start = options_.on_demand.place;
    options_.policies = built_in_policies();
    GeneratedMarket market;
    for (const char* letter : {"a", "b", "c"})
      market.zones.push_back({possible_zone(letter), options_.on_demand.usd_per_hour});
    market.start = options_.from;
    market.seed = static_cast<std::uint64_t>(GetParam());
    options_.feed = [market]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      return std::make_unique<GeneratedFeed>(market);
    };
  }

  // Of one VM; the grid's steps divide all that a replay does.
  Clairvoyance least() {
    PriceGridOptions bounds;
    bounds.from = options_.from;
    bounds.to = options_.to;
    bounds.step = absl::Seconds(30);
    bounds.bid = [this](const PlaceName&) { return options_.on_demand.usd_per_hour; };
    auto feed = options_.feed();
    EXPECT_TRUE(feed.ok());
    auto grid = PriceGrid::read(**feed, bounds);
    EXPECT_TRUE(grid.ok()) << grid.status();
    grid->add_constant(options_.on_demand.place, options_.on_demand.usd_per_hour);
    const ReplayModel& model = options_.model;
    ScheduleCosts costs;
    costs.billing = model.billing;
    costs.launch = model.launch_delay;
    costs.migration = model.migration;
    costs.notice = model.notice;
    costs.refunds = true;
    costs.transfer_bytes = static_cast<std::int64_t>(model.transfer_bytes());
    costs.egress_per_gib = [&model](const PlaceName&, const PlaceName&) {
      return model.egress_per_gib;
    };
    costs.start = grid->find(options_.start);
    const auto schedules = ScheduleModel::create(*grid, costs);
    EXPECT_TRUE(schedules.ok()) << schedules.status();
    const auto best = clairvoyant(*schedules);
    EXPECT_TRUE(best.ok()) << best.status();
    stays_.clear();
    for (const Schedule::Stay& stay : best->schedule.stays)
      stays_[grid->time_of(stay.step)] = grid->place(stay.place).id();
    return *best;
  }

  ReplayStrategy run(const std::string& policy, int vms) {
    options_.vms.clear();
    for (int i = 0; i < vms; ++i) options_.vms.push_back(replay_vm(options_.model, i + 1, policy));
    options_.policies["oracle"] = [stays = stays_] { return std::make_unique<Oracle>(stays); };
    auto strategy = replay(options_, policy);
    EXPECT_TRUE(strategy.ok()) << strategy.status();
    return strategy.ok() ? *std::move(strategy) : ReplayStrategy();
  }

  ReplayOptions options_;
  std::map<absl::Time, std::string> stays_;  // of the clairvoyant
};

double share(Money part, Money whole) {
  return static_cast<double>(part.nano_usd) / static_cast<double>(whole.nano_usd);
}

TEST_P(Possible, NobodyPaysLessThanTheLeastAndWhoFollowsItPaysNearlyThat) {
  std::int64_t revocations = 0;
  for (const schema::Billing billing : {schema::Billing::HOURLY, schema::Billing::PER_SECOND}) {
    options_.model.billing = billing;
    const Clairvoyance best = least();
    for (const int vms : {1, 3}) {
      const Money bound{best.cost.nano_usd * vms};
      for (const char* policy : {"stay", "cheapest", "threshold-20", "smart-spot", "oracle"}) {
        const std::string what =
            absl::StrCat(policy, " of ", vms, " VMs, ", std::string(name_of(billing)));
        const ReplayStrategy strategy = run(policy, vms);
        EXPECT_GE(share(strategy.cost, bound), 1 - end_of_time) << what;
        EXPECT_EQ(strategy.caught, 0) << what;
        EXPECT_EQ(strategy.cost, strategy.instances + strategy.transfer) << what;
        EXPECT_EQ(strategy.transfer.nano_usd,
                  options_.model.transfer_cost().nano_usd * strategy.moves)
            << what;
        revocations += strategy.revocations;
        if (policy != std::string("oracle")) continue;
        EXPECT_EQ(strategy.moves, best.schedule.moves() * vms) << what;
        EXPECT_LE(share(strategy.cost, bound),
                  billing == schema::Billing::HOURLY ? followed_by_hour : followed_by_second)
            << what;
      }
    }
  }
  EXPECT_GT(revocations, 10) << "or nothing is said of notices";
}

INSTANTIATE_TEST_SUITE_P(Markets, Possible, testing::Values(1, 2, 3, 7));

}  // namespace
}  // namespace supercloud
