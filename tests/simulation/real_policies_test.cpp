// The policy smart-spot on real prices, with the whole choreography, beside the least that was possible and the best fixed threshold.
// `make bench` prints the whole table (bench/simulation/policy_table.cpp).
#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <iostream>
#include <utility>

#include "absl/strings/str_format.h"
#include "bench/simulation/real_traces.h"

namespace supercloud {

void PrintTo(const RealTrace& trace, std::ostream* out) { *out << trace.name; }

namespace {

class RealPolicies : public testing::TestWithParam<RealTrace> {};

TEST_P(RealPolicies, smart_spot_saves_nearly_what_was_possible_and_is_never_caught) {
  const RealTrace& trace = GetParam();
  if (!std::filesystem::exists(path_of(trace)))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  const auto strategy = replay(replay_options(trace, "smart-spot"), "smart-spot");
  ASSERT_TRUE(strategy.ok()) << strategy.status();
  EXPECT_EQ(strategy->caught, 0);
  EXPECT_EQ(strategy->failures, 0);
  const auto best = possible(trace);
  ASSERT_TRUE(best.ok()) << best.status();
  const Money on_demand = trace.paid_on_demand();
  const auto part = [](Money a, Money b) {
    return static_cast<double>(a.nano_usd) / static_cast<double>(b.nano_usd);
  };
  const double reached = part(on_demand - strategy->cost, on_demand - best->least);
  EXPECT_GE(reached, 0.95);
  EXPECT_LE(reached, 1);
  EXPECT_LE(part(strategy->cost - trace.best_threshold, on_demand), 0.005)
      << "of what on-demand costs";
  EXPECT_LE(strategy->moves, best->moves_allowed + trace.moves_over)
      << strategy->revocations << " of them flights";
  std::cout << trace.name << ": " << absl::StrFormat("%.2f %%", 100 * reached)
            << " of what was possible, " << strategy->moves << " moves of " << best->moves_allowed
            << ", " << strategy->revocations << " revocations, " << to_string(strategy->cost)
            << "\n";
}

// Launch and migration take all that a notice gives, less 10 s.
TEST(RealWeeks, nobody_is_caught_where_a_move_just_fits_into_the_notice) {
  for (const RealTrace& trace : real_traces()) {
    if (trace.to - trace.from > 7 * 24 * 3600) continue;
    if (!std::filesystem::exists(path_of(trace)))
      GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
    for (const auto& [launch, migration] :
         std::initializer_list<std::pair<int, int>>{{20, 90}, {80, 30}, {100, 10}}) {
      ReplayOptions options = replay_options(trace, "smart-spot");
      options.model.launch_delay = absl::Seconds(launch);
      options.model.migration = absl::Seconds(migration);
      const auto strategy = replay(options, "smart-spot");
      ASSERT_TRUE(strategy.ok()) << strategy.status();
      EXPECT_GE(strategy->revocations, 1);
      EXPECT_EQ(strategy->caught, 0) << trace.name << ", " << launch << " + " << migration;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Traces, RealPolicies, testing::ValuesIn(real_traces()));

}  // namespace
}  // namespace supercloud
