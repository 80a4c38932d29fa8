// Many seeds of clusters with a market, under all faults: VMs follow prices, prices spike, feeds stop, clouds take machines.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "simulation/run.h"

namespace supercloud {
namespace {

std::uint64_t environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

TEST(MarketSeeds, hold_every_invariant_while_prices_spike_and_feeds_stop) {
  const std::uint64_t first = environment("SUPERCLOUD_SEED", 1);
  const std::uint64_t seeds = environment("SUPERCLOUD_SEEDS", 5);
  const bool trace = std::getenv("SUPERCLOUD_TRACE") != nullptr;
  int completed = 0, aborted = 0, taken_over = 0, notices = 0, revoked = 0, feeds_lost = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    RunOptions options;
    options.seed = seed;
    options.keep_history = trace;
    const RunResult result = run_simulation(options);
    completed += result.completed;
    aborted += result.aborted;
    taken_over += result.taken_over;
    notices += result.notices;
    revoked += result.revoked;
    feeds_lost += result.feeds_lost;
    for (const std::string& line : result.story) std::cerr << line << "\n";
    for (const Violation& violation : result.violations)
      ADD_FAILURE() << "seed " << seed << " at " << static_cast<double>(violation.at.ns) / 1e9
                    << " s: " << violation.rule << ": " << violation.what
                    << "\nits story: supercloud simulate --trace --seed " << seed;
  }
  std::cout << completed << " migrations completed, " << aborted << " aborted, " << taken_over
            << " takeovers, " << notices << " notices, " << revoked << " machines revoked, "
            << feeds_lost << " times without a feed\n";
  EXPECT_GT(completed, 0);
  EXPECT_GT(revoked, 0);
}

TEST(MarketSeeds, make_the_same_history_again) {
  RunOptions options;
  options.seed = 3;
  EXPECT_EQ(run_simulation(options).log_digest, run_simulation(options).log_digest);
}

}  // namespace
}  // namespace supercloud
