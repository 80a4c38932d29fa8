#include "cli/replay/setup.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/spot/on_demand_prices.h"
#include "actors/spot/price_files.h"
#include "actors/spot/price_text.h"
#include "cli/suggest.h"
#include "cli/vm_file.h"
#include "core/text.h"
#include "core/vm_spec.h"

namespace supercloud {
namespace {

constexpr Money price_max{1'000'000'000'000};  // per hour

absl::StatusOr<absl::Time> parse_time(const char* option, const std::string& said,
                                      absl::Time without) {
  if (said.empty()) return without;
  absl::Time parsed;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, said, &parsed, &error) ||
      absl::ParseTime("%Y-%m-%d", said, &parsed, &error))
    return parsed;
  return absl::InvalidArgumentError(
      absl::StrCat(option, " ", said, ": no time; write it as 2015-08-22 or 2015-08-22T14:00:00Z"));
}

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
              absl::Duration& span) {
  add_read(command, name, what, [&span](const std::string& said) {
    absl::Duration read;
    if (!absl::ParseDuration(said, &read) || read < absl::ZeroDuration() ||
        read > absl::Minutes(30))
      return absl::InvalidArgumentError(said + " is no time up to 30m; write it as 120s or 2m30s");
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
  return parse_price(said, price_max);
}

template <class Target>
void add_money(CLI::App& command, const std::string& name, const std::string& what,
               Target& target) {
  add_read(command, name, what, [&target](const std::string& said) {
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
    const auto price = parse_price(std::string_view(said).substr(equals + 1), price_max);
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

// The type that is meant: the only one, if none is named.
absl::StatusOr<std::string> choose_type(const ReplaySetup& setup, const PriceContents& contents) {
  const std::set<std::string> types = contents.instance_types();
  if (!setup.type.empty()) {
    if (types.contains(setup.type) || types == std::set<std::string>{""}) return setup.type;
    return absl::NotFoundError(absl::StrCat("--type ", setup.type,
                                            ": the files have no prices of it; they have ",
                                            contents.types_text()));
  }
  if (types.size() == 1 && !types.begin()->empty()) return *types.begin();
  return absl::InvalidArgumentError(
      types.size() == 1
          ? std::string("the files do not say which instance type these prices are of; say --type")
          : absl::StrCat("there are several instance types; choose one with --type: ",
                         contents.types_text()));
}

absl::StatusOr<std::vector<Message<schema::VmSpec>>> make_vms(const ReplaySetup& setup) {
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
    described.push_back(*std::move(spec));
  }
  std::vector<Message<schema::VmSpec>> vms;
  for (int i = 0; i < setup.vms; ++i)
    vms.push_back(Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
      if (!described.empty())
        copy_spec(described[static_cast<std::size_t>(i) % described.size()].reader(), spec);
      spec.setName(absl::StrCat("vm", i + 1));
      spec.setTenant("main");
      spec.setAddress(absl::StrCat("10.0.", i / 250, ".", i % 250 + 1));
      spec.setMemoryBytes(setup.model.memory_bytes);
      spec.setDiskBytes(std::uint64_t{64} << 20);
      spec.setDiskLoss(schema::DiskLoss::WAIT);
      spec.setReplicas(0);
      spec.initNodes(0);
      spec.setDirtyPagesPerSecond(0);
      spec.setWritesPerSecond(0);
      spec.setReads("");
      if (spec.getDowntimeNanoUsdPerHour() == 0)
        spec.setDowntimeNanoUsdPerHour(
            static_cast<std::uint64_t>(setup.model.downtime_per_hour.nano_usd));
    }));
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
  command
      .add_option("--prices", setup.files,
                  "Price files: JSON of `aws ec2 describe-spot-price-history`, CSV of events, or a "
                  "CSV table of zones")
      ->required()
      ->option_text("FILE...");
  command.add_option("--type", setup.type, "The instance type, where the files have several");
  command.add_option("--product", setup.product, "What runs on it, as Linux/UNIX");
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
  add_money(command, "--egress", "What a GiB that is sent costs", model.egress_per_gib);
  add_money(command, "--downtime-price", "What a VM's user loses in an hour without it",
            model.downtime_per_hour);
  command.add_option("--moves-per-day", model.moves_per_day,
                     "Of all VMs, to save money; 0: no limit");
  command.add_option("--moving-max", model.moving_max,
                     "VMs that move at once, to save money; 0: no limit");
}

absl::StatusOr<PreparedReplay> prepare(const ReplaySetup& setup) {
  const auto from = parse_time("--from", setup.from, absl::InfinitePast());
  if (!from.ok()) return from.status();
  const auto to = parse_time("--to", setup.to, absl::InfiniteFuture());
  if (!to.ok()) return to.status();

  PriceFileOptions files;
  files.cloud = setup.cloud;
  if (!setup.product.empty()) files.products = {setup.product};
  const auto contents = look_into_price_files(setup.files, files);
  if (!contents.ok()) return contents.status();
  const auto type = choose_type(setup, *contents);
  if (!type.ok()) return type.status();
  files.instance_types = {*type};
  const auto on_demand = on_demand_price(setup, *type);
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
  auto vms = make_vms(setup);
  if (!vms.ok()) return vms.status();
  options.vms = *std::move(vms);
  prepared.title = absl::StrCat(*type, " in ", place.cloud, " ", place.region);
  prepared.grid = std::make_shared<PriceGrid>(*std::move(grid));
  return prepared;
}

}  // namespace supercloud
