// simulation_digests SEEDS: a line for each of the seeds 1 to SEEDS, with the digest of all logs of its run. Processes whose memory
// lies elsewhere, and builds by different compilers, print the same (determinism_test.cpp, compare_compilers.py).
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_format.h"
#include "simulation/run.h"

int main(int argc, char** argv) {
  const std::uint64_t seeds = argc == 2 ? std::strtoull(argv[1], nullptr, 10) : 0;
  if (seeds == 0) {
    std::cerr << "usage: simulation_digests SEEDS\n";
    return 2;
  }
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    supercloud::RunOptions run;
    run.seed = seed;
    run.cluster.market = seed % 2 == 0;  // its floating point decides nothing, which is to be seen
    const supercloud::RunResult result = supercloud::run_simulation(run);
    std::cout << absl::StrFormat("digest of seed %d: %016x, %d events, %d steps\n", seed,
                                 result.log_digest, result.events, result.steps);
  }
}
