#include "simulation/replay/price_grid.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/reply.h"

namespace supercloud {
namespace {

__extension__ using NanoUsdNs =
    __int128;  // 10^12 nano-dollars x 10^18 nanoseconds do not fit into 64 bits

constexpr std::int64_t grid_hour_ns = 3'600'000'000'000;
constexpr std::int64_t cells_max = std::int64_t{1} << 25;
constexpr Money unknown_price{-1};

std::int64_t rounded_money(NanoUsdNs amount) {
  return static_cast<std::int64_t>((amount + grid_hour_ns / 2) / grid_hour_ns);
}

absl::Time floor_to(absl::Time at, absl::Duration step) {
  return absl::UnixEpoch() + absl::Floor(at - absl::UnixEpoch(), step);
}

absl::Time ceil_to(absl::Time at, absl::Duration step) {
  return absl::UnixEpoch() + absl::Ceil(at - absl::UnixEpoch(), step);
}

std::string grid_time(absl::Time at) { return absl::FormatTime(at, absl::UTCTimeZone()); }

// The next price, which must be there at once.
absl::StatusOr<Price> next_at_once(PriceFeed& feed) {
  const auto answer = std::make_shared<std::optional<absl::StatusOr<Price>>>();
  feed.next(Reply<Price>(far_future,
                         [answer](absl::StatusOr<Price> price) { *answer = std::move(price); }));
  if (!*answer) {
    return absl::FailedPreconditionError(absl::StrCat(
        feed.source(), ": the feed makes one wait; to look back, record it to a file first"));
  }
  return *std::move(*answer);
}

}  // namespace

// Builds a grid from prices in the order of their time. Each place is brought up to date when its price changes.
class PriceGridReader {
 public:
  explicit PriceGridReader(const PriceGridOptions& options) : options_(options) {
    grid_.step_ = options.step;
    grid_.keep_changes_ = options.keep_changes;
  }

  absl::Status check() const {
    if (options_.step <= absl::ZeroDuration() || options_.step > absl::Hours(24)) {
      return absl::InvalidArgumentError(absl::StrCat("the grid's step of ",
                                                     absl::FormatDuration(options_.step),
                                                     " is not between 0 and 24 hours"));
    }
    if (options_.from >= options_.to) {
      return absl::InvalidArgumentError(absl::StrCat("prices are asked for from ",
                                                     grid_time(options_.from), " to ",
                                                     grid_time(options_.to), ", which is no time"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<PriceGrid> read(PriceFeed& feed) {
    while (true) {
      absl::StatusOr<Price> price = next_at_once(feed);
      if (absl::IsDataLoss(price.status())) {
        if (++grid_.rejected_rows_ <= PriceGrid::damage_told_max)
          grid_.damage_.emplace_back(price.status().message());
        continue;
      }
      if (absl::IsOutOfRange(price.status())) break;
      if (!price.ok()) return price.status();
      if (price->since >= options_.to) break;
      ++grid_.prices_read_;
      if (absl::Status status = take(*price); !status.ok()) return status;
    }
    return close(feed.source());
  }

 private:
  struct Open {
    PriceGrid::Series series;
    std::optional<Money> bid;
    Money price = unknown_price;
    absl::Time since = absl::InfinitePast();
    std::size_t segment = 0;
    absl::Time at = absl::InfinitePast();  // the series is complete until then
    NanoUsdNs paid = 0;
  };

  // The segments of [from, to) that are left, from the first price on.
  void begin(absl::Time first_price) {
    const absl::Duration step = options_.step;
    const absl::Time to =
        options_.to == absl::InfiniteFuture() ? options_.to : floor_to(options_.to, step);
    absl::Time from =
        ceil_to(options_.from == absl::InfinitePast() ? first_price : options_.from, step);
    std::vector<MarketSpan> left_out = options_.left_out;
    std::sort(left_out.begin(), left_out.end(),
              [](const MarketSpan& a, const MarketSpan& b) { return a.from < b.from; });
    for (const MarketSpan& gap : left_out) {
      if (gap.from >= gap.to) continue;
      const absl::Time end = std::min(to, floor_to(gap.from, step));
      if (from < end) grid_.segments_.push_back({from, end, 0});
      from = std::max(from, ceil_to(gap.to, step));
    }
    if (from < to) grid_.segments_.push_back({from, to, 0});
    number_steps();
    begun_ = true;
  }

  void number_steps() {
    std::int64_t step = 0;
    for (PriceGrid::Segment& segment : grid_.segments_) {
      segment.first_step = static_cast<int>(std::min(step, cells_max));
      if (segment.to != absl::InfiniteFuture()) step += (segment.to - segment.from) / grid_.step_;
    }
    grid_.steps_ = static_cast<int>(std::min(step, cells_max));
  }

  absl::Status take(const Price& price) {
    if (!begun_) begin(price.since);
    newest_ = std::max(newest_, price.since);
    const auto [found, added] = open_.try_emplace(price.place);
    Open& open = found->second;
    if (added) {
      open.series.name = price.place;
      if (options_.bid && price.place.spot) open.bid = options_.bid(price.place);
    } else if (price.since <= open.since) {
      ++grid_.repeated_;
      return absl::OkStatus();
    }
    if (absl::Status status = advance(open, price.since); !status.ok()) return status;
    open.since = price.since;
    open.price = price.usd_per_hour;
    if (options_.keep_changes) open.series.changes.emplace_back(price.since, price.usd_per_hour);
    const bool within_a_step = open.at == price.since && floor_to(open.at, grid_.step_) != open.at;
    if (within_a_step) excess(open, price.since);
    return absl::OkStatus();
  }

  // Of the newest step.
  static void excess(Open& open, absl::Time at) {
    if (!open.bid || open.price <= *open.bid) return;
    const int step = static_cast<int>(open.series.prices.size()) - 1;
    auto& all = open.series.exceeded;
    if (all.empty() || all.back().first < step) all.emplace_back(step, at);
  }

  // Goes on with the price so far until `until`. In nanoseconds, for the sake of millions of steps.
  absl::Status advance(Open& open, absl::Time until) {
    const std::int64_t step = absl::ToInt64Nanoseconds(grid_.step_);
    for (; open.segment < grid_.segments_.size(); ++open.segment) {
      const PriceGrid::Segment& segment = grid_.segments_[open.segment];
      const std::int64_t from = absl::ToUnixNanos(segment.from);
      const std::int64_t stop = absl::ToUnixNanos(std::min(until, segment.to));
      std::int64_t at = std::max(absl::ToUnixNanos(open.at), from);
      if (at < stop && cells_ + (stop - at) / step >= cells_max) return too_many(until);
      while (at < stop) {
        const std::int64_t within = (at - from) % step;
        if (within == 0) begin_step(open, at);
        const std::int64_t next = std::min(stop, at - within + step);
        if (open.price != unknown_price)
          open.paid += static_cast<NanoUsdNs>(open.price.nano_usd) * (next - at);
        at = next;
      }
      open.at = absl::FromUnixNanos(at);
      if (until < segment.to) break;
    }
    return absl::OkStatus();
  }

  void begin_step(Open& open, std::int64_t at_ns) {
    ++cells_;
    open.series.until.push_back(rounded_money(open.paid));
    open.series.prices.push_back(open.price);
    excess(open, absl::FromUnixNanos(at_ns));
  }

  absl::Status too_many(absl::Time until) const {
    return absl::ResourceExhaustedError(
        absl::StrCat("by ", grid_time(until), " the grid would have more than ", cells_max,
                     " prices, in steps of ", absl::FormatDuration(grid_.step_),
                     ": bound the time, or choose a longer step"));
  }

  absl::StatusOr<PriceGrid> close(const std::string& source) {
    if (!begun_) {
      return absl::NotFoundError(
          options_.to == absl::InfiniteFuture()
              ? absl::StrCat(source, ": there is no price")
              : absl::StrCat(source, ": there is no price before ", grid_time(options_.to)));
    }
    auto& segments = grid_.segments_;
    if (options_.to == absl::InfiniteFuture()) {
      const absl::Time end = floor_to(newest_, grid_.step_);
      while (!segments.empty() && segments.back().from >= end) segments.pop_back();
      if (!segments.empty()) segments.back().to = std::min(segments.back().to, end);
      number_steps();
    }
    if (segments.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(source, ": between ", grid_time(options_.from), " and ",
                       grid_time(std::min(options_.to, newest_)), " there is no whole step of ",
                       absl::FormatDuration(grid_.step_)));
    }
    for (auto& [name, open] : open_) {
      if (absl::Status status = advance(open, segments.back().to); !status.ok()) return status;
      PriceGrid::Series& series = open.series;
      // Where `to` was open, the newest price may lie in a step that is not whole.
      const auto steps = static_cast<std::size_t>(grid_.steps_);
      if (series.until.size() == steps) series.until.push_back(rounded_money(open.paid));
      series.prices.resize(steps);
      series.until.resize(steps + 1);
      while (!series.exceeded.empty() && series.exceeded.back().first >= grid_.steps_)
        series.exceeded.pop_back();
      grid_.series_.push_back(std::move(series));
    }
    return std::move(grid_);
  }

  PriceGridOptions options_;
  PriceGrid grid_;
  std::map<PlaceName, Open> open_;
  bool begun_ = false;
  absl::Time newest_ = absl::InfinitePast();
  std::int64_t cells_ = 0;
};

absl::StatusOr<PriceGrid> PriceGrid::read(PriceFeed& feed, const PriceGridOptions& options) {
  PriceGridReader reader(options);
  if (absl::Status status = reader.check(); !status.ok()) return status;
  return reader.read(feed);
}

void PriceGrid::add_constant(PlaceName place, Money usd_per_hour) {
  Series series;
  series.name = std::move(place);
  series.prices.assign(static_cast<std::size_t>(steps_), usd_per_hour);
  const NanoUsdNs per_step =
      static_cast<NanoUsdNs>(usd_per_hour.nano_usd) * absl::ToInt64Nanoseconds(step_);
  for (int step = 0; step <= steps_; ++step) series.until.push_back(rounded_money(per_step * step));
  if (keep_changes_) series.changes.emplace_back(from(), usd_per_hour);
  series_.push_back(std::move(series));
}

std::optional<int> PriceGrid::find(const PlaceName& name) const {
  for (int i = 0; i < places(); ++i)
    if (place(i) == name) return i;
  return std::nullopt;
}

PriceGrid PriceGrid::with_places(const std::vector<int>& chosen) const {
  PriceGrid grid;
  grid.step_ = step_;
  grid.steps_ = steps_;
  grid.segments_ = segments_;
  for (const int place : chosen) grid.series_.push_back(of(place));
  return grid;
}

const PriceGrid::Segment& PriceGrid::segment_of(int step) const {
  const auto after =
      std::upper_bound(segments_.begin(), segments_.end(), step,
                       [](int at, const Segment& segment) { return at < segment.first_step; });
  return *std::prev(after);
}

absl::Time PriceGrid::time_of(int step) const {
  if (step >= steps_) return to();
  const Segment& segment = segment_of(step);
  return segment.from + step_ * (step - segment.first_step);
}

bool PriceGrid::contiguous(int first, int last) const {
  return &segment_of(first) == &segment_of(last);
}

Money PriceGrid::paid(int place, int first, int last, absl::Duration more) const {
  const Series& series = of(place);
  Money sum{series.until[last] - series.until[first]};
  if (more > absl::ZeroDuration()) {
    const std::int64_t span = absl::ToInt64Nanoseconds(step_);
    const NanoUsdNs whole = series.until[last + 1] - series.until[last];
    sum.nano_usd +=
        static_cast<std::int64_t>((whole * absl::ToInt64Nanoseconds(more) + span / 2) / span);
  }
  return sum;
}

std::optional<absl::Time> PriceGrid::exceeded(int place, int step) const {
  const auto& all = of(place).exceeded;
  const auto found = std::lower_bound(
      all.begin(), all.end(), step,
      [](const std::pair<int, absl::Time>& at, int sought) { return at.first < sought; });
  if (found == all.end() || found->first != step) return std::nullopt;
  return found->second;
}

std::vector<ReplayPrices> PriceGrid::changes() const {
  std::vector<ReplayPrices> result;
  if (!keep_changes_) return result;
  for (const Series& series : series_) {
    ReplayPrices prices{series.name, {}};
    for (const auto& [at, price] : series.changes) {
      if (at >= to()) break;
      if (at <= from()) prices.changes.clear();
      prices.changes.emplace_back(std::max(at, from()), price);
    }
    result.push_back(std::move(prices));
  }
  return result;
}

}  // namespace supercloud
