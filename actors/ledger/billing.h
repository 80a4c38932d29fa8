// What an instance costs: pure arithmetic on integers.
//
// hourly      hours count from the launch, not from the clock. An hour costs the price in force at its start. The last,
//             partial hour is free when the cloud ends the instance, and paid in full when we do.
// per second  every second costs the price in force, until the instance ends, whoever ends it.
//
// An amount is rounded once, half up to the nano-dollar, after everything of an hour has been added up.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/schema/event.capnp.h"
#include "core/units.h"

namespace supercloud {

// The prices of one place over time. A value type.
class PriceHistory {
 public:
  // False, without effect, if the time has a price already: a fact is a fact.
  bool add(absl::Time since, Money usd_per_hour);
  // The price in force at `when`; empty before the first.
  std::optional<Money> at(absl::Time when) const;
  // ... and since when it was.
  std::optional<std::pair<absl::Time, Money>> entry_at(absl::Time when) const;
  // The changes in (after, before), in order.
  std::vector<std::pair<absl::Time, Money>> between(absl::Time after, absl::Time before) const;
  // Forgets what is not needed to know the price at `from` and later.
  void forget_before(absl::Time from);
  bool empty() const { return prices_.empty(); }
  std::pair<absl::Time, Money> newest() const { return *prices_.rbegin(); }
  std::pair<absl::Time, Money> oldest() const { return *prices_.begin(); }

 private:
  std::map<absl::Time, Money> prices_;
};

struct Rental {
  std::string instance;
  std::string place;  // id
  absl::Time launched;
  schema::Billing billing = schema::Billing::HOURLY;
  // as the provider said: for the first hour, where the history has none
  Money price_at_start;
  struct End {
    absl::Time at;
    bool by_cloud = false;
  };
  std::optional<End> end;
};

struct Charge {
  // of the instance's life, from 0: with the instance, the charge's key
  std::int64_t hour = 0;
  absl::Time from, to;  // what of the hour was used
  Money amount;
  Money usd_per_hour;  // at the start of the hour
  std::string why;
};

// "hourly", "per-second"; InvalidArgument for any other.
absl::StatusOr<schema::Billing> billing_named(std::string_view name);
std::string_view name_of(schema::Billing billing);

// price x span, rounded half up to the nano-dollar.
Money cost(Money usd_per_hour, absl::Duration span);

// What clouds ask for a GiB that goes from one zone of a region to another, where nothing else is said.
inline constexpr Money usual_egress_per_gib{10'000'000};

// What it costs to send so many bytes at a price per GiB, rounded half up to the nano-dollar; at most 10^9 USD.
Money transfer_cost(Money usd_per_gib, std::uint64_t bytes);

// How many billing hours of the rental are over by `now`, all of them if it has ended.
std::int64_t hours_due(const Rental& rental, absl::Time now, absl::Duration hour);

// The charge of one billing hour that is over. `hour` is the length of a billing hour in market time; prices are per 60 minutes.
Charge charge_of(const Rental& rental, const PriceHistory& prices, std::int64_t index,
                 absl::Duration hour);

// The end of the billing hour that `now` falls into.
absl::Time paid_until(absl::Time launched, absl::Time now, absl::Duration hour);

}  // namespace supercloud
