// The policy "smart-spot".
//
// As a paid hour ends it moves to the place that is expected to cost least over the next days, if what that saves exceeds what the move
// costs `hysteresis` times; it leaves at once what the cloud is about to take; on-demand is a place as any other, and the only one
// left when every spot price is above what would be bid.
//
//   expected saving   of the price gap, which tends back to its mean: actors/policy/price_gap.h
//   cost of a move    transfer at the egress price, both machines while they overlap, the downtime at the VM's price
//   revocations       each is a flight: how much oftener they are expected there than here, times what a flight costs
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
  std::int64_t flights = 2;  // moves that a revocation brings about: away, and back some time
  std::uint32_t share_max_percent = 50;  // of all VMs, at one spot place, and at least one
};

Message<schema::Decision> decide_smart_spot(schema::World::Reader world,
                                            const SmartSpotOptions& options);

}  // namespace supercloud
