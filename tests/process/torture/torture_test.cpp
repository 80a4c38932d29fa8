// The bus loses nothing in silence: real processes with real logs, killed, stopped and cut off at random while events flow.
//
//   SUPERCLOUD_TORTURE=N       so many durable events over each transport, instead of the few that fit into a minute
//   SUPERCLOUD_TORTURE_SEED=N  the run that a failure has printed; without, another one each time
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/process/torture/member.h"
#include "tests/process/torture/run.h"

namespace supercloud::torture {
namespace {

std::uint64_t number(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint64_t seed() {
  static const std::uint64_t drawn =
      number("SUPERCLOUD_TORTURE_SEED", std::random_device()() % 1'000'000);
  return drawn;
}

RunResult run_and_tell(const RunOptions& options) {
  std::cout << "seed " << options.seed << std::endl;
  RunResult result = run(options);
  std::cout << result.summary(options) << std::endl;
  for (const std::string& what : result.broken)
    ADD_FAILURE() << "seed " << options.seed << ": " << what;
  return result;
}

// Transport, and queues.
class Torture : public testing::TestWithParam<std::tuple<bool, bool>> {};

INSTANTIATE_TEST_SUITE_P(Over, Torture, testing::Combine(testing::Bool(), testing::Bool()),
                         [](const auto& run) {
                           return std::string(std::get<0>(run.param) ? "tcp" : "ipc") +
                                  (std::get<1>(run.param) ? "_with_short_queues" : "");
                         });

TEST_P(Torture, nothing_is_lost_doubled_or_out_of_order) {
  const RunOptions options{.tcp = std::get<0>(GetParam()),
                           .short_queues = std::get<1>(GetParam()),
                           .events = number("SUPERCLOUD_TORTURE", 5500),
                           .seed = seed()};
  const RunResult result = run_and_tell(options);
  EXPECT_TRUE(result.verdict.good()) << "SUPERCLOUD_TORTURE_SEED=" << options.seed;
  for (const std::string& what : result.verdict.wrong) ADD_FAILURE() << what;
  EXPECT_EQ(result.unsaid, 0U) << "every gap that the bus told is an event";
  EXPECT_GE(result.acknowledged, options.events);
  EXPECT_GT(result.verdict.owed, result.acknowledged / 4) << "else it shows little";
  EXPECT_GT(result.given, 0U) << "something had to be repaired";
}

TEST(TortureWithoutRepair, misses_acknowledged_events_and_names_every_one) {
  const RunOptions options{.repair = false, .events = 2000, .seed = seed()};
  const RunResult result = run_and_tell(options);
  EXPECT_GT(result.verdict.unreached, 0U) << "else this test cannot tell whether repair works";
  EXPECT_GT(result.verdict.named, 0U);
  EXPECT_EQ(result.verdict.silent + result.verdict.disordered + result.verdict.altered +
                result.verdict.unlogged + result.unsaid,
            0U)
      << "seed " << options.seed << ": " << testing::PrintToString(result.verdict.wrong);
  EXPECT_EQ(result.given, 0U);
}

}  // namespace
}  // namespace supercloud::torture

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "member")
    return supercloud::torture::run_member({argv + 2, argv + argc});
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
