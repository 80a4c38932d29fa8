// The options of commands that replay prices.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "actors/ledger/billing.h"
#include "actors/spot/price_text.h"
#include "cli/price_arguments.h"
#include "cli/replay/setup.h"
#include "cli/vm_file.h"

namespace supercloud {
namespace {

// Half of a billing hour: policies reckon with no longer one (actors/policy/outlook.h).
constexpr absl::Duration lead_max = absl::Minutes(30);

constexpr std::uint64_t memory_min = 1 << 20;

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
  return parse_price_or_zero(said, price_per_hour_max);
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

}  // namespace

void add_replay_options(CLI::App& command, ReplaySetup& setup) {
  ReplayModel& model = setup.model;
  command.add_option("--prices", setup.files, price_files_help)->required()->option_text("FILE...");
  command.add_option("--type", setup.type, instance_type_help);
  command.add_option("--product", setup.product, product_help);
  command.add_option("--region", setup.region, region_help);
  command.add_option("--cloud", setup.cloud, "Whose prices these are")->capture_default_str();
  command.add_option("--on-demand", setup.on_demand, "What a type costs on demand, per hour")
      ->option_text("TYPE=USD");
  command.add_option("--from", setup.from, "Begin here instead of at the first price");
  command.add_option("--to", setup.to, "End here instead of at the last price");
  command
      .add_option("--leave-out", setup.leave_out,
                  "With --model plain or plain-hours: times that do not count, for one in which "
                  "nothing was recorded")
      ->option_text("FROM/TO...");
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
             const auto billing = billing_named(said);
             if (billing.ok()) model.billing = *billing;
             return billing.status();
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
  add_read(command, "--bid", "Bid for spot instances, USD per hour; without it the on-demand price",
           [&model](const std::string& said) {
             const auto read = read_money(said);
             if (read.ok() && *read == Money{})
               return absl::InvalidArgumentError(
                   "nothing can be rented for 0; bid more, or, for no spot instance at all, say "
                   "--start on-demand --policy stay");
             if (read.ok()) model.bid = *read;
             return read.status();
           });
  add_span(command, "--notice", "From the notice until the cloud takes an instance", model.notice);
  add_span(command, "--launch-delay", "Until a rented instance runs", model.launch_delay);
  add_span(command, "--migration-time", "Of one move, for which both machines are paid",
           model.migration);
  add_read(command, "--lead",
           "Before the end of a paid hour a move begins; without it what a move takes, and 90 s",
           [&model](const std::string& said) {
             absl::Duration read;
             if (!absl::ParseDuration(said, &read) || read < absl::Seconds(1) || read > lead_max)
               return absl::InvalidArgumentError(
                   said + " is no time from 1s to 30m; write it as 180s or 3m");
             model.lead = read;
             return absl::OkStatus();
           });
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
  add_read(command, "--bandwidth",
           "Bytes a second that the moves of all VMs share; without it each move takes "
           "--migration-time, however many there are",
           [&model](const std::string& said) {
             const auto read = parse_bytes(said);
             if (read.ok()) model.bandwidth = *read;
             return read.status();
           })
      ->option_text("SIZE");
  command
      .add_option("--clairvoyant-moves", setup.clairvoyant_moves,
                  "Also a clairvoyant that moves each VM so many times at most; what was possible "
                  "is still what the other one pays, who moves as often as it pays")
      ->option_text("N")
      ->check(CLI::Range(0, 1000));
  add_span(command, "--answer-within",
           "How long a policy that is a file may take for an answer, in real time",
           setup.answer_within, absl::Milliseconds(1));
}

absl::Status check_model(const CLI::App& command, const ReplaySetup& setup) {
  static const std::set<std::string> of_plain = {
      "--prices", "--type", "--product", "--region",    "--cloud",  "--on-demand",
      "--from",   "--to",   "--model",   "--leave-out", "--report", "--no-log"};
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    const std::string name = option->get_name();
    if (setup.plain && !of_plain.contains(name))
      return absl::InvalidArgumentError(absl::StrCat(
          name, " has no effect with --model ", setup.plain_hours ? "plain-hours" : "plain",
          ", which has rules of its own and one VM; leave it out"));
    if (!setup.plain && name == "--leave-out")
      return absl::InvalidArgumentError(
          "--leave-out goes with --model plain or plain-hours only: a cluster's time has no gaps");
  }
  const ReplayModel& model = setup.model;
  if (model.memory_bytes < memory_min)
    return absl::InvalidArgumentError(absl::StrCat("--memory ", format_bytes(model.memory_bytes),
                                                   " is no VM's; write it as 4GiB or 512MiB"));
  const absl::Duration move = model.launch_delay + model.move_time();
  if (std::max(move, model.lead_time()) <= lead_max) return absl::OkStatus();
  const absl::Duration most = lead_max - ReplayModel::lead_spare - model.launch_delay;
  if (model.move_time() > model.migration && most > absl::ZeroDuration())
    return absl::InvalidArgumentError(absl::StrCat(
        "--bandwidth ", format_bytes(model.bandwidth), " is too little: one move alone takes ",
        absl::FormatDuration(absl::Trunc(model.move_time(), absl::Seconds(1))),
        ", and begins 30m before the end of a paid hour at the earliest; ",
        format_bytes(
            model.transfer_bytes() / static_cast<std::uint64_t>(absl::ToInt64Seconds(most)) + 1),
        " a second would do"));
  return absl::InvalidArgumentError(
      absl::StrCat("--launch-delay ", absl::FormatDuration(model.launch_delay),
                   " and --migration-time ", absl::FormatDuration(model.migration),
                   " are too long together: a move begins 30m before the end of a paid hour at the "
                   "earliest; with ",
                   absl::FormatDuration(ReplayModel::lead_spare),
                   " to spare 28m30s is the most, with --lead 30m"));
}

}  // namespace supercloud
