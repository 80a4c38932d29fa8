// What it costs one VM to be at given places at given times: the model under which clairvoyant.h finds the least.
//
// A move is decided at the start of a step of the grid: the new instance is launched then, and the VM counts as there from then
// on. The instance it leaves is held for launch + migration longer, so both are paid meanwhile.
//
//   hourly      an instance's hours count from its launch; each costs the price at its start, and is paid whole when begun
//               (with `refunds`, the last hour of an instance that the cloud ends is free)
//   per second  every second costs the price in force, as far as the grid tells them apart: the mean of a step
//   a move      and: bytes x price of transfer between the two places, blackout x price of downtime
//
// When a spot price exceeds the bid, the cloud takes the instance `notice` later. The VM leaves at the start of the step in which
// that happens at the latest; earlier, if launch and migration take longer than the notice gives. It arrives in no such step.
// What would begin after the grid's end is not paid, and of the hour in which it ends only the part up to there: what is rented then
// is counted like that for everybody (account.h).
//
// So a VM decides at the starts of steps only; by the hour, a grid whose steps divide these never makes the least dearer. Without
// `refunds` the least is no bound to what a strategy pays that is given them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/schema/event.capnp.h"
#include "core/units.h"
#include "simulation/replay/price_grid.h"
#include "simulation/replay/result.h"

namespace supercloud {

struct ScheduleCosts {
  schema::Billing billing = schema::Billing::HOURLY;
  absl::Duration hour = absl::Hours(1);  // a billing hour in market time: whole steps of the grid
  // From the decision until the instance runs; from then until the VM runs on it. Together less than an hour.
  absl::Duration launch, migration;
  absl::Duration notice = absl::Minutes(2);  // less than an hour
  absl::Duration blackout;                   // of it, the VM is down
  Money downtime_per_hour;                   // what an hour without the VM is worth
  std::int64_t transfer_bytes = 0;           // per move
  std::function<Money(const PlaceName& from, const PlaceName& to)> egress_per_gib;  // none: free
  bool refunds = false;
  std::optional<int> start;  // the place where the VM is at first; none: the best one
};

// In order; the first one at step 0, and each at another place than the one before.
struct Schedule {
  struct Stay {
    int step = 0;  // of arrival
    int place = 0;
  };
  std::vector<Stay> stays;

  int moves() const { return stays.empty() ? 0 : static_cast<int>(stays.size()) - 1; }
};

// The costs, made ready for a grid, which must outlive it. Reentrant.
class ScheduleModel {
 public:
  // InvalidArgument: these costs do not go with the grid; the message says which and why.
  static absl::StatusOr<ScheduleModel> create(const PriceGrid& grid, const ScheduleCosts& costs);

  const PriceGrid& grid() const { return *grid_; }
  const ScheduleCosts& costs() const { return costs_; }

  // Whether a VM may be at the place from the start of the step to its end.
  bool usable(int place, int step) const {
    return usable_[static_cast<std::size_t>(place)][static_cast<std::size_t>(step)] != 0;
  }
  // A paid unit is a billing hour, or per second a step: how many steps it has.
  int unit_steps() const { return unit_steps_; }
  // Of the units begun by instances that are left, the youngest that the hold may outlast began this many steps after the oldest.
  int held_steps() const { return held_steps_; }
  // To begin a unit at this step.
  Money unit(int place, int step) const;
  // To hold for launch + migration an instance that is left at `step`, its newest unit begun at the step `begun` before. Below
  // zero: a refund.
  Money leave(int place, int begun, int step) const;
  // Transfer and downtime.
  Money move(int from, int to) const {
    return moves_[static_cast<std::size_t>(from * grid_->places() + to)];
  }

  // What the schedule costs until the grid's end. InvalidArgument: it is out of order; FailedPrecondition: the VM is where there is
  // no price yet, or where the cloud takes its instance.
  absl::StatusOr<Money> cost(const Schedule& schedule) const;
  // ... and told as a strategy, with what was paid by when.
  absl::StatusOr<ReplayStrategy> strategy(const Schedule& schedule, std::string name,
                                          const std::string& vm) const;

 private:
  struct Paid {
    int step = 0;
    Money amount;
    Money ReplayStrategy::* of = &ReplayStrategy::instances;
  };

  ScheduleModel(const PriceGrid& grid, ScheduleCosts costs)
      : grid_(&grid), costs_(std::move(costs)) {}
  void find_usable(int place);
  absl::StatusOr<std::vector<Paid>> payments(const Schedule& schedule) const;

  const PriceGrid* grid_;
  ScheduleCosts costs_;
  absl::Duration hold_;
  Money down_;  // of a move's cost, what its downtime is worth
  int unit_steps_ = 1, held_steps_ = 0;
  std::vector<std::vector<std::uint8_t>> usable_;
  std::vector<Money> moves_;
};

}  // namespace supercloud
