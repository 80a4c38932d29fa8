// supercloud simulate: whole clusters under virtual time and faults, one a seed, and what always has to hold.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include "cli/seed_runner.h"

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

struct SimulateOptions {
  std::uint64_t first = 1;
  std::uint64_t seeds = 100;
  int nodes = 4;
  int vms = 3;
  bool market = true;  // prices, rented instances, notices, revocations
  bool trace = false;
  bool json = false;
  unsigned threads = 0;  // 0: one for each hardware thread
};

// Where the words go. Progress lines begin with "simulate: ".
struct SimulateOutput {
  std::ostream& out;
  std::ostream& progress;
  bool live = false;           // progress is a terminal: one line that is rewritten
  std::function<bool()> stop;  // Ctrl-C
};

// Returns the program's exit code: exit_ok, exit_failed where an invariant broke, exit_interrupted. Everything on `out` but the two
// durations on the wall clock is the same for any number of threads. `run` is run_simulation with these options, or a test's.
int simulate(const SimulateOptions& options, const SimulateOutput& output, const SeedRun& run);

// One seed with the cluster that the options describe.
RunResult run_seed(const SimulateOptions& options, std::uint64_t seed);

void add_simulate_command(CLI::App& root, Program& program);

}  // namespace supercloud
