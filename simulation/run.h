// One run of the simulator from one seed: safety under faults, then everything heals and convergence is demanded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "simulation/cluster.h"
#include "simulation/fault_injector.h"

namespace supercloud {

struct RunOptions {
  std::uint64_t seed = 1;
  ClusterOptions cluster;
  FaultOptions faults;
  Duration chaos = absl::Seconds(40);
  Duration calm = absl::Seconds(60);  // enough for every deadline, backoff and session to pass
  bool keep_history = false;
  bool keys = true;  // as the seed has it; false: nobody has any
  bool hubs = true;  // likewise; false: as many clouds as `cluster` has
};

struct RunResult {
  std::uint64_t seed = 0;
  std::vector<Violation> violations;  // empty: all invariants held
  std::vector<InjectedFault> faults;
  std::uint64_t log_digest = 0;  // of every byte of every log
  std::uint64_t steps = 0;
  std::uint64_t events = 0;
  int accepted = 0, completed = 0, aborted = 0, refused = 0, taken_over = 0;
  int notices = 0, revoked = 0, feeds_lost = 0;  // of the market
  std::uint64_t dropped = 0;   // events that found no room, as their publishers say
  std::uint64_t relayed = 0;   // events that hubs let pass, each way
  std::uint64_t let_go = 0;    // gaps that queues of subscriptions told their actors
  std::uint64_t archived = 0;  // events whose publishers were told so
  std::uint64_t held = 0;      // the same, of those that a subscriber held
  std::uint64_t unsent =
      0;  // durable events that were logged when their node was struck, and not sent
  std::uint64_t found =
      0;  // deliveries of events that were seen in logs alone: nobody had sent them
  Duration simulated;
  std::vector<std::string> story;  // with keep_history: faults and events, one a line, in order
};

RunResult run_simulation(const RunOptions& options);

}  // namespace supercloud
