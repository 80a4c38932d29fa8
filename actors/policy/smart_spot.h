// The policy "smart-spot".
//
// As a paid hour ends it moves to the place that is expected to cost least over the next days, if what that saves exceeds what the move
// costs `hysteresis` times; it leaves at once what the cloud is about to take; on-demand is a place as any other, and the only one
// left when every spot price is above what would be bid.
//
//   expected saving   of the price gap, which tends back to its mean: actors/policy/price_gap.h
//   cost of a move    transfer at the egress price, both machines while they overlap, the downtime at the VM's price
//   revocations       each counts as `flights` moves: how much oftener they are expected there than here
//
// What can be had as well an hour later is not bought now: a move waits while the next hour there saves less than the risk of being
// taken within that hour costs (actors/policy/revocation_risk.h), as after a spike, when prices are low again and not yet calm.
//
// Hysteresis, moves_per_day of the VM and of all VMs, and the number of VMs that may move at once keep it from flapping; none of them
// holds back a flight. Where there are several VMs, no spot place takes more than `share_max` of them: what takes one machine there
// takes all. Pure.
#pragma once

#include <cstdint>

#include "actors/policy/price_gap.h"
#include "core/message.h"

namespace supercloud {

struct SmartSpotOptions {
  GapModel gap;
  std::int64_t hysteresis_percent = 200;  // of a move's cost
  // Moves that a revocation counts as: two of them are made, away and back; the others are for the risk that each is.
  std::int64_t flights = 5;
  std::uint32_t share_max_percent = 50;  // of all VMs, at one spot place, and at least one
};

Message<schema::Decision> decide_smart_spot(schema::World::Reader world,
                                            const SmartSpotOptions& options);

}  // namespace supercloud
