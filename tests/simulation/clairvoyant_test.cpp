// The clairvoyant against all there is to do: every schedule of small markets, priced by a second accounting that looks at prices
// by the second.
#include "simulation/replay/clairvoyant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/ledger/billing.h"
#include "actors/spot/vector_feed.h"
#include "core/random.h"

namespace supercloud {
namespace {

const absl::Time market_opens = absl::FromUnixSeconds(1'440'244'800);
constexpr std::int64_t unpriced = -1;

PlaceName market_zone(int index) {
  return {"aws", "us-east-1", absl::StrCat("zone-", index), "r3.large", true};
}
PlaceName on_demand_place() { return {"aws", "us-east-1", "us-east-1", "r3.large", false}; }

void sort_by_time(std::vector<Price>& prices) {
  std::sort(prices.begin(), prices.end(), [](const Price& a, const Price& b) {
    return std::tie(a.since, a.place) < std::tie(b.since, b.place);
  });
}

// A market of few minutes, known by the second.
struct SmallMarket {
  int step = 60, steps = 6;  // seconds; number
  int unit_steps = 3;        // a billing hour
  int launch = 0, migration = 0, notice = 0;
  bool hourly = true, refunds = false;
  std::int64_t bid = std::numeric_limits<std::int64_t>::max();
  std::int64_t egress = 0;                        // of a move
  std::vector<std::vector<std::int64_t>> prices;  // per place and second; unpriced: not yet

  int seconds() const { return step * steps; }
  int hold() const { return launch + migration; }

  PriceGrid grid() const {
    std::vector<Price> told;
    for (int second = 0; second < seconds(); ++second) {
      for (std::size_t place = 0; place < prices.size(); ++place) {
        const auto& all = prices[place];
        if (all[second] == unpriced || (second > 0 && all[second] == all[second - 1])) continue;
        told.push_back({market_zone(static_cast<int>(place)), Money{all[second]},
                        market_opens + absl::Seconds(second)});
      }
    }
    VectorFeed feed("small", std::move(told));
    PriceGridOptions options;
    options.from = market_opens;
    options.to = market_opens + absl::Seconds(seconds());
    options.step = absl::Seconds(step);
    options.bid = [this](const PlaceName&) { return Money{bid}; };
    auto grid = PriceGrid::read(feed, options);
    EXPECT_TRUE(grid.ok()) << grid.status();
    EXPECT_EQ(grid->places(), static_cast<int>(prices.size()));
    return *std::move(grid);
  }

  ScheduleCosts costs() const {
    ScheduleCosts costs;
    costs.billing = hourly ? schema::Billing::HOURLY : schema::Billing::PER_SECOND;
    costs.hour = absl::Seconds(step * unit_steps);
    costs.launch = absl::Seconds(launch);
    costs.migration = absl::Seconds(migration);
    costs.notice = absl::Seconds(notice);
    costs.refunds = refunds;
    costs.transfer_bytes = std::int64_t{1} << 30;
    costs.egress_per_gib = [this](const PlaceName&, const PlaceName&) { return Money{egress}; };
    return costs;
  }

  bool usable(int place, int at) const {
    if (prices[place][at * step] == unpriced) return false;
    const int early = std::max(hold() - notice, 0);
    for (int second = at * step; second < std::min((at + 1) * step + early, seconds()); ++second)
      if (prices[place][second] > bid) return false;
    return true;
  }

  // Of the seconds from `from` until `to`, in nano-dollars times 3600, by the mean of each step.
  std::int64_t integral(int place, int from, int to) const {
    double sum = 0;
    for (int second = from; second < std::min(to, seconds()); ++second) {
      const int begin = second / step * step;
      std::int64_t mean = 0;
      for (int i = begin; i < begin + step; ++i) mean += prices[place][i];
      sum += static_cast<double>(mean) / step;
    }
    return static_cast<std::int64_t>(sum);
  }

  // What it costs to be at path[k] in step k; nothing if that cannot be.
  std::optional<std::int64_t> cost(const std::vector<int>& path) const {
    std::int64_t sum = 0;  // per second: times 3600
    for (int from = 0; from < steps;) {
      int to = from;
      for (; to < steps && path[to] == path[from]; ++to)
        if (!usable(path[from], to)) return std::nullopt;
      const auto stay = stay_cost(path[from], from, to);
      sum += stay;
      if (from > 0) sum += hourly ? egress : egress * 3600;
      from = to;
    }
    return hourly ? sum : sum / 3600;
  }

  std::int64_t stay_cost(int place, int from, int to) const {
    const bool left = to < steps;
    const int end = left ? to * step + hold() : seconds();
    if (!hourly) return integral(place, from * step, end);
    int taken = std::numeric_limits<int>::max();
    if (refunds && left && !usable(place, to)) {
      int excess = to * step;
      while (prices[place][excess] <= bid) ++excess;
      taken = excess + notice;
    }
    std::int64_t sum = 0;
    const int hour = step * unit_steps;
    for (int begun = from * step; begun < seconds(); begun += hour) {
      const bool paid =
          taken == std::numeric_limits<int>::max() ? begun < end : begun + hour <= taken;
      if (paid) sum += supercloud::cost(Money{prices[place][begun]}, absl::Seconds(hour)).nano_usd;
    }
    return sum;
  }
};

SmallMarket random_market(Random& random) {
  SmallMarket market;
  market.steps = static_cast<int>(random.between(2, 7));
  market.unit_steps = static_cast<int>(random.between(1, 4));
  const int hour = market.unit_steps * market.step;
  market.launch = random.chance(300'000) ? 0 : static_cast<int>(random.between(0, hour / 2 - 1));
  market.migration = random.chance(300'000) ? 0 : static_cast<int>(random.between(0, hour / 2));
  market.notice = static_cast<int>(random.between(0, hour - 1));
  market.hourly = random.chance(700'000);
  market.refunds = random.chance(400'000);
  if (random.chance(700'000)) market.bid = 800'000'000;
  market.egress = random.between(0, 3) * 2'000'000;
  const auto places = random.between(1, 3);
  for (int place = 0; place < places; ++place) {
    auto& prices = market.prices.emplace_back();
    // The first place has a price from the start.
    std::int64_t price =
        place > 0 && random.chance(200'000) ? unpriced : random.between(1, 9) * 100'000'000;
    for (int second = 0; second < market.seconds(); ++second) {
      if (random.chance(second % market.step == 0 ? 400'000 : 10'000))
        price = random.between(1, 9) * 100'000'000;
      prices.push_back(price);
    }
    if (prices.back() == unpriced) prices.back() = 100'000'000;
  }
  return market;
}

// The least per number of moves, over all paths.
std::vector<std::optional<std::int64_t>> least_by_moves(const SmallMarket& market) {
  std::vector<std::optional<std::int64_t>> least(static_cast<std::size_t>(market.steps));
  std::vector<int> path(static_cast<std::size_t>(market.steps), 0);
  const int places = static_cast<int>(market.prices.size());
  while (true) {
    std::size_t moves = 0;
    for (std::size_t i = 1; i < path.size(); ++i) moves += path[i] != path[i - 1] ? 1 : 0;
    if (const auto cost = market.cost(path); cost && (!least[moves] || *cost < *least[moves]))
      least[moves] = cost;
    std::size_t digit = 0;
    while (digit < path.size() && ++path[digit] == places) path[digit++] = 0;
    if (digit == path.size()) return least;
  }
}

TEST(Clairvoyant, finds_what_trying_every_schedule_finds) {
  Random random(3);
  int possible = 0, impossible = 0, moved = 0;
  for (int round = 0; round < 1'500; ++round) {
    const SmallMarket market = random_market(random);
    const PriceGrid grid = market.grid();
    const auto model = ScheduleModel::create(grid, market.costs());
    ASSERT_TRUE(model.ok()) << model.status();
    // Per second, the second accounting rounds otherwise.
    const double off = market.hourly ? 0 : 20;
    std::vector<std::optional<std::int64_t>> least = least_by_moves(market);
    const auto best = clairvoyant(*model);
    std::optional<std::int64_t> so_far;
    std::vector<int> budgets;
    std::vector<std::optional<std::int64_t>> at_most;
    for (std::size_t moves = 0; moves < least.size(); ++moves) {
      if (least[moves] && (!so_far || *least[moves] < *so_far)) so_far = least[moves];
      budgets.push_back(static_cast<int>(moves));
      at_most.push_back(so_far);
    }
    ASSERT_EQ(best.ok(), so_far.has_value()) << "round " << round << ": " << best.status();
    if (!best.ok()) {
      EXPECT_TRUE(absl::IsFailedPrecondition(best.status())) << best.status();
      ++impossible;
      continue;
    }
    ++possible;
    moved += best->schedule.moves() > 0 ? 1 : 0;
    ASSERT_NEAR(static_cast<double>(best->cost.nano_usd), static_cast<double>(*so_far), off)
        << "round " << round;
    if (market.hourly) {
      const auto fewest = std::find(least.begin(), least.end(), so_far) - least.begin();
      ASSERT_EQ(best->schedule.moves(), fewest)
          << "round " << round << ": of equal costs, the fewest moves";
    }
    const auto curve = clairvoyant_curve(*model, budgets);
    ASSERT_TRUE(curve.ok()) << curve.status();
    for (std::size_t i = 0; i < budgets.size(); ++i) {
      const auto& told = (*curve)[i];
      ASSERT_EQ(told.has_value(), at_most[i].has_value()) << "round " << round << ", budget " << i;
      if (!told) continue;
      ASSERT_NEAR(static_cast<double>(told->cost.nano_usd), static_cast<double>(*at_most[i]), off)
          << "round " << round << ", budget " << i;
      ASSERT_LE(told->schedule.moves(), budgets[i]);
      const auto priced = model->cost(told->schedule);
      ASSERT_TRUE(priced.ok()) << priced.status();
      ASSERT_EQ(*priced, told->cost) << "round " << round << ", budget " << i;
    }
  }
  EXPECT_GT(possible, 900);
  EXPECT_GT(impossible, 50);
  EXPECT_GT(moved, 200);
}

TEST(Schedule, costs_what_the_second_accounting_says) {
  Random random(5);
  int priced = 0, refused = 0;
  for (int round = 0; round < 3'000; ++round) {
    const SmallMarket market = random_market(random);
    const PriceGrid grid = market.grid();
    const auto model = ScheduleModel::create(grid, market.costs());
    ASSERT_TRUE(model.ok()) << model.status();
    std::vector<int> path;
    Schedule schedule;
    for (int step = 0; step < market.steps; ++step) {
      const bool stays = step > 0 && random.chance(600'000);
      path.push_back(stays ? path.back() : static_cast<int>(random.below(market.prices.size())));
      if (step == 0 || path[step] != path[step - 1]) schedule.stays.push_back({step, path[step]});
    }
    const auto expected = market.cost(path);
    const auto cost = model->cost(schedule);
    ASSERT_EQ(cost.ok(), expected.has_value()) << "round " << round << ": " << cost.status();
    (cost.ok() ? priced : refused) += 1;
    if (!cost.ok()) continue;
    ASSERT_NEAR(static_cast<double>(cost->nano_usd), static_cast<double>(*expected),
                market.hourly ? 0 : 20)
        << "round " << round;
  }
  EXPECT_GT(priced, 1'000);
  EXPECT_GT(refused, 300);
}

// ---- by hand --------------------------------------------------------------------------------------------------------

// Three hours of five-minute steps; prices in thousandths of a dollar, from the minutes on. On demand at 0.2, which is the bid.
class HandMade : public testing::Test {
 protected:
  struct Change {
    int place, minute;
    std::int64_t milli_usd;
  };

  ScheduleModel model(const std::vector<Change>& changes) {
    std::vector<Price> told;
    for (const Change& change : changes)
      told.push_back({market_zone(change.place), Money{change.milli_usd * 1'000'000},
                      market_opens + absl::Minutes(change.minute)});
    sort_by_time(told);
    VectorFeed feed("by hand", told);
    PriceGridOptions options;
    options.from = market_opens;
    options.to = market_opens + absl::Hours(3);
    options.bid = [](const PlaceName&) { return Money{200'000'000}; };
    auto grid = PriceGrid::read(feed, options);
    EXPECT_TRUE(grid.ok()) << grid.status();
    grid->add_constant(on_demand_place(), Money{200'000'000});
    grid_ = *std::move(grid);
    costs_.launch = absl::Seconds(60);
    costs_.migration = absl::Seconds(30);
    auto model = ScheduleModel::create(*grid_, costs_);
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }

  static std::string told(const Clairvoyance& found) {
    std::string text = absl::StrCat(found.cost.nano_usd / 1'000'000, ":");
    for (const Schedule::Stay& stay : found.schedule.stays)
      absl::StrAppend(&text, " ", stay.place, "@", stay.step * 5);
    return text;
  }

  std::optional<PriceGrid> grid_;
  ScheduleCosts costs_;
};

TEST_F(HandMade, stays_where_it_is_cheap_through_a_spike_within_a_paid_hour) {
  // By the hour only the price at its start counts, and the spike stays below the bid.
  const ScheduleModel hourly = model({{0, 0, 50}, {0, 20, 199}, {0, 40, 50}, {1, 0, 60}});
  EXPECT_EQ(told(*clairvoyant(hourly)), "150: 0@0");
}

TEST_F(HandMade, leaves_before_the_hour_ends_in_which_the_next_one_is_dear) {
  // What it leaves is held for 90 s longer: it goes at minute 55, and comes back when it is cheap again.
  costs_.start = 0;
  const std::vector<Change> spike = {{0, 0, 20}, {0, 58, 190}, {0, 110, 20}, {1, 0, 90}};
  EXPECT_EQ(told(*clairvoyant(model(spike))), "150: 0@0 1@55 0@110") << "20 + 90 + 20 + 20";
  costs_.start.reset();
  EXPECT_EQ(told(*clairvoyant(model(spike))), "150: 1@0 0@50")
      << "90 + 20 + 20 + 20, with one move";
}

TEST_F(HandMade, launches_when_that_makes_hours_begin_at_low_prices) {
  const ScheduleModel hourly = model({{0, 0, 150},
                                      {0, 10, 30},
                                      {0, 15, 150},
                                      {0, 70, 30},
                                      {0, 75, 150},
                                      {0, 130, 30},
                                      {0, 135, 150},
                                      {1, 0, 65}});
  EXPECT_EQ(told(*clairvoyant(hourly)), "155: 1@0 0@10");
}

TEST_F(HandMade, leaves_in_the_step_in_which_the_cloud_takes_the_place_at_the_latest) {
  const ScheduleModel hourly = model({{0, 0, 20}, {0, 93, 300}, {0, 98, 20}, {1, 0, 120}});
  const auto found = clairvoyant(hourly);
  ASSERT_TRUE(found.ok()) << found.status();
  // Hours at 20 from minutes 0 and 60, the other's at 120 from 90, and once more 20 from 120 until the end.
  EXPECT_EQ(told(*found), "180: 0@0 1@90 0@120");
  EXPECT_FALSE(hourly.usable(0, 18));
  EXPECT_TRUE(hourly.usable(0, 17));
  EXPECT_TRUE(hourly.usable(0, 20));
  const Schedule too_late{{{0, 0}, {19, 1}}}, into_it{{{0, 1}, {18, 0}}},
      in_time{{{0, 0}, {18, 1}}};
  EXPECT_TRUE(absl::IsFailedPrecondition(hourly.cost(too_late).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(hourly.cost(into_it).status()));
  EXPECT_EQ(*hourly.cost(in_time), (Money{20'000'000 + 20'000'000 + 120'000'000 + 120'000'000}));

  const auto strategy = hourly.strategy(found->schedule, "clairvoyant", "web1");
  ASSERT_TRUE(strategy.ok()) << strategy.status();
  EXPECT_EQ(strategy->cost, found->cost);
  EXPECT_EQ(strategy->moves, 2);
  EXPECT_EQ(strategy->revocations, 1);
  ASSERT_EQ(strategy->stays.size(), 3U);
  EXPECT_FALSE(strategy->stays[0].flight);
  EXPECT_TRUE(strategy->stays[1].flight);
  EXPECT_FALSE(strategy->stays[2].flight);
  EXPECT_EQ(strategy->stays[1].from, market_opens + absl::Minutes(90));
  EXPECT_EQ(strategy->stays[1].to, market_opens + absl::Minutes(120));
  EXPECT_EQ(strategy->stays[1].place, market_zone(1).id());
  EXPECT_EQ(strategy->cumulative.back().second, found->cost);
  EXPECT_TRUE(std::is_sorted(strategy->cumulative.begin(), strategy->cumulative.end()));
}

TEST_F(HandMade, takes_a_free_hour_from_the_cloud_only_if_refunds_count) {
  const std::vector<Change> changes = {{0, 0, 100}, {0, 65, 300}, {1, 0, 110}};
  EXPECT_EQ(told(*clairvoyant(model(changes))), "330: 1@0");
  costs_.refunds = true;
  EXPECT_EQ(told(*clairvoyant(model(changes))), "320: 0@0 1@65") << "100, nothing, 110 and 110";
}

TEST_F(HandMade, leaves_earlier_where_the_notice_is_shorter_than_a_move_takes) {
  costs_.notice = absl::Seconds(20);
  const ScheduleModel hourly = model({{0, 0, 20}, {0, 91, 300}, {1, 0, 120}});
  EXPECT_TRUE(hourly.usable(0, 16));
  EXPECT_FALSE(hourly.usable(0, 17))
      << "from minute 90 a move would end 30 s after the notice that comes at 91";
  EXPECT_FALSE(hourly.usable(0, 18));
}

TEST_F(HandMade, a_budget_keeps_the_moves_that_save_most) {
  costs_.billing = schema::Billing::PER_SECOND;
  const std::vector<Change> changes = {{0, 0, 10},  {0, 30, 150}, {0, 60, 10},
                                       {0, 90, 50}, {0, 120, 10}, {1, 0, 30}};
  const ScheduleModel per_second = model(changes);
  const auto curve = clairvoyant_curve(per_second, {0, 1, 2, 3, 4, 5, 100});
  ASSERT_TRUE(curve.ok()) << curve.status();
  EXPECT_EQ((*curve)[0]->schedule.moves(), 0);
  EXPECT_EQ((*curve)[2]->schedule.moves(), 2);
  EXPECT_EQ((*curve)[2]->schedule.stays[1].step, 5)
      << "away from the higher of two spikes, and before it, as it is paid while the VM moves";
  EXPECT_EQ((*curve)[4]->schedule.moves(), 4);
  EXPECT_EQ((*curve)[6]->cost, (*curve)[4]->cost) << "more moves than are of use";
  EXPECT_EQ(clairvoyant_with_moves(per_second, 2)->cost, (*curve)[2]->cost);
  EXPECT_TRUE(absl::IsInvalidArgument(clairvoyant_with_moves(per_second, -1).status()));
}

TEST_F(HandMade, moves_are_weighed_with_what_they_cost) {
  costs_.transfer_bytes = std::int64_t{3} << 30;
  costs_.egress_per_gib = [](const PlaceName& from, const PlaceName&) {
    return from == market_zone(0) ? Money{10'000'000} : Money{};
  };
  costs_.blackout = absl::Seconds(36);
  costs_.downtime_per_hour = Money{500'000'000};
  const std::vector<Change> spike = {{0, 0, 20}, {0, 58, 190}, {0, 110, 20}, {1, 0, 90}};
  const ScheduleModel hourly = model(spike);
  EXPECT_EQ(hourly.move(0, 1), (Money{30'000'000 + 5'000'000}));
  EXPECT_EQ(hourly.move(1, 0), (Money{5'000'000}));
  EXPECT_EQ(told(*clairvoyant(hourly)), "155: 1@0 0@50");
  costs_.start = 0;
  EXPECT_EQ(told(*clairvoyant(model(spike))), "190: 0@0 1@55 0@110");
}

TEST_F(HandMade, says_when_the_vm_can_be_nowhere) {
  VectorFeed feed("dear", {{market_zone(0), Money{100'000'000}, market_opens},
                           {market_zone(0), Money{300'000'000}, market_opens + absl::Minutes(30)}});
  PriceGridOptions options;
  options.to = market_opens + absl::Hours(1);
  options.bid = [](const PlaceName&) { return Money{200'000'000}; };
  const auto grid = PriceGrid::read(feed, options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  const auto lonely = ScheduleModel::create(*grid, ScheduleCosts());
  ASSERT_TRUE(lonely.ok()) << lonely.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(clairvoyant(*lonely).status()));
}

TEST_F(HandMade, costs_that_do_not_go_with_the_grid_are_refused) {
  const ScheduleModel hourly = model({{0, 0, 20}});
  const auto refused = [&](const auto& change) {
    ScheduleCosts costs = costs_;
    change(costs);
    const absl::Status status = ScheduleModel::create(*grid_, costs).status();
    return absl::IsInvalidArgument(status);
  };
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.hour = absl::Minutes(7); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.hour = absl::ZeroDuration(); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.launch = absl::Hours(1); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.notice = absl::Hours(1); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.migration = absl::Seconds(-1); }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.transfer_bytes = -1; }));
  EXPECT_TRUE(refused([](ScheduleCosts& costs) { costs.start = 2; }));
  const std::vector<Schedule> wrong = {Schedule{},         {{{1, 0}}}, {{{0, 0}, {5, 0}}},
                                       {{{0, 0}, {0, 1}}}, {{{0, 2}}}, {{{0, 0}, {36, 1}}}};
  for (const Schedule& schedule : wrong)
    EXPECT_TRUE(absl::IsInvalidArgument(hourly.cost(schedule).status()));
}

// ---- larger markets -------------------------------------------------------------------------------------------------

PriceGrid spiky_days(std::uint64_t seed, absl::Duration step) {
  Random random(seed);
  std::vector<Price> told;
  for (int place = 0; place < 4; ++place) {
    absl::Time at = market_opens;
    while (at < market_opens + absl::Hours(24 * 4)) {
      const bool spike = random.chance(100'000);
      told.push_back(
          {market_zone(place), Money{random.between(30, spike ? 900 : 130) * 1'000'000}, at});
      at += absl::Seconds(random.between(20, spike ? 2'000 : 6'000));
    }
  }
  sort_by_time(told);
  VectorFeed feed("spiky", std::move(told));
  PriceGridOptions options;
  options.from = market_opens;
  options.to = market_opens + absl::Hours(24 * 4);
  options.step = step;
  options.bid = [](const PlaceName&) { return Money{200'000'000}; };
  auto grid = PriceGrid::read(feed, options);
  EXPECT_TRUE(grid.ok()) << grid.status();
  grid->add_constant(on_demand_place(), Money{200'000'000});
  return *std::move(grid);
}

ScheduleCosts usual_costs(schema::Billing billing, bool refunds) {
  ScheduleCosts costs;
  costs.billing = billing;
  costs.refunds = refunds;
  costs.launch = absl::Seconds(60);
  costs.migration = absl::Seconds(30);
  costs.transfer_bytes = std::int64_t{6} << 30;
  costs.egress_per_gib = [](const PlaceName&, const PlaceName&) { return Money{1'000'000}; };
  return costs;
}

// As a policy would: looks `every` so many steps, goes where it is cheapest, flees when it must.
Schedule greedy(const ScheduleModel& model, int every, Random& random) {
  const PriceGrid& grid = model.grid();
  Schedule schedule;
  for (int step = 0; step < grid.steps(); ++step) {
    const int here = schedule.stays.empty() ? -1 : schedule.stays.back().place;
    const bool must = here < 0 || !model.usable(here, step);
    if (!must && step % every != 0) continue;
    int best = must ? -1 : here;
    for (int place = 0; place < grid.places(); ++place) {
      if (!model.usable(place, step) || random.chance(50'000)) continue;
      if (best < 0 || grid.price(place, step) < grid.price(best, step)) best = place;
    }
    if (best < 0) best = grid.places() - 1;
    if (best != here) schedule.stays.push_back({step, best});
  }
  return schedule;
}

TEST(Clairvoyant, is_never_beaten_and_more_moves_never_cost_more) {
  Random random(9);
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const PriceGrid grid = spiky_days(seed, absl::Minutes(5));
    for (const schema::Billing billing : {schema::Billing::HOURLY, schema::Billing::PER_SECOND}) {
      for (const bool refunds : {false, true}) {
        const auto model = ScheduleModel::create(grid, usual_costs(billing, refunds));
        ASSERT_TRUE(model.ok()) << model.status();
        const auto best = clairvoyant(*model);
        ASSERT_TRUE(best.ok()) << best.status();
        EXPECT_GT(best->schedule.moves(), 5);
        EXPECT_LT(best->cost, *model->cost({{{0, grid.places() - 1}}})) << "on demand";
        EXPECT_EQ(best->cost, *model->cost(best->schedule));
        for (const int every : {1, 3, 12, 50}) {
          const Schedule schedule = greedy(*model, every, random);
          const auto cost = model->cost(schedule);
          ASSERT_TRUE(cost.ok()) << cost.status();
          EXPECT_LE(best->cost, *cost) << "every " << every;
          const auto rationed = clairvoyant_with_moves(*model, schedule.moves());
          ASSERT_TRUE(rationed.ok()) << rationed.status();
          EXPECT_LE(rationed->cost, *cost) << "every " << every;
        }
        std::vector<int> budgets;
        for (int budget = 0; budget <= best->schedule.moves() + 2; ++budget)
          budgets.push_back(budget);
        const auto curve = clairvoyant_curve(*model, budgets);
        ASSERT_TRUE(curve.ok()) << curve.status();
        for (std::size_t i = 1; i < curve->size(); ++i)
          EXPECT_LE((*curve)[i]->cost, (*curve)[i - 1]->cost) << i;
        EXPECT_EQ(curve->back()->cost, best->cost);
        EXPECT_LT(best->cost, (*curve)[static_cast<std::size_t>(best->schedule.moves() - 1)]->cost)
            << "its moves are the fewest that do";
      }
    }
  }
}

TEST(Clairvoyant, by_the_hour_gains_from_a_finer_grid) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const PriceGrid coarse = spiky_days(seed, absl::Minutes(5)),
                    fine = spiky_days(seed, absl::Seconds(30));
    const auto coarse_model =
        ScheduleModel::create(coarse, usual_costs(schema::Billing::HOURLY, false));
    const auto fine_model =
        ScheduleModel::create(fine, usual_costs(schema::Billing::HOURLY, false));
    ASSERT_TRUE(coarse_model.ok() && fine_model.ok());
    EXPECT_LE(clairvoyant(*fine_model)->cost, clairvoyant(*coarse_model)->cost);
  }
}

}  // namespace
}  // namespace supercloud
