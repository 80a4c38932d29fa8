// Prices read once into equal steps.
#include "simulation/replay/price_grid.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "actors/ledger/billing.h"
#include "actors/spot/vector_feed.h"
#include "core/random.h"

namespace supercloud {
namespace {

const absl::Time noon = absl::FromUnixSeconds(1'440'244'800);
const PlaceName zone_a{"aws", "us-east-1", "us-east-1a", "r3.large", true};
const PlaceName zone_b{"aws", "us-east-1", "us-east-1b", "r3.large", true};

absl::Time clock_time(int minutes, int seconds = 0) {
  return noon + absl::Minutes(minutes) + absl::Seconds(seconds);
}

Price price(const PlaceName& place, std::int64_t milli_usd, absl::Time since) {
  return {place, Money{milli_usd * 1'000'000}, since};
}

absl::StatusOr<PriceGrid> grid_of(std::vector<Price> prices, const PriceGridOptions& options) {
  VectorFeed feed("test", std::move(prices));
  return PriceGrid::read(feed, options);
}

// Answers with what it was given; says nothing at the end.
class AnsweringFeed final : public PriceFeed {
 public:
  explicit AnsweringFeed(std::deque<absl::StatusOr<Price>> answers)
      : answers_(std::move(answers)) {}
  std::string source() const override { return "answers"; }
  void next(Reply<Price> reply) override {
    if (answers_.empty()) return;
    absl::StatusOr<Price> answer = std::move(answers_.front());
    answers_.pop_front();
    reply(std::move(answer));
  }

 private:
  std::deque<absl::StatusOr<Price>> answers_;
};

TEST(PriceGrid, holds_the_price_at_each_step_and_its_integral_within) {
  PriceGridOptions options;
  options.from = clock_time(0);
  options.to = clock_time(20);
  const auto grid =
      grid_of({price(zone_a, 60, clock_time(-30)), price(zone_a, 120, clock_time(7, 30)),
               price(zone_a, 240, clock_time(10))},
              options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  ASSERT_EQ(grid->steps(), 4);
  EXPECT_EQ(grid->price(0, 0), (Money{60'000'000}));
  EXPECT_EQ(grid->price(0, 1), (Money{60'000'000}));
  EXPECT_EQ(grid->price(0, 2), (Money{240'000'000}));
  EXPECT_EQ(grid->price(0, 3), (Money{240'000'000}));
  EXPECT_EQ(grid->paid(0, 0, 1), (Money{5'000'000}));
  EXPECT_EQ(grid->paid(0, 1, 2), (Money{7'500'000}));
  EXPECT_EQ(grid->paid(0, 0, 4), (Money{52'500'000}));
  EXPECT_EQ(grid->paid(0, 0, 1, absl::Minutes(2)), (Money{8'000'000}))
      << "two minutes of a step at its mean";
  EXPECT_EQ(grid->time_of(3), clock_time(15));
  EXPECT_EQ(grid->time_of(4), clock_time(20));
}

TEST(PriceGrid, has_whole_steps_within_its_bounds_only) {
  const std::vector<Price> prices = {price(zone_a, 60, clock_time(1)),
                                     price(zone_b, 70, clock_time(12)),
                                     price(zone_a, 80, clock_time(23))};
  const auto unbounded = grid_of(prices, {});
  ASSERT_TRUE(unbounded.ok()) << unbounded.status();
  EXPECT_EQ(unbounded->from(), clock_time(5));
  EXPECT_EQ(unbounded->to(), clock_time(20));
  ASSERT_EQ(unbounded->places(), 2);
  EXPECT_EQ(unbounded->find(zone_b), 1);
  EXPECT_FALSE(unbounded->known(1, 1)) << "its first price comes in the middle of this step";
  EXPECT_TRUE(unbounded->known(1, 2));
  EXPECT_EQ(unbounded->paid(1, 2, 3), cost(Money{70'000'000}, absl::Minutes(5)));

  PriceGridOptions options;
  options.from = clock_time(2);
  options.to = clock_time(44);
  const auto bounded = grid_of(prices, options);
  ASSERT_TRUE(bounded.ok()) << bounded.status();
  EXPECT_EQ(bounded->from(), clock_time(5));
  EXPECT_EQ(bounded->to(), clock_time(40)) << "prices are held until the bound";
  EXPECT_EQ(bounded->price(0, 6), (Money{80'000'000}));

  options.to = clock_time(4);
  EXPECT_TRUE(absl::IsInvalidArgument(grid_of(prices, options).status()));
  options.to = clock_time(0);
  EXPECT_TRUE(absl::IsInvalidArgument(grid_of(prices, options).status()));
  options.from = absl::InfinitePast();
  EXPECT_TRUE(absl::IsNotFound(grid_of(prices, options).status())) << "no price before the bound";
  EXPECT_TRUE(absl::IsNotFound(grid_of({}, {}).status()));
}

TEST(PriceGrid, joins_what_lies_around_times_that_are_left_out) {
  PriceGridOptions options;
  options.from = clock_time(0);
  options.to = clock_time(60);
  options.keep_changes = true;
  options.bid = [](const PlaceName&) { return Money{65'000'000}; };
  options.left_out = {{clock_time(31), clock_time(39)},
                      {clock_time(11), clock_time(24)},
                      {clock_time(20), clock_time(22)}};
  const auto grid = grid_of({price(zone_a, 60, clock_time(0)), price(zone_a, 70, clock_time(17)),
                             price(zone_a, 50, clock_time(35)), price(zone_a, 80, clock_time(57))},
                            options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  ASSERT_EQ(grid->steps(), 2 + 1 + 4);
  EXPECT_EQ(grid->time_of(1), clock_time(5));
  EXPECT_EQ(grid->time_of(2), clock_time(25));
  EXPECT_EQ(grid->time_of(3), clock_time(40));
  EXPECT_EQ(grid->time_of(6), clock_time(55));
  EXPECT_EQ(grid->price(0, 1), (Money{60'000'000}));
  EXPECT_EQ(grid->price(0, 2), (Money{70'000'000})) << "the change within the gap holds after it";
  EXPECT_EQ(grid->price(0, 3), (Money{50'000'000}));
  EXPECT_EQ(grid->paid(0, 1, 4), cost(Money{180'000'000}, absl::Minutes(5)));
  EXPECT_TRUE(grid->contiguous(0, 1));
  EXPECT_FALSE(grid->contiguous(1, 2));
  EXPECT_TRUE(grid->contiguous(3, 6));
  EXPECT_EQ(grid->exceeded(0, 2), clock_time(25));
  EXPECT_EQ(grid->exceeded(0, 6), clock_time(57));
  EXPECT_EQ(grid->exceeded(0).size(), 2U);
  ASSERT_EQ(grid->changes().size(), 1U);
  EXPECT_EQ(grid->changes()[0].changes.size(), 4U) << "a report shows them all";

  options.left_out = {{clock_time(-100), clock_time(100)}};
  EXPECT_TRUE(
      absl::IsInvalidArgument(grid_of({price(zone_a, 60, clock_time(0))}, options).status()));

  options.to = absl::InfiniteFuture();
  options.left_out = {{clock_time(10), clock_time(20)}, {clock_time(40), clock_time(50)}};
  const auto open =
      grid_of({price(zone_a, 60, clock_time(0)), price(zone_a, 70, clock_time(31))}, options);
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(open->to(), clock_time(30));
  EXPECT_EQ(open->steps(), 4);
}

TEST(PriceGrid, tells_when_a_price_first_exceeds_the_bid_within_a_step) {
  PriceGridOptions options;
  options.from = clock_time(0);
  options.to = clock_time(25);
  options.bid = [](const PlaceName& place) {
    return place == zone_a ? std::optional(Money{100'000'000}) : std::nullopt;
  };
  const auto grid = grid_of({price(zone_a, 90, clock_time(0)), price(zone_b, 900, clock_time(0)),
                             price(zone_a, 101, clock_time(6)), price(zone_a, 100, clock_time(7)),
                             price(zone_a, 300, clock_time(8)), price(zone_a, 100, clock_time(15))},
                            options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_EQ(grid->exceeded(0, 0), std::nullopt);
  EXPECT_EQ(grid->exceeded(0, 1), clock_time(6));
  EXPECT_EQ(grid->exceeded(0, 2), clock_time(10)) << "it still does as the step begins";
  EXPECT_EQ(grid->exceeded(0, 3), std::nullopt) << "the bid itself does not exceed it";
  EXPECT_EQ(grid->exceeded(0).size(), 2U);
  EXPECT_TRUE(grid->exceeded(1).empty()) << "there is no bid here";
}

TEST(PriceGrid, counts_damaged_rows_and_prices_told_again) {
  AnsweringFeed feed({price(zone_a, 60, clock_time(0)), absl::DataLossError("line 3"),
                      price(zone_a, 99, clock_time(0)), price(zone_a, 70, clock_time(5)),
                      absl::DataLossError("line 6"), price(zone_a, 80, clock_time(10)),
                      absl::OutOfRangeError("the end")});
  const auto grid = PriceGrid::read(feed, {});
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_EQ(grid->prices_read(), 4U);
  EXPECT_EQ(grid->rejected_rows(), 2U);
  EXPECT_EQ(grid->damage(), (std::vector<std::string>{"line 3", "line 6"}));
  EXPECT_EQ(grid->repeated(), 1U);
  EXPECT_EQ(grid->price(0, 0), (Money{60'000'000})) << "a fact is a fact";
}

TEST(PriceGrid, keeps_the_reasons_of_the_first_few_damaged_rows) {
  std::deque<absl::StatusOr<Price>> answers(100, absl::DataLossError("a line"));
  answers.emplace_back(price(zone_a, 60, clock_time(0)));
  answers.emplace_back(price(zone_a, 70, clock_time(10)));
  answers.emplace_back(absl::OutOfRangeError("the end"));
  AnsweringFeed feed(answers);
  const auto grid = PriceGrid::read(feed, {});
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_EQ(grid->rejected_rows(), 100U);
  EXPECT_EQ(grid->damage().size(), PriceGrid::damage_told_max);
}

TEST(PriceGrid, has_a_copy_with_some_of_its_places) {
  const auto grid = grid_of({price(zone_a, 60, clock_time(0)), price(zone_b, 90, clock_time(0)),
                             price(zone_a, 70, clock_time(10))},
                            {});
  ASSERT_TRUE(grid.ok()) << grid.status();
  const PriceGrid some = grid->with_places({1});
  EXPECT_EQ(some.places(), 1);
  EXPECT_EQ(some.place(0), zone_b);
  EXPECT_EQ(some.find(zone_a), std::nullopt);
  EXPECT_EQ(some.steps(), grid->steps());
  EXPECT_EQ(some.to(), grid->to());
  EXPECT_EQ(some.paid(0, 0, some.steps()), grid->paid(1, 0, grid->steps()));
}

TEST(PriceGrid, refuses_feeds_that_make_it_wait_and_passes_their_errors_on) {
  AnsweringFeed slow({price(zone_a, 60, clock_time(0))});
  const absl::Status waited = PriceGrid::read(slow, {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(waited)) << waited;
  EXPECT_TRUE(absl::StrContains(waited.message(), "answers")) << waited;
  AnsweringFeed away({absl::UnavailableError("no route")});
  EXPECT_TRUE(absl::IsUnavailable(PriceGrid::read(away, {}).status()));
}

TEST(PriceGrid, does_not_grow_without_bound) {
  PriceGridOptions options;
  options.step = absl::Milliseconds(1);
  const absl::Status status =
      grid_of({price(zone_a, 60, clock_time(0)), price(zone_a, 70, clock_time(24 * 60))}, options)
          .status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  options.step = absl::ZeroDuration();
  EXPECT_TRUE(
      absl::IsInvalidArgument(grid_of({price(zone_a, 60, clock_time(0))}, options).status()));
}

TEST(PriceGrid, adds_places_of_one_price) {
  PriceGridOptions options;
  options.keep_changes = true;
  auto grid =
      grid_of({price(zone_a, 60, clock_time(0)), price(zone_a, 70, clock_time(60))}, options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  PlaceName at_any_time = zone_a;
  at_any_time.spot = false;
  grid->add_constant(at_any_time, Money{175'000'001});
  ASSERT_EQ(grid->find(at_any_time), 1);
  EXPECT_EQ(grid->price(1, 11), (Money{175'000'001}));
  EXPECT_EQ(grid->paid(1, 0, 12), (Money{175'000'001}));
  EXPECT_TRUE(grid->exceeded(1).empty());
  ASSERT_EQ(grid->changes().size(), 2U);
  EXPECT_EQ(grid->changes()[1].changes.size(), 1U);
}

TEST(PriceGrid, changes_begin_with_what_is_in_force) {
  PriceGridOptions options;
  options.from = clock_time(10);
  options.to = clock_time(30);
  options.keep_changes = true;
  const auto grid = grid_of({price(zone_a, 1, clock_time(0)), price(zone_a, 2, clock_time(7)),
                             price(zone_b, 3, clock_time(12)), price(zone_a, 4, clock_time(20)),
                             price(zone_a, 5, clock_time(30))},
                            options);
  ASSERT_TRUE(grid.ok()) << grid.status();
  const std::vector<ReplayPrices> changes = grid->changes();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].changes, (std::vector<std::pair<absl::Time, Money>>{
                                    {clock_time(10), {2'000'000}}, {clock_time(20), {4'000'000}}}));
  EXPECT_EQ(changes[1].changes,
            (std::vector<std::pair<absl::Time, Money>>{{clock_time(12), {3'000'000}}}));
  options.keep_changes = false;
  EXPECT_TRUE(grid_of({price(zone_a, 1, clock_time(0))}, options)->changes().empty());
}

// What the ledger would charge per second is what the grid says.
TEST(PriceGrid, agrees_with_the_ledger_on_random_prices) {
  Random random(11);
  for (int round = 0; round < 50; ++round) {
    std::vector<Price> prices;
    PriceHistory history;
    absl::Time at = noon - absl::Minutes(3);
    while (at < noon + absl::Hours(2)) {
      const Money usd{random.between(1, 2'000'000'000)};
      prices.push_back({zone_a, usd, at});
      history.add(at, usd);
      at += absl::Nanoseconds(random.between(1, 900'000'000'000));
    }
    PriceGridOptions options;
    options.from = noon;
    options.to = noon + absl::Hours(2);
    const auto grid = grid_of(prices, options);
    ASSERT_TRUE(grid.ok()) << grid.status();
    for (int step = 0; step < grid->steps(); ++step)
      ASSERT_EQ(grid->price(0, step), *history.at(grid->time_of(step)));
    const Rental rental{"i", zone_a.id(), noon, schema::Billing::PER_SECOND, {}, std::nullopt};
    for (int hour = 0; hour < 2; ++hour) {
      const Money charged = charge_of(rental, history, hour, absl::Hours(1)).amount;
      ASSERT_NEAR(
          static_cast<double>((grid->paid(0, hour * 12, hour * 12 + 12) - charged).nano_usd), 0, 1);
    }
  }
}

}  // namespace
}  // namespace supercloud
