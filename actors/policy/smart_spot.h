// The policy "smart-spot".
//
// As a paid hour ends it moves to the place where it would have cost least by now, the way there counted (actors/policy/hindsight.h),
// unless prices are expected to be higher there than here over the next days (actors/policy/price_gap.h). It leaves at once what the
// cloud is about to take. On-demand is a place as any other, and the only one left when every spot price is above what would be bid.
//
//   cost of a move    transfer at the egress price, both machines while they overlap, the downtime at the VM's price
//   a revocation      `flight_percent` of a move: how likely one is within the next hour (actors/policy/revocation_risk.h)
//
// Looking back is what keeps it from flapping: to go, and to come back again, being elsewhere has to have cost a move more. Where two
// places are equal in that, the risk decides: after a spike, when prices are low again and not yet calm, it waits, but not for good where
// they never are. Where there are several VMs, no spot place takes more than `share_max` of them, as what takes one machine there takes all;
// but for those that flee, where nothing else is left that is reached in time. Where more is bid than on demand costs, it waits on
// demand while it is dearer here, whatever is expected.
// An instance that is billed by the second has no paid hour: it moves whenever that holds. Pure.
#pragma once

#include <cstdint>

#include "actors/policy/price_gap.h"
#include "core/message.h"

namespace supercloud {

struct SmartSpotOptions {
  GapModel gap;
  // Of a move's cost. Not all of it: of the hour in which the cloud takes an instance nothing is paid. By the second all of it.
  std::int64_t flight_percent = 50;
  // The risk holds it back until waiting has cost so many moves.
  std::int64_t patience_moves = 10;
  std::uint32_t share_max_percent = 50;  // of all VMs, at one spot place, and at least one
};

Message<schema::Decision> decide_smart_spot(schema::World::Reader world,
                                            const SmartSpotOptions& options);

}  // namespace supercloud
