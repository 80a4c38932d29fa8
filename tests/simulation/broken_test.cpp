// The checkers can fail: whatever is broken in tests/simulation/broken/ is caught within 200 seeds, and under the same faults
// and the seed that caught it the real parts stay clean.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/simulation/broken/breakage.h"

namespace supercloud {

// GoogleTest's own way would be the bytes.
void PrintTo(const Breakage& breakage, std::ostream* out) { *out << breakage.name; }

namespace {

constexpr std::uint64_t seeds_max = 200;

std::vector<Breakage> breakages() {
  std::vector<Breakage> all = broken_decisions();
  for (Breakage& breakage : broken_parts()) all.push_back(std::move(breakage));
  return all;
}

class Broken : public testing::TestWithParam<Breakage> {};

RunOptions circumstances(const Breakage& breakage, std::uint64_t seed) {
  RunOptions run;
  run.seed = seed;
  run.cluster.market = false;
  breakage.circumstances(run);
  return run;
}

TEST_P(Broken, is_caught_within_200_seeds) {
  const Breakage& breakage = GetParam();
  for (std::uint64_t seed = 1; seed <= seeds_max; ++seed) {
    RunOptions run = circumstances(breakage, seed);
    run.cluster.adjust = breakage.put_in;
    for (const Violation& violation : run_simulation(run).violations) {
      if (violation.rule.rfind(breakage.caught, 0) != 0) continue;
      std::cout << breakage.name << " (against rule " << breakage.rule << ") caught by seed "
                << seed << " after " << static_cast<double>(violation.at.ns) / 1e9
                << " s: " << violation.rule << ": " << violation.what << "\n";
      for (const Violation& wrong : run_simulation(circumstances(breakage, seed)).violations)
        ADD_FAILURE() << "seed " << seed << " with nothing broken: " << wrong.rule << ": "
                      << wrong.what;
      return;
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
