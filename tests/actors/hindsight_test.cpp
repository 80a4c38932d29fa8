#include "actors/policy/hindsight.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "core/message.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

struct PricedZone {
  std::vector<std::int64_t> prices;  // by hour, the one to come last
  std::int64_t bid = 0;
  std::int64_t move = 0;
};

std::vector<std::int64_t> looked_back(const std::vector<PricedZone>& zones) {
  const auto world = Message<schema::World>::build([&](schema::World::Builder builder) {
    auto list = builder.initCandidates(static_cast<unsigned>(zones.size()));
    for (unsigned i = 0; i < zones.size(); ++i) {
      const auto& prices = zones[i].prices;
      const auto hours = static_cast<unsigned>(prices.size());
      auto marks = list[i].initHourlyNanoUsd(hours);
      marks.set(0, prices.back());  // of the hour that ends: its price is now that of the next
      for (unsigned age = 1; age < hours; ++age) marks.set(age, prices[hours - 1 - age]);
    }
  });
  std::vector<HindsightPlace> places;
  for (unsigned i = 0; i < zones.size(); ++i)
    places.push_back({world.reader().getCandidates()[i].getHourlyNanoUsd(),
                      Money{zones[i].prices.back()}, zones[i].bid, Money{zones[i].move}});
  std::vector<std::int64_t> costs;
  for (const Money cost : hindsight(places)) costs.push_back(cost.nano_usd);
  return costs;
}

// Every way to spend the hours.
class EveryWay {
 public:
  explicit EveryWay(const std::vector<PricedZone>& zones)
      : zones_(zones), ending_at_(zones.size(), none) {
    for (std::size_t i = 0; i < zones.size(); ++i) go(i, 0, 0);
  }

  std::vector<std::int64_t> costs() const {
    const std::int64_t least = *std::ranges::min_element(ending_at_);
    std::vector<std::int64_t> costs;
    for (std::size_t i = 0; i < zones_.size(); ++i)
      costs.push_back(std::min(ending_at_[i], least + zones_[i].move) - least);
    return costs;
  }

 private:
  static constexpr std::int64_t none = INT64_MAX / 4;

  void go(std::size_t at, std::size_t hour, std::int64_t cost) {
    const PricedZone& zone = zones_[at];
    if (zone.bid > 0 && zone.prices[hour] > zone.bid) return;
    cost += zone.prices[hour];
    if (hour + 1 == zone.prices.size()) {
      ending_at_[at] = std::min(ending_at_[at], cost);
      return;
    }
    for (std::size_t next = 0; next < zones_.size(); ++next)
      go(next, hour + 1, cost + (next == at ? 0 : zones_[next].move));
  }

  const std::vector<PricedZone>& zones_;
  std::vector<std::int64_t> ending_at_;
};

TEST(Hindsight, without_a_past_the_next_hour_decides_but_never_by_more_than_a_move) {
  EXPECT_EQ(looked_back({{{30}, 0, 7}, {{10}, 0, 7}, {{12}, 0, 7}}),
            (std::vector<std::int64_t>{7, 0, 2}));
}

TEST(Hindsight, a_place_that_was_cheaper_for_long_is_ahead_until_as_much_is_lost_there) {
  EXPECT_EQ(looked_back({{{5, 5, 5, 5}, 0, 10}, {{8, 8, 8, 8}, 0, 10}}),
            (std::vector<std::int64_t>{0, 10}));
  EXPECT_EQ(looked_back({{{5, 5, 5, 15}, 0, 10}, {{8, 8, 8, 8}, 0, 10}}),
            (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(looked_back({{{5, 5, 5, 20}, 0, 10}, {{8, 8, 8, 8}, 0, 10}}),
            (std::vector<std::int64_t>{3, 0}));
}

TEST(Hindsight, nobody_was_where_the_price_was_above_the_bid) {
  EXPECT_EQ(looked_back({{{1, 50}, 20, 4}, {{9, 9}, 0, 3}}), (std::vector<std::int64_t>{4, 0}));
}

TEST(Hindsight, is_the_least_over_every_way_to_spend_the_hours) {
  std::mt19937 random(5);
  const auto up_to = [&random](unsigned most) {
    return static_cast<std::int64_t>(random() % most);
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<PricedZone> zones(2 + random() % 3);
    const std::size_t hours = 1 + random() % 5;
    for (PricedZone& zone : zones) {
      zone.move = 1 + up_to(30);
      zone.bid = random() % 2 == 0 ? 25 : 0;
      for (std::size_t hour = 0; hour < hours; ++hour) zone.prices.push_back(1 + up_to(40));
    }
    zones[0].bid = 0;  // there is always somewhere to be
    ASSERT_EQ(looked_back(zones), EveryWay(zones).costs()) << "round " << round;
  }
}

}  // namespace
}  // namespace supercloud
