// Many VMs flee at the same moment, to where there are machines for some of them: none is caught, as long as instances can be rented and
// VMs moved 10 s before a notice is over.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "actors/spot/vector_feed.h"
#include "simulation/replay/replay.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

constexpr std::int64_t usd_cents = 10'000'000;

PlaceName zone_of(const std::string& letter, bool spot = true) {
  return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
}

class FleeTogether : public testing::Test {
 protected:
  // All are in a, and as their first hour ends they go to b, as many as may. So long after the hour's end as `spikes` say, these places are above
  // the bid, for good.
  ReplayStrategy flee(const std::string& policy, int vms,
                      const std::vector<std::pair<std::string, int>>& spikes) {
    ReplayOptions options;
    options.model = model_;
    options.from = absl::FromUnixSeconds(1'440'201'600);
    options.to = options.from + absl::Hours(6);
    options.on_demand = {zone_of("a", false), Money{17 * usd_cents}, options.from};
    options.start = zone_of("a");
    options.policies = built_in_policies();
    const absl::Time hour = options.from + absl::Hours(1);
    std::vector<Price> prices;
    for (const auto& [letter, price] : {std::pair("a", 11), {"b", 1}, {"c", 12}, {"d", 13}})
      prices.push_back({zone_of(letter), Money{price * usd_cents}, options.from});
    for (const auto& [letter, after] : spikes)
      prices.push_back({zone_of(letter), Money{40 * usd_cents}, hour + absl::Seconds(after)});
    std::sort(prices.begin(), prices.end(), [](const Price& a, const Price& b) {
      return std::pair(a.since, a.place.id()) < std::pair(b.since, b.place.id());
    });
    options.feed = [prices]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      return std::make_unique<VectorFeed>("given", prices);
    };
    options.keep = [this](const LogImage& image) { return told(image); };
    for (int i = 1; i <= vms; ++i) options.vms.push_back(replay_vm(options.model, i, policy));
    auto strategy = replay(options, policy);
    EXPECT_TRUE(strategy.ok()) << strategy.status();
    return strategy.ok() ? *std::move(strategy) : ReplayStrategy();
  }
  // Where they fled to from `from`, and how many.
  static std::map<std::string, int> refuges(const ReplayStrategy& strategy) {
    std::map<std::string, int> refuges;
    for (const ReplayStay& stay : strategy.stays)
      if (stay.flight) ++refuges[stay.place];
    return refuges;
  }

  absl::Status told(const LogImage& image) const {
    EventPool pool;
    for (const Bytes bytes : image.events) {
      const absl::StatusOr<Event> event = pool.parse(bytes);
      if (!event.ok()) return event.status();
      if (keep_) keep_(*event);
    }
    return absl::OkStatus();
  }

  ReplayModel model_;
  std::function<void(const Event&)> keep_;  // each event of a run
};

// While machines in a stand idle: for some minutes, until their hour is over.
TEST_F(FleeTogether, NoneIsCaughtWhereverIdleMachinesAre) {
  for (const char* policy : {"smart-spot", "cheapest"})
    for (int after = -105; after <= 60; after += 15) {
      const ReplayStrategy strategy = flee(policy, 10, {{"b", after}});
      EXPECT_EQ(strategy.caught, 0) << policy << ", spike after " << after << " s";
      EXPECT_GT(strategy.moves, 5) << policy << ", spike after " << after << " s";
    }
}

// What is idle in a is taken as well, or is given back, while they are on their way.
TEST_F(FleeTogether, NoneIsCaughtWhereRefugesAreTakenAsWell) {
  for (int second = 0; second <= 120; second += 20)
    EXPECT_EQ(flee("smart-spot", 6, {{"b", -60}, {"a", second - 60}}).caught, 0) << second;
}

TEST_F(FleeTogether, WhereTimesAreAsLongAsANoticeAllows) {
  model_.launch_delay = absl::Seconds(65);
  model_.migration = absl::Seconds(45);
  for (int after = -105; after <= 60; after += 30)
    EXPECT_EQ(flee("smart-spot", 10, {{"b", after}}).caught, 0) << after;
}

// Two of them fill the line: ten take five times as long.
TEST_F(FleeTogether, ALineThatAllShareMakesThemSlower) {
  const auto slowest = [this] {
    absl::Duration longest;
    keep_ = [&longest](const Event& event) {
      if (event.type() == schema::Payload::MIGRATION_COMPLETED)
        longest = std::max(longest, absl::Milliseconds(static_cast<std::int64_t>(
                                        event.payload().getMigrationCompleted().getTotalMs())));
    };
    EXPECT_GT(flee("cheapest", 10, {}).moves, 5);
    return longest;
  };
  model_.launch_delay = absl::Seconds(10);
  EXPECT_LT(slowest(), absl::Seconds(31));
  model_.bandwidth = model_.transfer_bytes() * 2 / 30;
  const absl::Duration shared = slowest();
  EXPECT_GT(shared, absl::Seconds(120));
  EXPECT_LT(shared, absl::Seconds(152));
}

TEST_F(FleeTogether, NoPlaceTakesMoreThanItsShareOfThem) {
  const ReplayStrategy strategy = flee("smart-spot", 10, {{"a", -1800}});
  EXPECT_EQ(strategy.caught, 0);
  int all = 0;
  for (const auto& [place, count] : refuges(strategy)) {
    all += count;
    if (place != zone_of("a", false).id()) {
      EXPECT_LE(count, 5) << place;
    }
  }
  EXPECT_EQ(all, 10);
}

}  // namespace
}  // namespace supercloud
