#include "cli/replay_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/interrupt.h"
#include "cli/price_arguments.h"
#include "cli/program.h"
#include "cli/replace_file.h"
#include "cli/replay/log.h"
#include "cli/replay/policy_choice.h"
#include "cli/replay/run.h"
#include "cli/replay/setup.h"
#include "cli/replay/told.h"
#include "cli/report/replay_page.h"

namespace supercloud {
namespace {

struct ReplayArguments {
  ReplaySetup setup;
  std::vector<std::string> baselines = {"cheapest", "stay"};
  std::string report;
  bool no_log = false;
};

// The asked policy first, then the baselines, each once.
absl::StatusOr<std::vector<std::string>> policies_of(const ReplayArguments& arguments,
                                                     PolicyRegistry& registry) {
  std::vector<std::string> named = {arguments.setup.policy};
  for (const std::string& one : arguments.baselines)
    if (one != "none") named.push_back(one);
  return take_policies(named, arguments.setup.answer_within, registry);
}

// Before anything runs: what could not be written then would be lost.
absl::Status check_report(const std::string& report) {
  if (report.empty()) return absl::OkStatus();
  namespace files = std::filesystem;
  std::error_code error;
  if (files::is_directory(report, error))
    return absl::InvalidArgumentError(
        absl::StrCat("--report ", report, " is a folder; name a file in it"));
  const files::path folder = files::absolute(report, error).parent_path();
  if (!files::is_directory(folder, error))
    return absl::InvalidArgumentError(absl::StrCat("--report ", report, ": there is no folder ",
                                                   folder.string(), "; make it first"));
  if (::access(folder.c_str(), W_OK) != 0)
    return absl::InvalidArgumentError(
        absl::StrCat("--report ", report, ": nothing may be written to ", folder.string()));
  return absl::OkStatus();
}

// What became of a run's log.
struct KeptLog {
  std::filesystem::path folder;
  std::string name;  // of the run; empty: there is no log
  absl::Status trouble;

  void remove_unless_kept() const {
    std::error_code error;
    if (name.empty() && !folder.empty()) std::filesystem::remove_all(folder, error);
  }
};

absl::StatusOr<ReplayResult> run_replay(const ReplayArguments& arguments, bool live, KeptLog& log) {
  auto prepared = prepare(arguments.setup);
  if (!prepared.ok()) return prepared.status();
  std::cerr << prepared->notes;
  if (arguments.setup.plain) return run_plain(*prepared, arguments.setup.plain_hours);
  const auto policies = policies_of(arguments, prepared->options.policies);
  if (!policies.ok()) return policies.status();
  if (!arguments.no_log) {
    auto folder = make_replay_folder();
    if (!folder.ok()) return folder.status();
    log.folder = *std::move(folder);
    // What was found out is told without a log, too.
    prepared->options.keep = [&log](const LogImage& image) {
      auto kept = keep_replay_log(log.folder, image);
      log.trouble = kept.status();
      if (kept.ok()) log.name = *std::move(kept);
      return absl::OkStatus();
    };
  }
  const Interrupt interrupt;
  auto shown = std::chrono::steady_clock::now();
  ReplayWatch watch;
  watch.stop = [&interrupt] { return interrupt.requested(); };
  if (live)
    watch.progress = [&shown](double share) {
      const auto now = std::chrono::steady_clock::now();
      if (now - shown < std::chrono::milliseconds(100)) return;
      shown = now;
      std::cerr << absl::StrFormat("\r\x1b[Kreplay: %.0f %%", 100 * share) << std::flush;
    };
  auto result = run_strategies(*prepared, *policies, watch);
  if (live) std::cerr << "\r\x1b[K" << std::flush;
  return result;
}

int replay_prices(const ReplayArguments& arguments, const Program& program) {
  if (const absl::Status may = check_report(arguments.report); !may.ok())
    return complain(may, exit_usage);
  KeptLog log;
  auto result = run_replay(arguments, isatty(STDERR_FILENO) != 0, log);
  log.remove_unless_kept();
  if (!result.ok()) return came_to_nothing("replay", result.status());
  result->log = log.name;
  std::cerr << damage_text(*result) << failures_text(*result);
  std::cout << (program.json ? replay_json(*result) : replay_text(*result)) << std::flush;
  if (!arguments.report.empty()) {
    const absl::Status written = replace_file(arguments.report, replay_page(*result));
    if (!written.ok()) return complain(written, exit_failed);
    if (!program.json) std::cout << "\nThe report: " << arguments.report << "\n";
  }
  if (!log.name.empty()) {
    // Beside JSON it is for people.
    std::ostream& out = program.json ? std::cerr : std::cout;
    out << "\nAsk what was decided, and why:\n  " << program.invoked << " explain vm1 --cluster "
        << log.name << "\n";
    if (result->rejected_rows > 0)
      out << "See what was damaged:\n  " << program.invoked
          << " events 'bus.rejected.>' --since start --cluster " << log.name << "\n";
  }
  if (!log.trouble.ok()) return complain(log.trouble, exit_failed);
  return never_answered(*result) ? exit_failed : exit_ok;
}

}  // namespace

void add_replay_command(CLI::App& root, Program& program) {
  auto arguments = std::make_shared<ReplayArguments>();
  CLI::App* command = root.add_subcommand(
      "replay",
      "Run a policy over real prices, with the whole choreography, and say what it saves");
  command->fallthrough();
  add_replay_options(*command, arguments->setup);
  command->add_option("--policy", arguments->setup.policy, "Whose decisions: a name, or a file")
      ->capture_default_str();
  command
      ->add_option("--baselines", arguments->baselines,
                   "What it is compared with, besides the clairvoyant; none: nothing")
      ->delimiter(',')
      ->default_str("cheapest,stay");
  command->add_option("--report", arguments->report, "Write a page for a browser here")
      ->option_text("FILE.html");
  command->add_flag("--no-log", arguments->no_log, "Keep no log for `explain`");
  command->footer(
      "Nothing sees a future price, but for the clairvoyant: it is the least that was possible.\n"
      "Every assumption is printed, and what can be another is a flag.\n\n"
      "Examples:\n"
      "  supercloud replay --prices prices.json --type r3.large --report saved.html\n"
      "  supercloud replay --prices 2016.csv --type m4.xlarge --on-demand m4.xlarge=0.239 "
      "--baselines stay,cheapest,threshold-20\n"
      "  supercloud replay --prices prices.csv --model plain --json");
  command->callback([arguments, command, &program] {
    const absl::Status fits = check_model(*command, arguments->setup);
    arguments->setup.keep_changes = !arguments->report.empty();
    program.exit_code = fits.ok() ? replay_prices(*arguments, program) : complain(fits, exit_usage);
  });
}

}  // namespace supercloud
