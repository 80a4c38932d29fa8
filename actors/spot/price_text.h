// Prices and their times as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/units.h"

namespace supercloud {

// More, per hour, is taken for damage.
inline constexpr Money price_per_hour_max{1'000'000'000'000};

// Without a price for longer, a market is told to have been silent, which real ones are not: a time may be wrong.
inline constexpr absl::Duration longest_silence = absl::Hours(30 * 24);

// A decimal number of USD, "0.0331" or "3.31e-2", to the nano-dollar, half up: exact, unlike a double. InvalidArgument for
// what is no number, for zero and below, and above `most`.
absl::StatusOr<Money> parse_price(std::string_view text, Money most);

// ... and of what may be free: zero, too.
absl::StatusOr<Money> parse_price_or_zero(std::string_view text, Money most);

// A time as RFC 3339 has it, its seconds left out or not, with a zone or an offset: "2016-06-22T07:50Z",
// "2015-08-11T23:55:48.000+00:00"; to the nanosecond. nullopt for anything else, and for what is not from 1970 to 2100.
std::optional<absl::Time> parse_price_time(std::string_view text);

// Seconds since 1970; nullopt for what is not from 1970 to 2100.
std::optional<absl::Time> price_time(std::int64_t seconds);

// Bytes of a damaged file as they may stand in a message: the first 40, what is not printable as "?".
std::string printable(std::string_view text);

}  // namespace supercloud
