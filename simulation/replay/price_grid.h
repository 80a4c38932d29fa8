// Prices on a grid of equal steps: a trace read once and kept small, for looking back at it (clairvoyant.h, plain_model.h).
//
// Per place and step the grid knows the price in force at the step's start, the integral of the price (what per-second billing
// pays), and when within the step the price first exceeded the bid. Steps begin at multiples of their length since 1970. Times
// that are left out are cut out: the step after follows the one before, as if the clocks had stood still.
//
// Times are market time; prices are per 60 minutes. 16 bytes per place and step: 90 days of ten places by 5 minutes are 4 MB.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/price_feed.h"
#include "core/units.h"
#include "simulation/replay/result.h"

namespace supercloud {

struct MarketSpan {
  absl::Time from, to;  // `to` is not in it
};

struct PriceGridOptions {
  // Rounded to whole steps that lie within. Without `from` the grid begins at the first price, without `to` it ends at the newest.
  absl::Time from = absl::InfinitePast();
  absl::Time to = absl::InfiniteFuture();
  absl::Duration step = absl::Minutes(5);
  std::vector<MarketSpan> left_out;  // in any order; rounded to whole steps that cover them
  // The most that is bid per hour at a spot place; nullopt, or no function: as much as it takes.
  std::function<std::optional<Money>(const PlaceName&)> bid;
  bool keep_changes = false;  // for PriceGrid::changes
};

// A value type; reentrant.
class PriceGrid {
 public:
  // Reads the feed until its end or until `to`. Every reply must come at once, as a file's do (FailedPrecondition). Damaged rows
  // are counted and left out; other errors of the feed are passed on. NotFound: there was no price. InvalidArgument: the bounds
  // hold no whole step. ResourceExhausted: more than 2^25 places x steps.
  static absl::StatusOr<PriceGrid> read(PriceFeed& feed, const PriceGridOptions& options);

  // Adds a place that costs the same all the time and is never taken away, as the last one: on-demand, own hosts.
  void add_constant(PlaceName place, Money usd_per_hour);

  int places() const { return static_cast<int>(series_.size()); }
  // Those of the feed in their order (operator<), then the constant ones.
  const PlaceName& place(int place) const { return of(place).name; }
  std::optional<int> find(const PlaceName& name) const;
  // A copy with these places only, in this order.
  PriceGrid with_places(const std::vector<int>& chosen) const;

  int steps() const { return steps_; }
  absl::Duration step() const { return step_; }
  absl::Time from() const { return segments_.front().from; }
  absl::Time to() const { return segments_.back().to; }
  // When a step begins; of steps(): the grid's end.
  absl::Time time_of(int step) const;
  // Whether no time is left out between the start of step `first` and the end of step `last`.
  bool contiguous(int first, int last) const;

  // False before the place's first price. After it a price holds until the next one.
  bool known(int place, int step) const { return of(place).prices[step].nano_usd >= 0; }
  // In force at the step's start; it must be known.
  Money price(int place, int step) const { return of(place).prices[step]; }
  // What the steps from `first` until before `last` cost when every second costs the price in force; of a further step
  // `last`, the share `more` of its mean. The sum is rounded, not its parts: at most 1 nano-dollar off for whole steps.
  Money paid(int place, int first, int last, absl::Duration more = absl::ZeroDuration()) const;
  // When within the step the price first was above the bid: its start, if it was so then already.
  std::optional<absl::Time> exceeded(int place, int step) const;
  // ... and all of these, in order of the steps.
  const std::vector<std::pair<int, absl::Time>>& exceeded(int place) const {
    return of(place).exceeded;
  }

  // Per place what was in force at from(), and every change until to(), those of left-out times too; empty unless asked for.
  std::vector<ReplayPrices> changes() const;
  std::uint64_t prices_read() const { return prices_read_; }
  std::uint64_t rejected_rows() const { return rejected_rows_; }  // damaged
  // What was wrong with them, of the first few, as the feed said it.
  static constexpr std::size_t damage_told_max = 10;
  const std::vector<std::string>& damage() const { return damage_; }
  // Prices of a place that are not newer than its newest: the first one stands.
  std::uint64_t repeated() const { return repeated_; }

 private:
  friend class PriceGridReader;
  struct Segment {
    absl::Time from, to;
    int first_step = 0;
  };
  struct Series {
    PlaceName name;
    std::vector<Money> prices;  // per step; below zero: unknown
    std::vector<std::int64_t>
        until;  // nano-dollars paid from the grid's start until the step's; one more than steps
    std::vector<std::pair<int, absl::Time>> exceeded;
    std::vector<std::pair<absl::Time, Money>> changes;
  };

  const Series& of(int place) const { return series_[static_cast<std::size_t>(place)]; }
  const Segment& segment_of(int step) const;

  absl::Duration step_;
  int steps_ = 0;
  std::vector<Segment> segments_;
  std::vector<Series> series_;
  bool keep_changes_ = false;
  std::uint64_t prices_read_ = 0, rejected_rows_ = 0, repeated_ = 0;
  std::vector<std::string> damage_;
};

}  // namespace supercloud
