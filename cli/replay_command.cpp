#include "cli/replay_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/interrupt.h"
#include "cli/program.h"
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
  std::vector<std::string> wanted;
  std::vector<std::string> said = {arguments.setup.policy};
  said.insert(said.end(), arguments.baselines.begin(), arguments.baselines.end());
  for (const std::string& one : said) {
    if (one == "none") continue;
    auto name = take_policy(one, arguments.setup.answer_within, registry);
    if (!name.ok()) return name.status();
    if (std::ranges::find(wanted, *name) == wanted.end()) wanted.push_back(*std::move(name));
  }
  return wanted;
}

absl::StatusOr<ReplayResult> run_replay(const ReplayArguments& arguments, bool live,
                                        std::string& log) {
  auto prepared = prepare(arguments.setup);
  if (!prepared.ok()) return prepared.status();
  if (arguments.setup.plain) return run_plain(*prepared, arguments.setup.plain_hours);
  const auto policies = policies_of(arguments, prepared->options.policies);
  if (!policies.ok()) return policies.status();
  if (!arguments.no_log)
    prepared->options.keep = [&log](const LogImage& image) {
      auto kept = keep_replay_log(image);
      if (!kept.ok()) return kept.status();
      log = *std::move(kept);
      return absl::OkStatus();
    };
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
  std::string log;
  const auto result = run_replay(arguments, isatty(STDERR_FILENO) != 0, log);
  if (absl::IsCancelled(result.status())) {
    std::cerr << "replay: ended before it was done\n";
    return exit_interrupted;
  }
  if (!result.ok())
    return complain(result.status(), absl::IsInternal(result.status()) ? exit_failed : exit_usage);
  std::cerr << failures_text(*result);
  if (!arguments.report.empty()) {
    const absl::Status written = write_page(arguments.report, replay_page(*result));
    if (!written.ok()) return complain(written, exit_failed);
  }
  if (program.json) {
    std::cout << replay_json(*result);
    return exit_ok;
  }
  std::cout << replay_text(*result);
  if (!arguments.report.empty()) std::cout << "\nThe report: " << arguments.report << "\n";
  if (!log.empty())
    std::cout << "\nAsk what was decided, and why:\n  " << program.invoked
              << " explain vm1 --cluster " << log << "\n";
  return exit_ok;
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
      "Every assumption is printed, and is a flag.\n\n"
      "Examples:\n"
      "  supercloud replay --prices prices.json --type r3.large --report saved.html\n"
      "  supercloud replay --prices 2016.csv --type m4.xlarge --on-demand m4.xlarge=0.239 "
      "--baselines stay,cheapest,threshold-20\n"
      "  supercloud replay --prices prices.csv --model plain --json");
  command->callback(
      [arguments, &program] { program.exit_code = replay_prices(*arguments, program); });
}

}  // namespace supercloud
