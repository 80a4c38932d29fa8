// Two plain ways to bill a VM that follows prices hour by hour, without what makes moving hard: moves are free and instant, there is
// no bid and no revocation. To check an accounting against, and to compare rules that look at prices only.
//
//   by mean    ("plain") per second: a price holds until the next change, an hour costs its time-mean
//   at start   ("plain-hours") an hour costs, whole, the price in force at its start
//
// Hours are those of the clock (UTC). Those count that lie within the grid whole, nothing of them left out, and at whose start
// every place has a price.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/units.h"
#include "simulation/replay/price_grid.h"
#include "simulation/replay/result.h"

namespace supercloud {

enum class PlainBilling : std::uint8_t { by_mean, at_start };

// What is known when an hour begins. Places are numbered as in PlainModel::places().
struct HourStart {
  absl::Time at;
  std::optional<int> here;         // none: the first hour, which begins anywhere
  absl::Span<const Money> prices;  // in force, per place; per 60 minutes
};

// Where to be for the hour.
using HourlyChoice = std::function<int(const HourStart&)>;

HourlyChoice stay_at(int place);

// To the cheapest place, if the price here is more than `percent` above the price there:
//   price here > price there x (1 + percent / 100)
// With 0 this is the cheapest place at each hour's start; of equal prices the present place, then the first. The first hour begins at
// the cheapest. 100 means: only if the price halves. Note that "X percent cheaper than here" is another rule: half the price is 50
// percent cheaper, and here it is 100 percent above.
HourlyChoice move_if_cheaper(int percent);

// The grid must outlive it. Reentrant.
class PlainModel {
 public:
  // `places` are indices of the grid's; empty: all spot places. InvalidArgument: the grid's step does not divide an hour, or it
  // holds no whole hour with prices of all places.
  static absl::StatusOr<PlainModel> create(const PriceGrid& grid, PlainBilling billing,
                                           std::vector<int> places = {});

  int hours() const { return static_cast<int>(first_steps_.size()); }
  int places() const { return static_cast<int>(places_.size()); }
  const PlaceName& place(int index) const;

  ReplayStrategy run(std::string name, const HourlyChoice& choice) const;
  // The least: each hour where it turns out to cost least; of equal ones where it is already.
  ReplayStrategy clairvoyant() const;
  // All hours at one price.
  Money constant(Money usd_per_hour) const;

 private:
  PlainModel(const PriceGrid& grid, PlainBilling billing, std::vector<int> places);
  // What the hour that begins at `step` costs at each place, or what its price is at its start.
  std::vector<Money> costs(int step) const;
  std::vector<Money> prices(int step) const;
  ReplayStrategy run(std::string name, const HourlyChoice& choice, bool foreknown) const;

  const PriceGrid* grid_;
  PlainBilling billing_;
  std::vector<int> places_;
  int hour_steps_ = 1;
  std::vector<int> first_steps_;  // of the hours
};

}  // namespace supercloud
