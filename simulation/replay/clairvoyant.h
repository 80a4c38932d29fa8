// The least that one VM could have cost, had the future been known: an exact search over all schedules of a ScheduleModel
// (schedule.h), by dynamic programming.
//
// A state is a step, a place and the step at which the newest paid unit (hour) of the instance there began. It keeps its value
// until the unit ends, so a step changes one state per place: the one whose unit ends, and which either goes on and pays, or is
// replaced by an arrival, which pays the same. An arrival comes from the best state of another place, and that is the minimum of a
// window that slides along with the steps (a monotone queue). Altogether O(steps x places^2): the length of the hour, in steps,
// does not count. Of the ways that led to the states only their moves are kept, shared, and dropped with the last state that came
// that way.
//
// Of equal costs the one with fewer moves is given. Pure; amounts are exact sums of the model's.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/units.h"
#include "simulation/replay/schedule.h"

namespace supercloud {

struct Clairvoyance {
  Money cost;
  Schedule schedule;
};

// FailedPrecondition: at some time there is no place to be at (without on-demand, say, while all spot prices exceed their bids).
absl::StatusOr<Clairvoyance> clairvoyant(const ScheduleModel& model);

// The fewest moves with which a VM is never where the cloud takes its instance; nullopt: no number of them does. In
// O(steps x places^2) at most.
std::optional<int> fewest_moves(const ScheduleModel& model);

// With at most `budget` moves: exact, not the convex hull that Lagrangian relaxation gives; one more dimension of the state, thus
// O(steps x places^2 x budget). FailedPrecondition, too, if so few moves do not do; with the fewest that do.
absl::StatusOr<Clairvoyance> clairvoyant_with_moves(const ScheduleModel& model, int budget);

// ... for several budgets by one search up to the largest of them; in their order, nullopt where so few moves do not do.
absl::StatusOr<std::vector<std::optional<Clairvoyance>>> clairvoyant_curve(
    const ScheduleModel& model, const std::vector<int>& budgets);

}  // namespace supercloud
