#include "cli/bench_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstddef>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/bench/cluster_bench.h"
#include "cli/bench/local_bench.h"
#include "cli/bench/result.h"
#include "cli/bench/run.h"
#include "cli/bench/told.h"
#include "cli/bench_migration.h"
#include "cli/cluster_target.h"
#include "cli/interrupt.h"
#include "cli/run_directory.h"

namespace supercloud {
namespace {

constexpr double quick_seconds = 2;

struct BusBenchArguments {
  std::string from, to, compare, folder;
  bool local = false, tcp = false, quick = false;
  double seconds = 10;
  std::size_t bytes = 256;
};

int bench_exit_code(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return exit_interrupted;
    case absl::StatusCode::kInvalidArgument:
      return exit_usage;
    case absl::StatusCode::kNotFound:
      return exit_no_match;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kPermissionDenied:
      return exit_unreachable;
    default:
      return exit_failed;
  }
}

absl::StatusOr<BenchResult> read_earlier(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    return absl::InvalidArgumentError(absl::StrCat("--compare ", path, ": it cannot be read"));
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return parse_bench_result(content, path);
}

absl::StatusOr<ClusterTarget> running_cluster(const Program& program) {
  auto target = find_cluster(program);
  if (target.ok() && target->running) return target;
  const std::string why =
      target.ok() ? absl::StrCat("cluster ", target->name,
                                 " does not run, so nothing can be measured in it: `supercloud "
                                 "demo` starts one")
                  : std::string(target.status().message());
  return absl::UnavailableError(absl::StrCat(why, "; --local measures this machine without any"));
}

// Measures, and tells it; what is measured lives elsewhere.
int measure_and_tell(const BusBenchArguments& arguments, const Program& program,
                     const Interrupt& interrupt, const BenchSubject& subject,
                     const std::vector<BenchPlan>& plans,
                     const std::optional<BenchResult>& earlier) {
  if (earlier)
    if (const absl::Status same = check_comparable(subject, earlier->subject, arguments.compare);
        !same.ok())
      return complain(same, exit_usage);
  BenchResult result;
  result.subject = subject;
  const absl::Time start = absl::Now();
  result.started = absl::FormatTime(absl::RFC3339_sec, start, absl::UTCTimeZone());
  BenchProgress progress(std::cerr, isatty(STDERR_FILENO) == 1, start);
  const absl::Status status =
      run_bench(plans,
                {.seconds = arguments.quick ? quick_seconds : arguments.seconds,
                 .stop = [&interrupt] { return interrupt.requested(); },
                 .now = [] { return absl::Now(); },
                 .told = [&](const std::string& what,
                             double done) { progress.show(absl::Now(), what, done); }},
                result);
  progress.clear();
  if (!status.ok()) return complain(status, bench_exit_code(status));
  std::optional<BenchComparison> comparison;
  if (earlier) comparison = compare_bench(result, *earlier, arguments.compare);
  const BenchComparison* compared = comparison ? &*comparison : nullptr;
  std::cout << (program.json ? bench_json(result, compared) + "\n" : bench_text(result, compared))
            << std::flush;
  return result.complete ? exit_ok : exit_interrupted;
}

int bench_local(const BusBenchArguments& arguments, const Program& program,
                const std::optional<BenchResult>& earlier) {
  const LocalBenchOptions options{
      .bytes = arguments.bytes,
      .tcp = arguments.tcp,
      .folder = arguments.folder.empty() ? state_root() : std::filesystem::path(arguments.folder)};
  const auto bench = LocalBench::start(options);
  if (!bench.ok()) return complain(bench.status(), exit_failed);
  const Interrupt interrupt;
  return measure_and_tell(arguments, program, interrupt, (*bench)->subject(), (*bench)->plans(),
                          earlier);
}

int bench_cluster(const BusBenchArguments& arguments, const Program& program,
                  const std::optional<BenchResult>& earlier) {
  const auto target = running_cluster(program);
  if (!target.ok()) return complain(target.status(), exit_unreachable);
  const Interrupt interrupt;
  const auto bench = ClusterBench::connect(
      *target,
      {.from = arguments.from, .to = arguments.to, .bytes = arguments.bytes, .stop = [&interrupt] {
         return interrupt.requested();
       }});
  if (!bench.ok()) return complain(bench.status(), bench_exit_code(bench.status()));
  return measure_and_tell(arguments, program, interrupt, (*bench)->subject(), (*bench)->plans(),
                          earlier);
}

int bench_bus(const BusBenchArguments& arguments, const Program& program) {
  std::optional<BenchResult> earlier;
  if (!arguments.compare.empty()) {
    auto read = read_earlier(arguments.compare);
    if (!read.ok()) return complain(read.status(), exit_usage);
    earlier = *std::move(read);
  }
  return arguments.local ? bench_local(arguments, program, earlier)
                         : bench_cluster(arguments, program, earlier);
}

void add_bus(CLI::App& bench, Program& program) {
  CLI::App* bus = bench.add_subcommand(
      "bus", "How long messages take between two nodes, and how many there may be");
  bus->fallthrough();
  auto arguments = std::make_shared<BusBenchArguments>();
  CLI::Option* from = bus->add_option("--from", arguments->from,
                                      "The node that measures; without it one of those that run")
                          ->type_name("NODE");
  CLI::Option* to =
      bus->add_option("--to", arguments->to, "The node that answers")->type_name("NODE");
  CLI::Option* local =
      bus->add_flag("--local", arguments->local,
                    "No cluster: two processes of its own on this machine, and a log of its own")
          ->excludes(from)
          ->excludes(to);
  bus->add_flag("--tcp", arguments->tcp, "With --local: over tcp with keys, in place of ipc")
      ->needs(local);
  bus->add_option("--folder", arguments->folder,
                  "With --local: on whose disk the log is; without it where clusters keep theirs")
      ->type_name("DIR")
      ->needs(local);
  CLI::Option* seconds = bus->add_option("--seconds", arguments->seconds,
                                         "For each measure, besides a fifth of it to get warm")
                             ->check(CLI::Range(0.05, 3600.0))
                             ->capture_default_str();
  bus->add_flag("--quick", arguments->quick, "As --seconds 2: an answer within half a minute")
      ->excludes(seconds);
  bus->add_option("--size", arguments->bytes, "Of a message, in bytes, all included")
      ->type_name("BYTES")
      ->check(CLI::Range(std::size_t{1}, std::size_t{64} << 10))
      ->capture_default_str();
  bus->add_option("--compare", arguments->compare,
                  "What --json has written earlier: tells what is better or worse")
      ->type_name("FILE.json");
  bus->footer(
      "Between nodes of a cluster the one measures the way to the other when it is asked to, one "
      "message or a burst with 64\n"
      "under way at a time: it goes on with its work meanwhile. Percentiles are within 1 %.\n"
      "Ctrl-C ends it with what was measured until then, and exit code 130.\n\n"
      "Examples:\n"
      "  supercloud bench bus\n"
      "  supercloud bench bus --from node-a --to node-b --json > before.json\n"
      "  supercloud bench bus --from node-a --to node-b --compare before.json\n"
      "  supercloud bench bus --local --quick --json");
  bus->callback([arguments, &program] { program.exit_code = bench_bus(*arguments, program); });
}

}  // namespace

void add_bench_command(CLI::App& root, Program& program) {
  CLI::App* bench = root.add_subcommand("bench", "Measure for yourself, on machines of your own");
  bench->fallthrough();
  bench->require_subcommand(1);
  add_bus(*bench, program);
  add_bench_migration(*bench, program);
}

}  // namespace supercloud
