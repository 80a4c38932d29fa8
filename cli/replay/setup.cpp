#include "cli/replay/setup.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "actors/policy/world.h"
#include "actors/spot/on_demand_prices.h"
#include "actors/spot/price_files.h"
#include "actors/spot/price_text.h"
#include "cli/price_arguments.h"
#include "cli/suggest.h"
#include "cli/vm_file.h"
#include "core/text.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

// CLI11 takes a message for a refusal, "" for consent.
template <class Read>
CLI::Option* add_read(CLI::App& command, const std::string& name, const std::string& what,
                      Read read) {
  return command.add_option_function<std::string>(
      name,
      [name, read](const std::string& said) {
        const absl::Status status = read(said);
        if (!status.ok()) throw CLI::ValidationError(name, std::string(status.message()));
      },
      what);
}

void add_span(CLI::App& command, const std::string& name, const std::string& what,
              absl::Duration& span, absl::Duration least = absl::ZeroDuration()) {
  add_read(command, name, what, [&span, least](const std::string& said) {
    absl::Duration read;
    if (!absl::ParseDuration(said, &read) || read < least || read > absl::Minutes(30))
      return absl::InvalidArgumentError(absl::StrCat(said, " is no time from ",
                                                     absl::FormatDuration(least),
                                                     " to 30m; write it as 120s or 2m30s"));
    span = read;
    return absl::OkStatus();
  })->default_str(absl::FormatDuration(span));
}

void add_bytes(CLI::App& command, const std::string& name, const std::string& what,
               std::uint64_t& bytes) {
  add_read(command, name, what, [&bytes](const std::string& said) {
    const auto read = parse_bytes(said);
    if (read.ok()) bytes = *read;
    return read.status();
  })->default_str(format_bytes(bytes));
}

// 0 is a price here, too: nothing is paid.
absl::StatusOr<Money> read_money(const std::string& said) {
  double zero = 1;
  if (absl::SimpleAtod(said, &zero) && zero == 0) return Money{};
  return parse_price(said, price_per_hour_max);
}

template <class Target>
CLI::Option* add_money(CLI::App& command, const std::string& name, const std::string& what,
                       Target& target) {
  return add_read(command, name, what, [&target](const std::string& said) {
    const auto read = read_money(said);
    if (read.ok()) target = *read;
    return read.status();
  });
}

// What `--on-demand` says of the type, else what is known of it.
absl::StatusOr<Money> on_demand_price(const ReplaySetup& setup, const std::string& type) {
  for (const std::string& said : setup.on_demand) {
    const std::size_t equals = said.find('=');
    if (equals == std::string::npos)
      return absl::InvalidArgumentError(
          absl::StrCat("--on-demand ", said, ": write it as TYPE=USD, for one ", type, "=0.175"));
    if (said.substr(0, equals) != type) continue;
    const auto price = parse_price(std::string_view(said).substr(equals + 1), price_per_hour_max);
    if (!price.ok())
      return absl::InvalidArgumentError(
          absl::StrCat("--on-demand ", said, ": ", price.status().message()));
    return *price;
  }
  if (const auto known = known_on_demand_price(type)) return *known;
  return absl::InvalidArgumentError(absl::StrCat("what ", type,
                                                 " costs on demand is not known here; say "
                                                 "--on-demand ",
                                                 type, "=USD per hour"));
}

// By the labels that every place carries; it has no others here.
absl::Status check_start(const Message<schema::VmSpec>& vm, const PlaceName& start) {
  const auto world = Message<schema::World>::build([&start](schema::World::Builder builder) {
    write_place(start, {}, builder.initCandidates(1)[0].initPlace());
  });
  const std::string why =
      why_labels_forbid(vm.reader(), world.reader().getCandidates()[0].getPlace());
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

// From when on every place has a price: whole hours.
absl::Time first_common_hour(const PriceGrid& grid) {
  int first = 0;
  for (int place = 0; place < grid.places(); ++place) {
    int step = 0;
    while (step < grid.steps() && !grid.known(place, step)) ++step;
    first = std::max(first, step);
  }
  const std::int64_t seconds = absl::ToUnixSeconds(grid.time_of(std::min(first, grid.steps())));
  return absl::FromUnixSeconds((seconds + 3599) / 3600 * 3600);
}

// The place that is named, or the cheapest at the beginning.
absl::StatusOr<PlaceName> choose_start(const std::string& said, const PriceGrid& grid, Money most) {
  std::vector<std::string> ids;
  for (int i = 0; i < grid.places(); ++i) {
    const PlaceName& place = grid.place(i);
    ids.push_back(place.id());
    const bool named = said == ids.back() || (place.spot && said == place.zone) ||
                       (!place.spot && said == "on-demand");
    if (!named) continue;
    if (place.spot && grid.price(i, 0) > most)
      return absl::FailedPreconditionError(absl::StrCat(
          "--start ", said, ": its price at the beginning exceeds the bid; begin elsewhere"));
    return place;
  }
  if (!said.empty())
    return absl::NotFoundError(
        absl::StrCat("--start ", said, ": there is no such place; ", suggest(said, ids, "")));
  int cheapest = grid.places() - 1;  // on demand
  for (int i = 0; i < grid.places(); ++i)
    if (grid.price(i, 0) < grid.price(cheapest, 0)) cheapest = i;
  return grid.place(cheapest);
}

}  // namespace

void add_replay_options(CLI::App& command, ReplaySetup& setup) {
  ReplayModel& model = setup.model;
  command.add_option("--prices", setup.files, price_files_help)->required()->option_text("FILE...");
  command.add_option("--type", setup.type, instance_type_help);
  command.add_option("--product", setup.product, product_help);
  command.add_option("--cloud", setup.cloud, "Whose prices these are")->capture_default_str();
  command.add_option("--on-demand", setup.on_demand, "What a type costs on demand, per hour")
      ->option_text("TYPE=USD");
  command.add_option("--from", setup.from, "Begin here instead of at the first price");
  command.add_option("--to", setup.to, "End here instead of at the last price");
  command.add_option("--start", setup.start,
                     "Where the VMs begin: a zone, or on-demand; without it the cheapest place");
  command.add_option("--vms", setup.vms, "So many VMs")
      ->capture_default_str()
      ->check(CLI::Range(1, 200));
  command
      .add_option("--vm", setup.vm_files,
                  "Files of VMs whose labels, budgets and downtime price they take in turn")
      ->option_text("FILE...");
  add_read(command, "--billing", "By the hour, or by the second",
           [&model](const std::string& said) {
             if (said != "hourly" && said != "per-second")
               return absl::InvalidArgumentError(said + " is neither hourly nor per-second");
             model.billing =
                 said == "hourly" ? schema::Billing::HOURLY : schema::Billing::PER_SECOND;
             return absl::OkStatus();
           })
      ->default_str("hourly");
  add_read(command, "--model",
           "full: the whole choreography. plain: by the second, no bid, free instant moves. "
           "plain-hours: the same, but hours cost their price at the start",
           [&setup](const std::string& said) {
             if (said != "full" && said != "plain" && said != "plain-hours")
               return absl::InvalidArgumentError(said + " is none of full, plain, plain-hours");
             setup.plain = said != "full";
             setup.plain_hours = said == "plain-hours";
             return absl::OkStatus();
           })
      ->default_str("full");
  add_money(command, "--bid",
            "Bid for spot instances, USD per hour; without it the on-demand price", model.bid);
  add_span(command, "--notice", "From the notice until the cloud takes an instance", model.notice);
  add_span(command, "--launch-delay", "Until a rented instance runs", model.launch_delay);
  add_span(command, "--migration-time", "Of one move, for which both machines are paid",
           model.migration);
  add_bytes(command, "--memory", "Of each VM", model.memory_bytes);
  add_read(command, "--dirty-factor", "So many times the memory is sent",
           [&model](const std::string& said) {
             double factor = 0;
             if (!absl::SimpleAtod(said, &factor) || !(factor >= 1 && factor <= 100))
               return absl::InvalidArgumentError(said + " is no number from 1 to 100");
             model.dirty_percent = static_cast<int>(std::lround(factor * 100));
             return absl::OkStatus();
           })
      ->default_str("1.3");
  add_bytes(command, "--disk-delta", "Of the disk, sent with each move", model.disk_delta_bytes);
  add_money(command, "--egress", "What a GiB that is sent costs, in USD", model.egress_per_gib)
      ->default_str("0.01");
  add_money(command, "--downtime-price", "What a VM's user loses in an hour without it, in USD",
            model.downtime_per_hour)
      ->default_str("0");
  command.add_option("--moves-per-day", model.moves_per_day,
                     "Of all VMs, to save money; 0: no limit");
  command.add_option("--moving-max", model.moving_max,
                     "VMs that move at once, to save money; 0: no limit");
  add_span(command, "--answer-within",
           "How long a policy that is a file may take for an answer, in real time",
           setup.answer_within, absl::Milliseconds(1));
}

absl::StatusOr<PreparedReplay> prepare(const ReplaySetup& setup) {
  const auto from = parse_market_time("--from", setup.from, absl::InfinitePast());
  if (!from.ok()) return from.status();
  const auto to = parse_market_time("--to", setup.to, absl::InfiniteFuture());
  if (!to.ok()) return to.status();

  const auto chosen = choose_prices(setup.files, setup.cloud, setup.type, setup.product);
  if (!chosen.ok()) return chosen.status();
  if (const auto all = chosen->contents.total(); all.first == all.last)
    return absl::InvalidArgumentError(absl::StrCat(
        setup.files.front(), ": there are prices of one moment only, and none of what came after"));
  PriceFileOptions files = chosen->options;
  const auto on_demand = on_demand_price(setup, chosen->type());
  if (!on_demand.ok()) return on_demand.status();
  const Money bid = setup.model.bid.value_or(*on_demand);

  PreparedReplay prepared;
  ReplayOptions& options = prepared.options;
  PriceGridOptions grid_options;
  grid_options.from = *from;
  grid_options.to = *to;
  grid_options.keep_changes = true;
  grid_options.bid = [bid](const PlaceName&) { return std::optional(bid); };
  const auto read_grid = [&]() -> absl::StatusOr<PriceGrid> {
    files.from = grid_options.from;
    auto feed = open_price_files(setup.files, files);
    if (!feed.ok()) return feed.status();
    return PriceGrid::read(**feed, grid_options);
  };
  auto grid = read_grid();
  if (!grid.ok()) return grid.status();
  if (const absl::Time common = first_common_hour(*grid); common > grid->from()) {
    grid_options.from = common;
    grid = read_grid();
    if (!grid.ok()) return grid.status();
  }
  PlaceName place = grid->place(0);
  place.spot = false;
  options.on_demand = {place, *on_demand, grid->from()};
  grid->add_constant(place, *on_demand);
  const auto start = choose_start(setup.start, *grid, bid);
  if (!start.ok()) return start.status();
  options.start = *start;
  options.from = grid->from();
  options.to = grid->to();
  options.model = setup.model;
  options.policies = built_in_policies();
  files.from = options.from;
  options.feed = [paths = setup.files, files] { return open_price_files(paths, files); };
  auto vms = make_vms(setup, *start);
  if (!vms.ok()) return vms.status();
  options.vms = *std::move(vms);
  prepared.title = absl::StrCat(chosen->type(), " in ", place.cloud, " ", place.region);
  prepared.grid = std::make_shared<PriceGrid>(*std::move(grid));
  return prepared;
}

}  // namespace supercloud
