#include "cli/simulate_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/interrupt.h"
#include "cli/program.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

struct Totals {
  std::uint64_t accepted = 0, completed = 0, aborted = 0, refused = 0, taken_over = 0;
  std::uint64_t events = 0, steps = 0, faults = 0;
  Duration simulated;

  void add(const RunResult& result) {
    accepted += static_cast<std::uint64_t>(result.accepted);
    completed += static_cast<std::uint64_t>(result.completed);
    aborted += static_cast<std::uint64_t>(result.aborted);
    refused += static_cast<std::uint64_t>(result.refused);
    taken_over += static_cast<std::uint64_t>(result.taken_over);
    events += result.events;
    steps += result.steps;
    faults += result.faults.size();
    simulated += result.simulated;
  }
};

double seconds(Duration span) { return absl::ToDoubleSeconds(span); }
double seconds(Instant at) { return static_cast<double>(at.ns) / 1e9; }

// The command that shows one seed of this cluster.
std::string story_command(const SimulateOptions& options, std::uint64_t seed) {
  const SimulateOptions usual;
  std::string command = absl::StrCat("supercloud simulate --trace --seed ", seed);
  if (options.nodes != usual.nodes) absl::StrAppend(&command, " --nodes ", options.nodes);
  if (options.vms != usual.vms) absl::StrAppend(&command, " --vms ", options.vms);
  if (!options.market) command += " --no-market";
  return command;
}

std::string plural(std::uint64_t count, const char* what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

// One line that is rewritten on a terminal; elsewhere a line every ten seconds.
class ProgressLine {
 public:
  ProgressLine(const SimulateOptions& options, const SimulateOutput& output)
      : options_(options), output_(output) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  Duration elapsed() const { return absl::FromChrono(std::chrono::steady_clock::now() - start_); }

  void clear() {
    if (!shown_) return;
    output_.progress << "\r\x1b[K" << std::flush;
    shown_ = false;
  }

  void show(std::uint64_t ran, std::uint64_t failed, const Totals& totals) {
    const Duration now = elapsed();
    if (now < next_ || options_.seeds == 1) return;
    next_ = now + (output_.live ? absl::Milliseconds(200) : absl::Seconds(10));
    const double rate = static_cast<double>(ran) / std::max(seconds(now), 1e-3);
    std::string line =
        absl::StrFormat("simulate: %d of %s, %d failed, %.1f seeds/s, %.0f times real time", ran,
                        plural(options_.seeds, "seed"), failed, rate,
                        seconds(totals.simulated) / std::max(seconds(now), 1e-3));
    if (ran > 0 && ran < options_.seeds)
      absl::StrAppendFormat(&line, ", about %s left",
                            left(static_cast<double>(options_.seeds - ran) / rate));
    if (output_.live) {
      output_.progress << "\r\x1b[K" << line << std::flush;
      shown_ = true;
    } else {
      output_.progress << line << std::endl;
    }
  }

 private:
  static std::string left(double span) {
    const auto whole = static_cast<std::int64_t>(span + 1);
    return whole < 120 ? absl::StrFormat("%d s", whole)
                       : absl::StrFormat("%d min", (whole + 59) / 60);
  }

  const SimulateOptions& options_;
  const SimulateOutput& output_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Duration next_ = output_.live ? absl::ZeroDuration() : absl::Seconds(10);
  bool shown_ = false;
};

void tell_failure(const SimulateOptions& options, const RunResult& result, std::ostream& out) {
  const Violation& first = result.violations.front();
  out << absl::StrFormat("seed %d: an invariant broke at %.3f s of %.0f s\n", result.seed,
                         seconds(first.at), seconds(result.simulated));
  out << "  rule " << first.rule << "\n  " << first.what << "\n";
  if (const std::size_t more = result.violations.size() - 1; more > 0)
    out << "  and " << plural(more, "more violation") << " after it\n";
  if (!options.trace) out << "  see it: " << story_command(options, result.seed) << "\n";
  out << std::flush;
}

Json to_json(const SimulateOptions& options, const RunResult& result) {
  Json violations = Json::array();
  for (const Violation& violation : result.violations)
    violations.push_back(
        {{"at_s", seconds(violation.at)}, {"rule", violation.rule}, {"what", violation.what}});
  return {{"seed", result.seed},
          {"violations", std::move(violations)},
          {"command", story_command(options, result.seed)}};
}

Json to_json(const Totals& totals) {
  return {{"accepted", totals.accepted},     {"completed", totals.completed},
          {"aborted", totals.aborted},       {"refused", totals.refused},
          {"taken_over", totals.taken_over}, {"faults", totals.faults},
          {"events", totals.events},         {"steps", totals.steps}};
}

void tell_totals(const SimulateOptions& options, std::uint64_t ran,
                 const std::vector<std::uint64_t>& failed, bool stopped, const Totals& totals,
                 Duration wall, std::ostream& out) {
  if (stopped) out << "stopped after " << ran << " of " << plural(options.seeds, "seed") << "\n";
  out << plural(ran, "seed") << " from " << options.first << ": "
      << (failed.empty() ? std::string("every invariant held")
                         : absl::StrCat(failed.size(), " broke an invariant"))
      << "\n"
      << "migrations: " << totals.accepted << " accepted, " << totals.completed << " completed, "
      << totals.aborted << " aborted; " << totals.refused << " refused; "
      << plural(totals.taken_over, "takeover") << " of a lost node's VM\n"
      << "faults: " << totals.faults << "; events: " << totals.events << "; steps: " << totals.steps
      << "\n"
      << absl::StrFormat("%.0f s of simulated time in %.1f s\n", seconds(totals.simulated),
                         seconds(wall));
  if (!failed.empty()) {
    out << "failing seeds:";
    constexpr std::size_t shown = 20;
    for (std::size_t i = 0; i < std::min(failed.size(), shown); ++i) out << " " << failed[i];
    if (failed.size() > shown) out << " and " << failed.size() - shown << " more";
    out << "\n";
  }
  out << std::flush;
}

}  // namespace

RunResult run_seed(const SimulateOptions& options, std::uint64_t seed) {
  RunOptions run;
  run.seed = seed;
  run.cluster.nodes = options.nodes;
  run.cluster.vms = options.vms;
  run.cluster.market = options.market;
  run.keep_history = options.trace;
  return run_simulation(run);
}

int simulate(const SimulateOptions& options, const SimulateOutput& output, const SeedRun& run) {
  Totals totals;
  std::vector<std::uint64_t> failed;
  Json failures = Json::array();
  Json story;
  std::string digest;
  std::uint64_t ran = 0;
  ProgressLine progress(options, output);
  SeedWatcher watcher;
  watcher.stop = output.stop;
  watcher.command = [&options](std::uint64_t seed) { return story_command(options, seed); };
  watcher.look = [&] { progress.show(ran, failed.size(), totals); };
  watcher.told = [&](const RunResult& result) {
    ++ran;
    totals.add(result);
    if (options.trace) {
      digest = absl::StrFormat("%016x", result.log_digest);
      if (options.json) {
        story = result.story;
      } else {
        for (const std::string& line : result.story) output.out << line << "\n";
        output.out << "\nlog digest " << digest << "\n";
      }
    }
    if (result.violations.empty()) return;
    failed.push_back(result.seed);
    progress.clear();
    if (options.json)
      failures.push_back(to_json(options, result));
    else
      tell_failure(options, result, output.out);
  };
  const unsigned threads =
      options.threads != 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
  run_seeds({.first = options.first, .count = options.seeds}, threads, run, watcher);
  const Duration wall = progress.elapsed();
  progress.clear();

  const bool stopped = ran < options.seeds;
  if (options.json) {
    Json answer = {{"seeds", {{"first", options.first}, {"asked", options.seeds}, {"ran", ran}}},
                   {"failed", std::move(failures)},
                   {"totals", to_json(totals)},
                   {"simulated_s", seconds(totals.simulated)},
                   {"wall_s", seconds(wall)}};
    if (options.trace) {
      answer["log_digest"] = digest;
      answer["story"] = std::move(story);
    }
    output.out << answer.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
  } else {
    tell_totals(options, ran, failed, stopped, totals, wall, output.out);
  }
  return !failed.empty() ? exit_failed : stopped ? exit_interrupted : exit_ok;
}

void add_simulate_command(CLI::App& root, Program& program) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* command = root.add_subcommand(
      "simulate", "Run whole clusters under virtual time and faults, and check every invariant");
  command->fallthrough();
  CLI::Option* seeds = command->add_option("--seeds", options->seeds, "How many seeds to run")
                           ->capture_default_str()
                           ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}));
  command->add_option("--seed", options->first, "The first seed")->capture_default_str();
  command->add_option("--nodes", options->nodes, "Nodes of each cluster")
      ->capture_default_str()
      ->check(CLI::Range(2, 64));
  command->add_option("--vms", options->vms, "Virtual machines of each cluster")
      ->capture_default_str()
      ->check(CLI::Range(0, 64));
  command->add_flag("!--no-market", options->market,
                    "Without a spot market: no prices, rented instances, notices, revocations");
  command
      ->add_option("--threads", options->threads,
                   "Clusters at a time; 0: one for each hardware thread")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command
      ->add_flag("--trace", options->trace,
                 "Tell the story of one seed: every fault and every event, in order")
      ->excludes(seeds);
  command->footer(
      "Each seed is one cluster in one thread: message loss, partitions, crashes, freezes, lost "
      "disks, slow hypervisors, a spot\n"
      "market that takes instances away, and users at any time; then everything heals and every "
      "migration has to end. The same\n"
      "seed is the same run, byte for byte.\n"
      "Exit code 1: an invariant broke; the output names the seeds and the command that tells "
      "their story.\n\n"
      "Examples:\n"
      "  supercloud simulate --seeds 500\n"
      "  supercloud simulate --seed 1000 --seeds 10000 --no-market --json\n"
      "  supercloud simulate --trace --seed 17");
  command->callback([options, &program] {
    options->json = program.json;
    if (options->trace) options->seeds = 1;
    const Interrupt interrupt;
    const bool live = isatty(STDERR_FILENO) != 0;
    const SimulateOutput output{.out = std::cout, .progress = std::cerr, .live = live, .stop = [&] {
                                  return interrupt.requested();
                                }};
    program.exit_code = simulate(
        *options, output, [options](std::uint64_t seed) { return run_seed(*options, seed); });
  });
}

}  // namespace supercloud
