// Whether a decision can be followed: policies may be anybody's.
#pragma once

#include "absl/status/status.h"
#include "core/message.h"

namespace supercloud {

// Limits of what a policy says, for its words and figures go into events and to people.
inline constexpr std::size_t reason_bytes_max = 2000;
inline constexpr std::size_t exclusion_bytes_max = 500;
inline constexpr std::size_t evidence_max = 64;
inline constexpr std::int64_t absurd_nano_usd = 1'000'000'000'000'000;  // a million USD, either way

// InvalidArgument, as what "it" did: it chose a place that is no candidate of `world`, is not allowed, or has no known price; it names
// candidates that are none, or one twice; figures are absurd; texts are too long or hold control characters. The place where the VM
// is may always be chosen, as staying. A wake in the past is none. Pure.
absl::Status check_decision(schema::World::Reader world, schema::Decision::Reader decision);

}  // namespace supercloud
