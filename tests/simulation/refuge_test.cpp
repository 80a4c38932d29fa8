// A VM flees from a notice, and its refuge is taken as well, at any moment of its flight: it is never caught, as long as an instance can be
// rented and the VM moved there 10 s before a notice is over.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "actors/spot/vector_feed.h"
#include "simulation/replay/replay.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

constexpr std::int64_t one_cent = 10'000'000;
constexpr int first_notice = 7 * 3600 + 1200;  // the notice of where the VM is, in seconds

PlaceName refuge(const std::string& letter, bool spot = true) {
  return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
}

class Refuge : public testing::Test {
 protected:
  // The VM is in a, and its refuges are b, c and d, in this order; each of them is above the bid from the given second of its flight on, and
  // so is a from its beginning. Then only on demand is left.
  ReplayStrategy flee(const std::string& policy, const std::vector<int>& spikes) {
    ReplayOptions options;
    options.model = model_;
    options.from = absl::FromUnixSeconds(1'440'201'600);
    options.to = options.from + absl::Hours(10);
    options.on_demand = {refuge("a", false), Money{17 * one_cent}, options.from};
    options.start = refuge("a");
    options.policies = built_in_policies();
    std::vector<Price> prices;
    for (const auto& [letter, price] : {std::pair("a", 3 * one_cent),
                                        {"b", 4 * one_cent},
                                        {"c", 5 * one_cent},
                                        {"d", 6 * one_cent}})
      prices.push_back({refuge(letter), Money{price}, options.from});
    prices.push_back(
        {refuge("a"), Money{40 * one_cent}, options.from + absl::Seconds(first_notice)});
    std::string letter = "b";
    for (const int at : spikes) {
      prices.push_back(
          {refuge(letter), Money{40 * one_cent}, options.from + absl::Seconds(first_notice + at)});
      ++letter[0];
    }
    options.feed = [prices]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      return std::make_unique<VectorFeed>("given", prices);
    };
    options.vms = {replay_vm(options.model, 1, policy)};
    auto strategy = replay(options, policy);
    EXPECT_TRUE(strategy.ok()) << strategy.status();
    return strategy.ok() ? *std::move(strategy) : ReplayStrategy();
  }
  void expect_safe(const std::string& policy, const std::vector<int>& spikes) {
    const ReplayStrategy strategy = flee(policy, spikes);
    EXPECT_EQ(strategy.caught, 0) << policy << ", spikes after " << absl::StrJoin(spikes, ", ");
    EXPECT_GT(strategy.moves, 0);
    EXPECT_LT(strategy.down, absl::Seconds(1) * strategy.moves);
  }

  ReplayModel model_;
};

TEST_F(Refuge, IsLeftInTimeWheneverItIsTakenAsWell) {
  for (int at = 0; at <= 240; at += 5) expect_safe("smart-spot", {at});
}

TEST_F(Refuge, IsLeftInTimeByOtherPoliciesToo) {
  for (int at = 25; at <= 125; at += 20) expect_safe("cheapest", {at});
}

TEST_F(Refuge, OfARefugeIsLeftInTimeAsWell) {
  for (int second = 20; second <= 100; second += 16)
    for (int third = second + 5; third <= second + 125; third += 24)
      expect_safe("smart-spot", {second, third, third + 50});
}

TEST_F(Refuge, IsLeftInTimeWhereTimesAreAsLongAsANoticeAllows) {
  model_.launch_delay = absl::Seconds(65);
  model_.migration = absl::Seconds(45);
  for (int at = 0; at <= 240; at += 8) expect_safe("smart-spot", {at});
  model_.launch_delay = absl::Seconds(100);
  model_.migration = absl::Seconds(10);
  for (int at = 0; at <= 240; at += 8) expect_safe("smart-spot", {at});
}

// A doomed one is on the way only where there is no time for another.
TEST_F(Refuge, IsNotGoneToWhileThereIsTimeForAnother) {
  const ReplayStrategy strategy = flee("smart-spot", {15});
  ASSERT_EQ(strategy.stays.size(), 2U);
  EXPECT_EQ(strategy.stays[1].place, refuge("c").id());
  const ReplayStrategy late = flee("smart-spot", {75});
  ASSERT_EQ(late.stays.size(), 3U);
  EXPECT_EQ(late.stays[1].place, refuge("b").id());
  EXPECT_EQ(late.stays[2].place, refuge("c").id());
}

}  // namespace
}  // namespace supercloud
