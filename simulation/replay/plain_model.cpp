#include "simulation/replay/plain_model.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace supercloud {
namespace {

constexpr absl::Duration clock_hour = absl::Hours(1);

std::string usd(Money amount) {
  return absl::StrFormat("%.4f", static_cast<double>(amount.nano_usd) / 1e9);
}

}  // namespace

HourlyChoice stay_at(int place) {
  return [place](const HourStart&) { return place; };
}

HourlyChoice move_if_cheaper(int percent) {
  return [percent](const HourStart& hour) {
    const auto cheapest = static_cast<int>(
        std::min_element(hour.prices.begin(), hour.prices.end()) - hour.prices.begin());
    if (!hour.here) return cheapest;
    const std::int64_t price_here = hour.prices[static_cast<std::size_t>(*hour.here)].nano_usd;
    const std::int64_t price_there = hour.prices[static_cast<std::size_t>(cheapest)].nano_usd;
    return price_here * 100 > price_there * (100 + percent) ? cheapest : *hour.here;
  };
}

PlainModel::PlainModel(const PriceGrid& grid, PlainBilling billing, std::vector<int> places)
    : grid_(&grid), billing_(billing), places_(std::move(places)) {}

absl::StatusOr<PlainModel> PlainModel::create(const PriceGrid& grid, PlainBilling billing,
                                              std::vector<int> places) {
  if (clock_hour % grid.step() != absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "plain billing by the hour: the grid's step of ", absl::FormatDuration(grid.step()),
        " does not divide an hour; read the prices with one that does"));
  }
  if (places.empty()) {
    for (int i = 0; i < grid.places(); ++i)
      if (grid.place(i).spot) places.push_back(i);
  }
  for (const int place : places) {
    if (place >= 0 && place < grid.places()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("plain billing by the hour: place ", place, " of ", grid.places()));
  }
  PlainModel model(grid, billing, std::move(places));
  model.hour_steps_ = static_cast<int>(clock_hour / grid.step());
  for (int step = 0; step + model.hour_steps_ <= grid.steps();) {
    const bool counts =
        (grid.time_of(step) - absl::UnixEpoch()) % clock_hour == absl::ZeroDuration() &&
        grid.contiguous(step, step + model.hour_steps_ - 1) &&
        std::all_of(model.places_.begin(), model.places_.end(),
                    [&](int place) { return grid.known(place, step); });
    if (counts) model.first_steps_.push_back(step);
    step += counts ? model.hour_steps_ : 1;
  }
  if (model.first_steps_.empty() || model.places_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "plain billing by the hour: between ", absl::FormatTime(grid.from(), absl::UTCTimeZone()),
        " and ", absl::FormatTime(grid.to(), absl::UTCTimeZone()),
        " there is no whole hour at whose start every place has a price"));
  }
  return model;
}

const PlaceName& PlainModel::place(int index) const {
  return grid_->place(places_[static_cast<std::size_t>(index)]);
}

std::vector<Money> PlainModel::prices(int step) const {
  std::vector<Money> result;
  for (const int place : places_) result.push_back(grid_->price(place, step));
  return result;
}

std::vector<Money> PlainModel::costs(int step) const {
  if (billing_ == PlainBilling::at_start) return prices(step);
  std::vector<Money> result;
  for (const int place : places_) result.push_back(grid_->paid(place, step, step + hour_steps_));
  return result;
}

ReplayStrategy PlainModel::run(std::string name, const HourlyChoice& choice) const {
  return run(std::move(name), choice, false);
}

ReplayStrategy PlainModel::clairvoyant() const {
  return run("clairvoyant", move_if_cheaper(0), true);
}

Money PlainModel::constant(Money usd_per_hour) const { return {usd_per_hour.nano_usd * hours()}; }

ReplayStrategy PlainModel::run(std::string name, const HourlyChoice& choice, bool foreknown) const {
  ReplayStrategy result;
  result.name = std::move(name);
  std::optional<int> here;
  for (const int step : first_steps_) {
    const absl::Time at = grid_->time_of(step);
    const std::vector<Money> paid = costs(step);
    const std::vector<Money> shown = foreknown ? paid : prices(step);
    const int next = choice({at, here, shown});
    assert(next >= 0 && next < places());
    if (next != here) {
      ReplayStay stay;
      stay.vm = "vm";
      stay.from = at;
      stay.place = place(next).id();
      stay.reason = absl::StrCat(usd(shown[static_cast<std::size_t>(next)]), " per hour here");
      if (here) {
        ++result.moves;
        absl::StrAppend(&stay.reason, ", ", usd(shown[static_cast<std::size_t>(*here)]), " at ",
                        place(*here).id());
        result.stays.back().to = at;
      }
      result.stays.push_back(std::move(stay));
      here = next;
    }
    result.cost += paid[static_cast<std::size_t>(next)];
    result.instances = result.cost;
    result.stays.back().to = at + clock_hour;
    result.cumulative.emplace_back(at + clock_hour, result.cost);
  }
  return result;
}

}  // namespace supercloud
