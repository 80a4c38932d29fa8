#include "actors/ledger/billing.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

__extension__ using Wide = __int128;  // nano-dollars times nanoseconds: 10^12 x 10^18

constexpr std::int64_t ns_per_hour = 3'600'000'000'000;

Money rounded(Wide nano_usd_ns) {
  return {static_cast<std::int64_t>((nano_usd_ns + ns_per_hour / 2) / ns_per_hour)};
}

constexpr std::int64_t bytes_per_gib = std::int64_t{1} << 30;
constexpr Wide dearest_transfer = 1'000'000'000'000'000'000;  // what is dearer costs as much

Wide product(Money price, absl::Duration span) {
  return static_cast<Wide>(price.nano_usd) * absl::ToInt64Nanoseconds(span);
}

}  // namespace

bool PriceHistory::add(absl::Time since, Money usd_per_hour) {
  return prices_.try_emplace(since, usd_per_hour).second;
}

std::optional<std::pair<absl::Time, Money>> PriceHistory::entry_at(absl::Time when) const {
  const auto after = prices_.upper_bound(when);
  if (after == prices_.begin()) return std::nullopt;
  return *std::prev(after);
}

std::optional<Money> PriceHistory::at(absl::Time when) const {
  const auto entry = entry_at(when);
  return entry ? std::optional(entry->second) : std::nullopt;
}

std::vector<std::pair<absl::Time, Money>> PriceHistory::between(absl::Time after,
                                                                absl::Time before) const {
  if (before <= after) return {};
  return {prices_.upper_bound(after), prices_.lower_bound(before)};
}

void PriceHistory::forget_before(absl::Time from) {
  const auto after = prices_.upper_bound(from);
  if (after != prices_.begin()) prices_.erase(prices_.begin(), std::prev(after));
}

absl::StatusOr<schema::Billing> billing_named(std::string_view name) {
  for (const schema::Billing billing : {schema::Billing::HOURLY, schema::Billing::PER_SECOND})
    if (name == name_of(billing)) return billing;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(name), "\" is neither \"hourly\" nor \"per-second\""));
}

std::string_view name_of(schema::Billing billing) {
  return billing == schema::Billing::PER_SECOND ? "per-second" : "hourly";
}

Money cost(Money usd_per_hour, absl::Duration span) { return rounded(product(usd_per_hour, span)); }

Money transfer_cost(Money usd_per_gib, std::uint64_t bytes) {
  const Wide amount =
      (static_cast<Wide>(usd_per_gib.nano_usd) * static_cast<Wide>(bytes) + bytes_per_gib / 2) /
      bytes_per_gib;
  return {static_cast<std::int64_t>(std::min(amount, dearest_transfer))};
}

std::int64_t hours_due(const Rental& rental, absl::Time now, absl::Duration hour) {
  if (!rental.end) return now <= rental.launched ? 0 : (now - rental.launched) / hour;
  const absl::Duration used = rental.end->at - rental.launched;
  if (used <= absl::ZeroDuration()) return 0;
  absl::Duration rest;
  const std::int64_t whole = absl::IDivDuration(used, hour, &rest);
  return whole + (rest > absl::ZeroDuration() ? 1 : 0);
}

Charge charge_of(const Rental& rental, const PriceHistory& prices, std::int64_t index,
                 absl::Duration hour) {
  Charge charge;
  charge.hour = index;
  charge.from = rental.launched + hour * index;
  const absl::Time full = charge.from + hour;
  charge.to = rental.end ? std::min(full, rental.end->at) : full;
  const bool partial = charge.to < full;
  // What the provider said at the launch stands in for prices that never arrived.
  const std::optional<Money> known = prices.at(charge.from);
  charge.usd_per_hour = known ? *known : rental.price_at_start;

  if (rental.billing == schema::Billing::PER_SECOND) {
    Wide sum = 0;
    absl::Time from = charge.from;
    Money price = charge.usd_per_hour;
    const auto changes = prices.between(charge.from, charge.to);
    for (const auto& [at, next] : changes) {
      sum += product(price, at - from);
      from = at;
      price = next;
    }
    charge.amount = rounded(sum + product(price, charge.to - from));
    charge.why = changes.empty() ? "per second, at the price of its start"
                                 : absl::StrCat("per second, at ", changes.size() + 1, " prices");
  } else if (!partial) {
    charge.amount = cost(charge.usd_per_hour, hour);
    charge.why = "a whole hour at the price of its start";
  } else if (rental.end->by_cloud) {
    charge.why = "free: the cloud ended it within this hour";
  } else {
    charge.amount = cost(charge.usd_per_hour, hour);
    charge.why = "a begun hour, paid whole: we ended it";
  }
  return charge;
}

absl::Time paid_until(absl::Time launched, absl::Time now, absl::Duration hour) {
  if (now < launched) return launched + hour;
  return launched + hour * ((now - launched) / hour + 1);
}

}  // namespace supercloud
