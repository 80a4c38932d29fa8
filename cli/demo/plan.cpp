#include "cli/demo/plan.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/on_demand_prices.h"
#include "actors/spot/price_files.h"
#include "cli/price_arguments.h"

namespace supercloud {
namespace {

// Chosen so that the first minute shows a move to a cheaper zone, an interruption survived and a flight to on-demand.
constexpr std::uint64_t default_seed = 6622;

constexpr int zones_generated = 4;
constexpr absl::Duration looked_at = absl::Hours(24 * 7);  // of a price file, for the zones in it
constexpr std::size_t rows_looked_at = 200'000;

struct Found {
  std::string source;
  std::set<PlaceName> places;
  absl::Time first = absl::InfiniteFuture();
};

// The places of price files, and the time of their first price at or after the beginning.
absl::StatusOr<Found> look_into(const std::vector<std::string>& paths,
                                const PriceFileOptions& options) {
  const auto feed = open_price_files(paths, options);
  if (!feed.ok()) return feed.status();
  Found found;
  found.source = (*feed)->source();
  std::optional<absl::Status> over;
  for (std::size_t row = 0; row < rows_looked_at && !over; ++row) {
    (*feed)->next(Reply<Price>(far_future, [&](absl::StatusOr<Price> price) {
      if (absl::IsDataLoss(price.status())) return;  // the watcher reports it
      if (!price.ok()) {
        over = price.status();
        return;
      }
      // What was in force at the beginning may be older.
      const absl::Time since = std::max(price->since, options.from);
      found.first = std::min(found.first, since);
      if (since > found.first + looked_at)
        over = absl::OkStatus();
      else
        found.places.insert(price->place);
    }));
  }
  if (found.places.empty())
    return absl::NotFoundError(absl::StrCat(
        found.source, ": no prices", over ? absl::StrCat(": ", std::string(over->message())) : ""));
  return found;
}

std::string zone_name(int index) {
  return absl::StrCat("us-east-1", std::string(1, static_cast<char>('a' + index)));
}

}  // namespace

std::string short_place(const PlaceName& place) { return place.spot ? place.zone : "on-demand"; }

std::string short_place(std::string_view place_id) {
  const auto place = PlaceName::parse(place_id);
  return place.ok() ? short_place(*place) : std::string(place_id);
}

absl::StatusOr<DemoPlan> plan_demo(const DemoOptions& options) {
  DemoPlan plan;
  plan.market.clock.speed = options.speed;
  const auto from = parse_market_time("--from", options.from, absl::InfinitePast());
  if (!from.ok()) return from.status();
  std::string type = "r3.large";
  if (options.prices.empty()) {
    if (!options.from.empty())
      return absl::InvalidArgumentError("--from needs --prices: a generated market has no dates");
    if (!options.type.empty() || !options.product.empty())
      return absl::InvalidArgumentError(
          "--type and --product need --prices: they say which of a file's prices are meant");
    absl::Time origin;
    std::string error;
    absl::ParseTime(absl::RFC3339_full, "2026-03-02T00:00:00Z", &origin, &error);
    plan.market.clock.origin = origin;
    for (int i = 0; i < zones_generated; ++i)
      plan.spots.push_back({.cloud = "aws",
                            .region = "us-east-1",
                            .zone = zone_name(i),
                            .instance_type = type,
                            .spot = true});
    plan.account.generated.seed = options.seed == 0 ? default_seed : options.seed;
    plan.prices = absl::StrCat("generated market, seed ", plan.account.generated.seed);
  } else {
    auto chosen =
        choose_prices(options.prices, plan.account.account, options.type, options.product, "");
    if (!chosen.ok()) return chosen.status();
    type = chosen->type();
    chosen->options.from = *from;
    const auto found = look_into(options.prices, chosen->options);
    if (!found.ok()) return found.status();
    plan.spots.assign(found->places.begin(), found->places.end());
    plan.market.clock.origin = std::max(*from, found->first);
    plan.prices = found->source;
    // The nodes run elsewhere than the user.
    for (const std::string& path : options.prices) {
      std::error_code error;
      const auto absolute = std::filesystem::absolute(path, error);
      plan.account.price_files.push_back(error ? path : absolute.string());
    }
    plan.account.product = options.product;
    plan.account.instance_types = {type};
  }
  plan.account.prices_from = plan.market.clock.origin;
  plan.account.generated.start = plan.market.clock.origin;

  const auto known = known_on_demand_price(type);
  plan.on_demand_guessed = !known;
  plan.on_demand_price = known.value_or(*known_on_demand_price("r3.large"));
  plan.on_demand = plan.spots.front();
  plan.on_demand.spot = false;
  plan.account.account = plan.on_demand.cloud;
  plan.account.fixed = {{plan.on_demand, plan.on_demand_price, plan.market.clock.origin}};
  for (const PlaceName& place : plan.spots) {
    plan.account.generated.zones.push_back({place, plan.on_demand_price});
    plan.account.initial.push_back(
        {place, absl::StrCat("node-", place.zone), plan.on_demand_price});
  }
  plan.account.initial.push_back({plan.on_demand, "node-on-demand", plan.on_demand_price});

  // The first half of the zones is trusted, and the on-demand instance is.
  const std::size_t trusted = std::max<std::size_t>(1, plan.spots.size() / 2);
  for (std::size_t i = 0; i < plan.spots.size(); ++i)
    plan.account.labels.push_back({plan.spots[i].id(), "trust", i < trusted ? "high" : "low"});
  plan.account.labels.push_back({plan.on_demand.id(), "trust", "high"});

  const auto spot = [&](std::size_t index) {
    return plan.spots[std::min(index, plan.spots.size() - 1)];
  };
  plan.vms = {{"web1", "cheapest", "", plan.on_demand},
              {"web2", "cheapest", "", spot(2)},
              {"db1", "cheapest", "high", spot(0)},
              {"log1", "stay", "", spot(3)}};
  if (plan.spots.size() > trusted) plan.refused_vm = "db1";
  return plan;
}

}  // namespace supercloud
