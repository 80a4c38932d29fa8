// Many simulator runs on all hardware threads, told in the order of their seeds whatever the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "simulation/run.h"

namespace supercloud {

struct SeedRange {
  std::uint64_t first = 1;
  std::uint64_t count = 1;
};

// Called from several threads at once, each call with its own seed.
using SeedRun = std::function<RunResult(std::uint64_t seed)>;

struct SeedWatcher {
  std::function<void(const RunResult&)> told;  // in seed order, without a hole
  std::function<bool()> stop;                  // true: no further seed begins, those under way end
  std::function<void()> look;                  // every tenth of a second or so
  // The command that shows one seed, for a run that ends the process. Called from several threads at once.
  std::function<std::string(std::uint64_t seed)> command;
};

// Returns how many seeds ran, counted from the first. The watcher is called on the caller's thread. A run that ends the process
// (a failed assertion) says on stderr which seed it was, and the command that shows it.
std::uint64_t run_seeds(SeedRange range, unsigned threads, const SeedRun& run,
                        const SeedWatcher& watcher);

}  // namespace supercloud
