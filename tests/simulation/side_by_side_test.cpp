// Clusters that run side by side in threads, as `supercloud simulate` and `replay` have them, share nothing: each has the history that it
// has alone. Under ThreadSanitizer this is the one test of the simulator: a cluster by itself has a single thread.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <thread>

#include "simulation/run.h"

namespace supercloud {
namespace {

std::uint64_t digest_of_a_run(std::uint64_t seed, bool market) {
  RunOptions options;
  options.seed = seed;
  options.cluster.market = market;
  const RunResult result = run_simulation(options);
  EXPECT_TRUE(result.violations.empty()) << "seed " << seed;
  return result.log_digest;
}

TEST(SideBySide, clusters_share_nothing) {
  for (const bool market : {false, true}) {
    const std::array<std::uint64_t, 2> alone = {digest_of_a_run(1, market),
                                                digest_of_a_run(2, market)};
    EXPECT_NE(alone[0], alone[1]);
    std::array<std::uint64_t, 2> together{};
    std::thread other([&] { together[0] = digest_of_a_run(1, market); });
    together[1] = digest_of_a_run(2, market);
    other.join();
    EXPECT_EQ(together, alone);
  }
}

}  // namespace
}  // namespace supercloud
