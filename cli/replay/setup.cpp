#include "cli/replay/setup.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/policy/world.h"
#include "actors/spot/on_demand_prices.h"
#include "actors/spot/price_contents.h"
#include "actors/spot/price_files.h"
#include "actors/spot/price_names.h"
#include "actors/spot/price_recording.h"
#include "actors/spot/price_text.h"
#include "cli/price_arguments.h"
#include "cli/replay/silence.h"
#include "cli/suggest.h"
#include "cli/vm_file.h"
#include "core/text.h"
#include "simulation/replay/schedule.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

struct OnDemand {
  Money usd_per_hour;
  bool said = false;  // by --on-demand
  // That is taken, or was asked for; empty: neither the files nor anybody tells.
  std::string product;
};

// The zones of the prices and their rows, by region.
std::map<std::string, std::map<std::string, std::uint64_t>> rows_of(const ChosenPrices& chosen) {
  std::map<std::string, std::map<std::string, std::uint64_t>> regions;
  for (const auto& [names, series] : chosen.contents.series)
    if (names.instance_type == chosen.type())
      regions[std::string(region_of_zone(names.zone))][names.zone] += series.rows;
  return regions;
}

// On demand there is one place, with one price.
absl::Status check_one_region(const ReplaySetup& setup, const ChosenPrices& chosen) {
  const auto regions = rows_of(chosen);
  if (regions.size() <= 1) return absl::OkStatus();
  std::vector<std::string> told;
  for (const auto& [region, zones] : regions)
    told.push_back(absl::StrCat(region, " (",
                                absl::StrJoin(zones, ", ",
                                              [](std::string* out, const auto& zone) {
                                                absl::StrAppend(
                                                    out, zone.first, ": ", zone.second,
                                                    zone.second == 1 ? " price" : " prices");
                                              }),
                                ")"));
  return absl::InvalidArgumentError(
      absl::StrCat("--prices ", setup.files.front(), ": a replay is of one region, and there are ",
                   absl::StrJoin(told, " and "), "; choose one with --region"));
}

absl::StatusOr<std::string> product_of(const ChosenPrices& chosen) {
  const auto products = choose_products(chosen.contents, {chosen.type()}, chosen.options.products);
  if (!products.ok()) return products.status();
  return absl::StrJoin(*products, ", ");
}

// What `--on-demand` says of the type, else what is known of it.
absl::StatusOr<OnDemand> on_demand_price(const ReplaySetup& setup, const ChosenPrices& chosen) {
  const std::string& type = chosen.type();
  const std::set<std::string> types = chosen.contents.instance_types();
  std::optional<Money> found;
  std::set<std::string> named;
  for (const std::string& said : setup.on_demand) {
    const std::size_t equals = said.find('=');
    if (equals == std::string::npos)
      return absl::InvalidArgumentError(
          absl::StrCat("--on-demand ", said, ": write it as TYPE=USD, for one ", type, "=0.175"));
    if (!types.contains(said.substr(0, equals)))
      return absl::NotFoundError(absl::StrCat("--on-demand ", said,
                                              ": there are no prices of that type, but of ",
                                              chosen.contents.types_text()));
    const auto price = parse_price(std::string_view(said).substr(equals + 1), price_per_hour_max);
    if (!price.ok())
      return absl::InvalidArgumentError(
          absl::StrCat("--on-demand ", said, ": ", price.status().message()));
    if (!named.insert(said.substr(0, equals)).second)
      return absl::InvalidArgumentError(
          absl::StrCat("--on-demand ", said, ": the price of that type was said before; say one"));
    if (said.substr(0, equals) == type) found = *price;
  }
  const auto product = product_of(chosen);
  if (!product.ok()) return product.status();
  if (found) return OnDemand{*found, true, *product};
  // They are of Linux in one region of AWS.
  const auto regions = rows_of(chosen);
  const bool of_these = setup.cloud == "aws" && regions.size() == 1 &&
                        regions.begin()->first == "us-east-1" &&
                        (product->empty() || *product == "Linux/UNIX");
  if (const auto known = known_on_demand_price(type); known && of_these)
    return OnDemand{*known, false, *product};
  return absl::InvalidArgumentError(absl::StrCat(
      "what ", type, product->empty() ? "" : " with " + *product, " costs on demand in ",
      setup.cloud, " ", regions.empty() ? "there" : regions.begin()->first,
      " is not known here; say --on-demand ", type, "=USD per hour"));
}

// For stderr.
std::string note_on_demand(const std::string& type, const OnDemand& on_demand) {
  if (on_demand.said) return "";
  return absl::StrCat(type, " is taken to cost ", to_string(on_demand.usd_per_hour),
                      " per hour on demand, as Linux in us-east-1 when the type was new; "
                      "--on-demand ",
                      type, "=USD says otherwise.\n");
}

std::vector<std::pair<std::string, std::string>> facts_of(const OnDemand& on_demand,
                                                          const PlaceName& start,
                                                          const ChosenPrices& chosen) {
  const bool told = !chosen.contents.products({chosen.type()}).empty();
  const std::string untold =
      on_demand.product.empty()
          ? "the files do not tell"
          : absl::StrCat("the files do not tell; ", on_demand.product, " was asked for");
  return {{"product", told ? on_demand.product : untold},
          {"on demand", absl::StrCat(to_string(on_demand.usd_per_hour), " per hour, ",
                                     on_demand.said ? "as --on-demand says"
                                                    : "not said, but known of Linux in us-east-1")},
          {"the VMs begin at", start.id()}};
}

absl::Status check_start(const Message<schema::VmSpec>& vm, const PlaceName& start) {
  const std::string why = why_not_at(vm, start);
  if (why.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("it may not begin at ", start.id(), ": ", why,
                   "; choose another place with --start (in a replay places have the labels cloud, "
                   "region, zone, type and market)"));
}

absl::StatusOr<std::vector<Message<schema::VmSpec>>> make_vms(const ReplaySetup& setup,
                                                              const PlaceName& start) {
  std::vector<Message<schema::VmSpec>> described;
  for (const std::string& path : setup.vm_files) {
    std::ifstream file(path);
    if (!file)
      return absl::NotFoundError(
          absl::StrCat("--vm ", path, ": it cannot be read; name a VM's file as examples/vm.toml"));
    std::stringstream text;
    text << file.rdbuf();
    VmFileOptions options;
    options.policies = {setup.policy};
    for (const auto& [name, factory] : built_in_policies()) options.policies.push_back(name);
    auto spec = parse_vm_file(text.str(), path, options);
    if (!spec.ok()) return spec.status();
    if (const absl::Status may = check_start(*spec, start); !may.ok())
      return absl::Status(may.code(), absl::StrCat("--vm ", path, ": ", may.message()));
    described.push_back(*std::move(spec));
  }
  std::vector<Message<schema::VmSpec>> vms;
  for (int i = 0; i < setup.vms; ++i)
    vms.push_back(replay_vm(
        setup.model, i + 1, setup.policy,
        described.empty() ? nullptr : &described[static_cast<std::size_t>(i) % described.size()]));
  return vms;
}

int first_known(const PriceGrid& grid, int place) {
  int step = 0;
  while (step < grid.steps() && !grid.known(place, step)) ++step;
  return step;
}

// Without --from: the first whole hour at which every place has a price, but for those whose first one comes later than in the first
// quarter of the time. What AWS answers begins with the prices in force, some of them days old.
absl::Time usual_beginning(const PriceGrid& grid) {
  int first = 0;
  for (int place = 0; place < grid.places(); ++place)
    if (const int known = first_known(grid, place); known <= grid.steps() / 4)
      first = std::max(first, known);
  const std::int64_t seconds = absl::ToUnixSeconds(grid.time_of(first));
  const absl::Time hour = absl::FromUnixSeconds((seconds + 3599) / 3600 * 3600);
  return hour < grid.to() ? hour : grid.from();
}

// Of places without a price at the beginning, and of one that is not that of the prices.
std::string notes_on_beginning(const PriceGrid& grid, std::optional<absl::Time> first_price) {
  std::string notes;
  if (first_price && *first_price + absl::Hours(1) < grid.from())
    absl::StrAppend(&notes, "The replay begins at ", minute_text(grid.from()),
                    ", when every zone has a price, not at the first one, ",
                    minute_text(*first_price), "; --from begins elsewhere.\n");
  for (int place = 0; place < grid.places(); ++place)
    if (const int known = first_known(grid, place); known > 0)
      absl::StrAppend(&notes, grid.place(place).zone, " has no price before ",
                      known < grid.steps() ? minute_text(grid.time_of(known)) : "the end",
                      ": until then no VM can be there.\n");
  return notes;
}

absl::StatusOr<std::vector<MarketSpan>> read_left_out(const std::vector<std::string>& said) {
  std::vector<MarketSpan> spans;
  for (const std::string& one : said) {
    const std::size_t slash = one.find('/');
    const std::string option = "--leave-out " + one;
    if (slash == std::string::npos || slash == 0 || slash + 1 == one.size())
      return absl::InvalidArgumentError(absl::StrCat(
          option, ": write it as FROM/TO, for one 2015-06-09T15:30:00Z/2015-06-12T00:21:00Z"));
    const auto from = parse_market_time("--leave-out", one.substr(0, slash), absl::InfinitePast());
    if (!from.ok()) return from.status();
    const auto to = parse_market_time("--leave-out", one.substr(slash + 1), absl::InfiniteFuture());
    if (!to.ok()) return to.status();
    if (*to <= *from)
      return absl::InvalidArgumentError(absl::StrCat(option, ": its end is not after its start"));
    spans.push_back({*from, *to});
  }
  return spans;
}

// That there is something between --from and --to, and prices in it.
absl::Status check_period(const ReplaySetup& setup, absl::Time from, absl::Time to,
                          const PriceContents::Series& prices) {
  if (to <= from)
    return absl::InvalidArgumentError(
        absl::StrCat("--to ", setup.to, " is not after --from ", setup.from, "; exchange them"));
  const absl::Time end = std::max(prices.last, prices.until);
  if (from != absl::InfinitePast() && from >= end)
    return absl::InvalidArgumentError(absl::StrCat("--from ", setup.from, ": the prices end at ",
                                                   minute_text(end), "; begin before that"));
  if (to <= prices.first)
    return absl::InvalidArgumentError(absl::StrCat("--to ", setup.to, ": the prices begin at ",
                                                   minute_text(prices.first), "; end after that"));
  return absl::OkStatus();
}

// The place that is named, or the cheapest at the beginning; on demand where no spot place will do. One does from which a VM has
// not to flee within the first step of the grid: the clairvoyant, who decides at the starts of steps, could not begin there.
absl::StatusOr<PlaceName> choose_start(const std::string& said, const PriceGrid& grid,
                                       const ReplayModel& costs) {
  ScheduleCosts schedule;
  schedule.launch = costs.launch_delay;
  schedule.migration = costs.move_time();
  schedule.notice = costs.notice;
  const auto model = ScheduleModel::create(grid, schedule);
  if (!model.ok()) return model.status();
  std::vector<std::string> ids;
  for (int i = 0; i < grid.places(); ++i) {
    const PlaceName& place = grid.place(i);
    ids.push_back(place.id());
    const bool named = said == ids.back() || (place.spot && said == place.zone) ||
                       (!place.spot && said == "on-demand");
    if (!named) continue;
    if (!grid.known(i, 0))
      return absl::FailedPreconditionError(
          absl::StrCat("--start ", said,
                       ": it has no price yet when the replay begins; begin elsewhere, or "
                       "later with --from"));
    if (!model->usable(i, 0))
      return absl::FailedPreconditionError(
          absl::StrCat("--start ", said, ": its price exceeds the bid within ",
                       absl::FormatDuration(grid.step()),
                       " of the beginning; begin elsewhere, or later with --from"));
    return place;
  }
  if (!said.empty())
    return absl::NotFoundError(
        absl::StrCat("--start ", said, ": there is no such place; ", suggest(said, ids, "")));
  int cheapest = grid.places() - 1;  // on demand
  for (int i = 0; i < grid.places(); ++i) {
    if (!model->usable(i, 0)) continue;
    if (grid.price(i, 0) < grid.price(cheapest, 0)) cheapest = i;
  }
  return grid.place(cheapest);
}

// Prices from a time on, any number of times: as they were read once; from the files, where there are too many to be kept.
using FeedsFrom = std::function<absl::StatusOr<std::unique_ptr<PriceFeed>>(absl::Time from)>;
FeedsFrom feeds_of(std::vector<std::string> paths, PriceFileOptions files,
                   std::shared_ptr<const PriceRecording> recording) {
  if (recording->whole())
    return [recording = std::move(recording)](absl::Time from) {
      return std::make_unique<RecordedFeed>(recording, from);
    };
  return [paths = std::move(paths), files = std::move(files)](absl::Time from) {
    PriceFileOptions later = files;
    later.from = from;
    return open_price_files(paths, later);
  };
}

}  // namespace

std::string why_not_at(const Message<schema::VmSpec>& vm, const PlaceName& place) {
  const auto world = Message<schema::World>::build([&place](schema::World::Builder builder) {
    write_place(place, {}, builder.initCandidates(1)[0].initPlace());
  });
  return why_labels_forbid(vm.reader(), world.reader().getCandidates()[0].getPlace());
}

absl::StatusOr<PreparedReplay> prepare(const ReplaySetup& setup) {
  PreparedReplay prepared;
  prepared.began = std::chrono::steady_clock::now();
  const auto from = parse_market_time("--from", setup.from, absl::InfinitePast());
  if (!from.ok()) return from.status();
  const auto to = parse_market_time("--to", setup.to, absl::InfiniteFuture());
  if (!to.ok()) return to.status();

  const auto chosen =
      choose_prices(setup.files, setup.cloud, setup.type, setup.product, setup.region);
  if (!chosen.ok()) return chosen.status();
  const PriceContents::Series period = chosen->contents.total(chosen->type());
  if (period.first == period.last)
    return absl::InvalidArgumentError(absl::StrCat(
        setup.files.front(), ": there are prices of one moment only, and none of what came after"));
  PriceFileOptions files = chosen->options;
  if (const absl::Status some = check_period(setup, *from, *to, period); !some.ok()) return some;
  if (const absl::Status one = check_one_region(setup, *chosen); !one.ok()) return one;
  const auto on_demand = on_demand_price(setup, *chosen);
  if (!on_demand.ok()) return on_demand.status();
  const Money bid = setup.model.bid.value_or(on_demand->usd_per_hour);

  ReplayOptions& options = prepared.options;
  PriceGridOptions grid_options;
  const auto left_out = read_left_out(setup.leave_out);
  if (!left_out.ok()) return left_out.status();
  grid_options.left_out = *left_out;
  // Before the first price there is nothing to decide.
  grid_options.from = setup.from.empty() ? *from : std::max(*from, period.first);
  // A table's last row holds as long as the others. After it nothing is known.
  const absl::Time known_until = std::max(period.last, period.until);
  grid_options.to = setup.to.empty() && period.until <= period.last ? absl::InfiniteFuture()
                                                                    : std::min(*to, known_until);
  grid_options.keep_changes = setup.keep_changes;
  grid_options.bid = [bid](const PlaceName&) { return std::optional(bid); };
  files.from = grid_options.from;
  auto feed = open_price_files(setup.files, files);
  if (!feed.ok()) return feed.status();
  auto recording = std::make_shared<PriceRecording>();
  SilenceListener silences(**feed);
  RecordingFeed recorder(silences, *recording);
  auto grid = PriceGrid::read(recorder, grid_options);
  if (!grid.ok()) return grid.status();
  recorder.listen_until(grid->to());
  const FeedsFrom feeds = feeds_of(setup.files, files, std::move(recording));
  std::optional<absl::Time> first_price;
  if (setup.from.empty() && !setup.plain) {
    first_price = grid->from();
    if (const absl::Time begin = usual_beginning(*grid); begin > grid->from()) {
      grid_options.from = begin;
      const auto again = feeds(begin);
      if (!again.ok()) return again.status();
      grid = PriceGrid::read(**again, grid_options);
      if (!grid.ok()) return grid.status();
    }
  }
  if (!setup.plain) prepared.notes = notes_on_beginning(*grid, first_price);
  if (!setup.from.empty() && *from < period.first)
    absl::StrAppend(&prepared.notes, "There is no price before ", minute_text(period.first),
                    ": the replay begins there, not at --from.\n");
  if (!setup.to.empty() && *to > known_until)
    absl::StrAppend(&prepared.notes, "There is no price after ", minute_text(known_until),
                    ": the replay ends there, not at --to.\n");
  prepared.notes += silences.note(grid->from(), grid->to(), *left_out);
  prepared.notes += note_on_demand(chosen->type(), *on_demand);
  PlaceName place = grid->place(0);
  place.spot = false;
  options.on_demand = {place, on_demand->usd_per_hour, grid->from()};
  grid->add_constant(place, on_demand->usd_per_hour);
  const auto start = choose_start(setup.start, *grid, setup.model);
  if (!start.ok()) return start.status();
  options.start = *start;
  prepared.facts = facts_of(*on_demand, *start, *chosen);
  options.from = grid->from();
  options.to = grid->to();
  options.model = setup.model;
  options.policies = built_in_policies();
  options.feed = [feeds, from = options.from] { return feeds(from); };
  auto vms = make_vms(setup, *start);
  if (!vms.ok()) return vms.status();
  options.vms = *std::move(vms);
  prepared.title = absl::StrCat(chosen->type(), " in ", place.cloud, " ", place.region);
  prepared.grid = std::make_shared<PriceGrid>(*std::move(grid));
  prepared.clairvoyant_moves = setup.clairvoyant_moves;
  return prepared;
}

}  // namespace supercloud
