// The data of a report's page: what its scripts read. JSON, so compact that a trace of 90 days stays below the size of a photo.
//
//   data      {format: 1, title, from, to, vms, prices_read, rejected_rows, wall_s, model: [[name, value]...],
//              on_demand, clairvoyant, saving_reached, strings: [text...], places: [place...], strategies: [strategy...]}
//   place     {id, label, spot, steps, left_out}         the first ones have prices; the others are only named by stays
//   strategy  {name, cost, instances, transfer, downtime, moves, revocations, caught, down_s, events, stays: [stay...], paid: steps,
//              left_out}                             cost is the sum of the three after it
//   stay      [vm, place, from, to, reason, flight, decision, [place, cost, gain, excluded, place, cost, ...],
//              [time, reason, time, reason, ...]]         of decisions to stay, each time since the one before
//   steps     {t0, dt, t: [delta...], v0, dv, v: [delta...]}, n values: t and v have n - 1 elements; {} has no value
//             time[k] = t0 + dt (t[0] + ... + t[k-1]), value[k] alike
//
// Times are milliseconds since 1970, UTC. Money is in nano-dollars, candidates' in micro-dollars. vm, place (of stays and
// candidates), reason and excluded are indices: places of `places`, the others of `strings`; flight is 0 or 1. left_out says how
// many steps were thinned out (cli/report/thinning.h).
#pragma once

#include <cstddef>
#include <string>

#include "simulation/replay/result.h"

namespace supercloud {

inline constexpr std::size_t replay_steps_max = 40'000;  // of a line

// Contains no '<', and so nothing that ends a script element. Text that is not UTF-8 is replaced by U+FFFD. Pure.
std::string replay_data(const ReplayResult& result);

}  // namespace supercloud
