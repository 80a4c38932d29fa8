// A replay's result for people and for programs.
#pragma once

#include <string>

#include "core/units.h"
#include "simulation/replay/result.h"

namespace supercloud {

// For people and JSON; sums are made of Money.
inline double in_usd(Money amount) { return static_cast<double>(amount.nano_usd) / 1e9; }

// The table of strategies, the model, and how many damaged rows were left out.
std::string replay_text(const ReplayResult& result);

// A line for each strategy whose policy failed: how often, and why the first time. Empty: none did.
std::string failures_text(const ReplayResult& result);

// What was wrong with the first damaged rows, a line each; empty: there were none.
std::string damage_text(const ReplayResult& result);

// Whether a policy was asked, and failed each time: what is told of it is not of its making.
bool never_answered(const ReplayResult& result);

// An object: strategies [{name, cost_usd (the sum of instances_usd, transfer_usd and downtime_usd), not_charged_usd, moves, revocations,
// caught, down_s, failures}], clairvoyant_usd, on_demand_usd, saving_reached (null: nothing could be saved), log (null: none), events, wall_s;
// and title, from, to, vms, model, prices, rejected_rows, damage [what was wrong with the first of these].
std::string replay_json(const ReplayResult& result);

}  // namespace supercloud
