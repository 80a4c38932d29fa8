// The checkers can fail: whatever is broken in tests/simulation/broken/ is caught within 200 seeds, and under the same faults
// and the seed that caught it the real parts stay clean.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/broken/breakage.h"

namespace supercloud {

// GoogleTest's own way would be the bytes.
void PrintTo(const Breakage& breakage, std::ostream* out) { *out << breakage.name; }

namespace {

constexpr std::uint64_t seeds_max = 200;

std::vector<Breakage> breakages() {
  std::vector<Breakage> all = broken_decisions();
  for (Breakage& breakage : broken_parts()) all.push_back(std::move(breakage));
  for (Breakage& breakage : broken_buses()) all.push_back(std::move(breakage));
  for (Breakage& breakage : broken_archives()) all.push_back(std::move(breakage));
  for (Breakage& breakage : broken_hubs()) all.push_back(std::move(breakage));
  for (Breakage& breakage : broken_followers()) all.push_back(std::move(breakage));
  return all;
}

class Broken : public testing::TestWithParam<Breakage> {};

RunOptions circumstances(const Breakage& breakage, std::uint64_t seed) {
  RunOptions run;
  run.seed = seed;
  run.cluster.market = false;
  run.keys = false;
  run.hubs = false;
  breakage.circumstances(run);
  return run;
}

// Both from the environment, for looking at one seed.
std::uint64_t first_seed() {
  const char* seed = std::getenv("SUPERCLOUD_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}
bool trace() { return std::getenv("SUPERCLOUD_TRACE") != nullptr; }

// Under the same faults, with nothing broken.
void expect_clean(const Breakage& breakage, std::uint64_t seed) {
  RunOptions run = circumstances(breakage, seed);
  run.keep_history = trace();
  const RunResult result = run_simulation(run);
  for (const std::string& line : result.story) std::cerr << line << "\n";
  for (const Violation& violation : result.violations)
    ADD_FAILURE() << "seed " << seed << " with nothing broken: " << violation.rule << ": "
                  << violation.what;
}

TEST_P(Broken, is_caught_within_200_seeds) {
  const Breakage& breakage = GetParam();
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + seeds_max; ++seed) {
    RunOptions run = circumstances(breakage, seed);
    run.cluster.adjust = breakage.put_in;
    run.cluster.adjust_hub = breakage.put_in_hub;
    for (const Violation& violation : run_simulation(run).violations) {
      if (!violation.rule.starts_with(breakage.caught)) continue;
      std::cout << breakage.name << " (against rule " << breakage.rule << ") caught by seed "
                << seed << " after " << static_cast<double>(violation.at.ns) / 1e9
                << " s: " << violation.rule << ": " << violation.what << "\n";
      return expect_clean(breakage, seed);
    }
  }
  ADD_FAILURE() << breakage.name << " was not caught by " << seeds_max << " seeds";
}

std::string name_of(const testing::TestParamInfo<Breakage>& breakage) {
  return breakage.param.name;
}

INSTANTIATE_TEST_SUITE_P(, Broken, testing::ValuesIn(breakages()), name_of);

}  // namespace
}  // namespace supercloud
