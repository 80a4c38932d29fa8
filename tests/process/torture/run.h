// One torture run: starts the processes, breaks what can break while they publish, heals, waits until everything has arrived, ends them and
// judges what they left behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/process/torture/judge.h"

namespace supercloud::torture {

struct RunOptions {
  bool tcp = false;
  bool repair = true;
  bool short_queues = false;    // of the bus, so that they fill up
  std::size_t events = 10'000;  // durable ones, acknowledged
  std::uint64_t seed = 1;
};

struct RunResult {
  std::vector<std::string>
      broken;  // what went wrong with the run itself; empty: it came to its end
  Verdict verdict;
  std::size_t acknowledged = 0;
  std::size_t lives = 0;  // of all processes
  std::size_t kills = 0, stops = 0, cuts = 0, stalls = 0;
  std::size_t connections = 0;           // that were cut
  std::size_t questions = 0, given = 0;  // to logs, and events in their answers
  std::size_t gaps = 0;                  // that were told
  std::size_t unsaid = 0;  // of these, not in the log of who was told, and lived to the end
  double catch_up_s = 0;   // from the end of all faults until everybody had everything
  double seconds = 0;

  std::string summary(const RunOptions& options) const;
};

RunResult run(const RunOptions& options);

}  // namespace supercloud::torture
