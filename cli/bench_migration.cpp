#include "cli/bench_migration.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/bench/migration/migration_bench.h"
#include "cli/bench/told.h"
#include "cli/guests/leftovers.h"
#include "cli/guests/qemu_program.h"
#include "cli/interrupt.h"
#include "cli/measure/temporary_folder.h"
#include "cli/program.h"
#include "cli/qemu_config.h"
#include "cli/run_directory.h"
#include "cli/vm_file.h"

namespace supercloud {
namespace {

constexpr std::uint64_t guest_mib = 1 << 20;
constexpr std::uint64_t guest_page_bytes = 4096;
// Of the guest that writes: how much in a second, and how much of its memory.
constexpr std::uint64_t dirtied_bytes = 40 * guest_mib;
constexpr std::uint64_t working_set_max = 48 * guest_mib;
constexpr std::uint64_t memory_min = 16 * guest_mib;
constexpr absl::Duration quick_time = absl::Seconds(12);
constexpr int quick_price_moves = 3;
constexpr absl::Duration idle_time = absl::Seconds(20);

struct MigrationBenchArguments {
  std::string qemu = QemuConfig{}.program, keeper, kernel, initrd, append, memory = "128MiB";
  int pairs = 15;
  bool quick = false;
  bool unprepared = false;
};

std::vector<MigrationLoad> loads_of(const MigrationBenchArguments& arguments,
                                    std::uint64_t memory) {
  if (!arguments.kernel.empty())
    return {{.name = "own", .what = "a guest of one's own", .arguments = arguments.append}};
  const std::uint64_t set = std::min(working_set_max, memory / 2);
  const MigrationLoad idle = {.name = "idle",
                              .what = "a guest that does nothing",
                              .arguments = "ticks=1000 beat=1 pages=0",
                              .beats = true};
  const MigrationLoad dirtying = {
      .name = "dirtying",
      .what = "a guest that writes 40 MiB a second",
      .arguments = absl::StrCat("ticks=1000 beat=1 pages=", dirtied_bytes / guest_page_bytes,
                                " set=", set / guest_page_bytes),
      .beats = true};
  if (arguments.quick) return {dirtying};
  return {idle, dirtying};
}

absl::Status check_readable(const char* option, std::string& path) {
  if (path.empty()) return absl::OkStatus();
  path = std::filesystem::absolute(path).string();
  if (::access(path.c_str(), R_OK) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, " ", path, ": ", std::strerror(errno), "; name a file that is there"));
}

int bench_migration(MigrationBenchArguments arguments, const Program& program) {
  MigrationBenchOptions options;
  MigrationResult result;
  for (const auto& [option, path] :
       {std::pair<const char*, std::string*>{"--kernel", &arguments.kernel},
        {"--initrd", &arguments.initrd},
        {"--keeper", &arguments.keeper}})
    if (const absl::Status there = check_readable(option, *path); !there.ok())
      return complain(there, exit_usage);
  const auto memory = parse_bytes(arguments.memory);
  if (!memory.ok() || *memory < memory_min || *memory % (2 * guest_mib) != 0)
    return complain(absl::InvalidArgumentError(
                        absl::StrCat("--memory ", arguments.memory,
                                     " is no memory of a guest: write an even number of MiB, 16MiB "
                                     "or more")),
                    exit_usage);
  const auto qemu = find_qemu(arguments.qemu);
  if (!qemu.ok()) return complain(qemu.status(), exit_failed);
  options.qemu = qemu->program;
  options.keeper = arguments.keeper;
  options.accelerator = qemu->accelerator;

  // Logs are where those of clusters are; the paths of sockets have to be short.
  const TemporaryFolder logs(state_root());
  const TemporaryFolder sockets;
  if (logs.path().empty() || sockets.path().empty())
    return complain(
        absl::UnavailableError(absl::StrCat("no folder can be made in ", state_root().string(),
                                            " or ", std::filesystem::temp_directory_path().string(),
                                            ": ", std::strerror(errno))),
        exit_failed);
  const Leftovers leftovers({logs.path(), sockets.path()});
  if (!leftovers.status().ok()) return complain(leftovers.status(), exit_failed);
  options.logs = logs.path() / "nodes";  // not in the list of clusters
  options.sockets = sockets.path();
  options.kernel = arguments.kernel;
  if (arguments.kernel.empty()) {
    options.kernel = (sockets.path() / "guest").string();
    if (const absl::Status written = write_tiny_guest(options.kernel); !written.ok())
      return complain(written, exit_failed);
  }
  options.initrd = arguments.initrd;
  options.memory_bytes = *memory;
  options.loads = loads_of(arguments, *memory);
  options.pairs = options.price_moves = arguments.pairs;
  options.prepared = !arguments.unprepared;
  if (arguments.quick) {
    options.time_max = quick_time;
    options.price_moves = std::min(options.price_moves, quick_price_moves);
  }
  if (!arguments.quick) options.idle = idle_time;

  const Interrupt interrupt;
  options.stop = [&interrupt] { return interrupt.requested(); };
  const absl::Time start = absl::Now();
  BenchProgress progress(std::cerr, isatty(STDERR_FILENO) == 1, start);
  options.told = [&](const std::string& what, double done) {
    progress.show(absl::Now(), what, done);
  };
  result.started = absl::FormatTime(absl::RFC3339_sec, start, absl::UTCTimeZone());
  result.qemu = qemu->version.to_string();
  result.accelerator = qemu->accelerator_name();
  result.memory_bytes = *memory;
  result.pairs = arguments.pairs;
  result.prepared = options.prepared;
  const absl::Status status = run_migration_bench(options, result);
  progress.clear();
  if (!status.ok()) return complain(status, exit_failed);
  std::cout << (program.json ? migration_json(result) + "\n" : migration_text(result))
            << std::flush;
  return result.complete ? exit_ok : exit_interrupted;
}

}  // namespace

void add_bench_migration(CLI::App& bench, Program& program) {
  CLI::App* migration = bench.add_subcommand(
      "migration", "What a move of a real guest takes, beside one by QEMU alone");
  migration->fallthrough();
  auto arguments = std::make_shared<MigrationBenchArguments>();
  migration->add_option("--pairs", arguments->pairs, "Moves by each of the two, of each guest")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  migration->add_flag("--quick", arguments->quick,
                      "One guest, which writes; no idle daemon: an answer within 45 s");
  migration->add_flag("--unprepared", arguments->unprepared,
                      "No target is ready: the time of each move includes its start, of both ways");
  CLI::Option* kernel =
      migration
          ->add_option("--kernel", arguments->kernel,
                       "Of a guest of one's own, in place of the two that are in this program")
          ->type_name("FILE");
  migration->add_option("--initrd", arguments->initrd, "Beside it")
      ->type_name("FILE")
      ->needs(kernel);
  migration->add_option("--append", arguments->append, "Its arguments")
      ->type_name("TEXT")
      ->needs(kernel);
  migration->add_option("--memory", arguments->memory, "Of the guest")
      ->type_name("SIZE")
      ->capture_default_str();
  migration->add_option("--qemu", arguments->qemu, "Its program, by a name or a path")
      ->type_name("PROGRAM")
      ->capture_default_str();
  migration
      ->add_option("--keeper", arguments->keeper,
                   "The program supercloud-keeper; without it that beside this program")
      ->type_name("FILE");
  migration->footer(
      "Starts a cluster of three nodes of its own on this machine, and one guest twice: the "
      "cluster "
      "moves the one to and\n"
      "fro, a plain script the other, in turn and with the same settings. Needs QEMU, no root. "
      "Nothing of it is left.\n"
      "Ctrl-C ends it with what was measured until then, and exit code 130.\n\n"
      "Examples:\n"
      "  supercloud bench migration\n"
      "  supercloud bench migration --quick --json\n"
      "  supercloud bench migration --kernel vmlinuz --initrd initrd.img --append 'console=ttyS0' "
      "--memory 512MiB --pairs 30");
  migration->callback(
      [arguments, &program] { program.exit_code = bench_migration(*arguments, program); });
}

}  // namespace supercloud
