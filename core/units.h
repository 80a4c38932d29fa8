// Quantities with their unit in the type.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"

namespace supercloud {

// Money: nano-dollars, so that sums are exact and comparable on every machine.
struct Money {
  std::int64_t nano_usd = 0;

  friend auto operator<=>(Money, Money) = default;
  friend Money operator+(Money a, Money b) { return {a.nano_usd + b.nano_usd}; }
  friend Money operator-(Money a, Money b) { return {a.nano_usd - b.nano_usd}; }
  Money& operator+=(Money other) {
    nano_usd += other.nano_usd;
    return *this;
  }
};

// "12.3456 USD", rounded half away from zero to `digits` decimals.
inline std::string to_string(Money amount, int digits = 4) {
  return absl::StrFormat("%.*f USD", digits, static_cast<double>(amount.nano_usd) / 1e9);
}

using Epoch = std::uint64_t;  // of a VM's lease; 0: none

}  // namespace supercloud
