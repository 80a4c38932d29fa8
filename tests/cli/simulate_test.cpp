// supercloud simulate: the same words for any number of threads, failing seeds, Ctrl-C. Most runs here are pretended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/simulate_command.h"

namespace supercloud {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Seeds that 7 divides break a rule.
RunResult pretended(std::uint64_t seed) {
  RunResult result;
  result.seed = seed;
  result.accepted = 3;
  result.completed = 2;
  result.aborted = 1;
  result.events = seed;
  result.simulated = absl::Seconds(100);
  if (seed % 7 == 0) {
    result.violations.push_back(
        {.at = {12'345'000'000}, .rule = "1: at most one effective copy", .what = "two of web0"});
    result.violations.push_back(
        {.at = {13'000'000'000}, .rule = "2: every write survives", .what = "one is lost"});
  }
  return result;
}

struct Simulated {
  int exit_code = 0;
  std::string out, progress;
};

Simulated say(const SimulateOptions& options, const SeedRun& run,
              std::function<bool()> stop = nullptr) {
  std::ostringstream out, progress;
  Simulated said;
  said.exit_code = simulate(
      options, {.out = out, .progress = progress, .live = false, .stop = std::move(stop)}, run);
  said.out = out.str();
  said.progress = progress.str();
  return said;
}

TEST(Simulate,
     names_failing_seeds_with_their_first_violation_and_the_command_that_tells_the_story) {
  const Simulated said = say({.first = 1, .seeds = 20, .nodes = 6, .market = false}, pretended);
  EXPECT_EQ(said.exit_code, exit_failed);
  EXPECT_THAT(said.out, HasSubstr("seed 7: an invariant broke at 12.345 s"));
  EXPECT_THAT(said.out, HasSubstr("1: at most one effective copy"));
  EXPECT_THAT(said.out, HasSubstr("and 1 more violation after it"));
  EXPECT_THAT(said.out, HasSubstr("supercloud simulate --trace --seed 14 --nodes 6 --no-market"));
  EXPECT_THAT(said.out, HasSubstr("failing seeds: 7 14\n"));
  EXPECT_THAT(said.out, HasSubstr("60 accepted, 40 completed, 20 aborted"));
}

TEST(Simulate, has_a_market_unless_it_is_told_otherwise) {
  EXPECT_TRUE(SimulateOptions{}.market);
  EXPECT_THAT(say({.first = 7, .seeds = 1}, pretended).out,
              HasSubstr("see it: supercloud simulate --trace --seed 7\n"));
  SimulateOptions options;
  const RunResult with = run_seed(options, 1);
  options.market = false;
  EXPECT_NE(with.log_digest, run_seed(options, 1).log_digest);
}

TEST(Simulate, succeeds_where_every_invariant_held) {
  const Simulated said = say({.first = 1, .seeds = 6}, pretended);
  EXPECT_EQ(said.exit_code, exit_ok);
  EXPECT_THAT(said.out, HasSubstr("6 seeds from 1: every invariant held"));
}

TEST(Simulate, says_the_same_for_any_number_of_threads) {
  const auto answer = [](unsigned threads) {
    auto json = nlohmann::json::parse(
        say({.first = 5, .seeds = 300, .json = true, .threads = threads}, pretended).out);
    json.erase("wall_s");
    return json;
  };
  const auto one = answer(1);
  EXPECT_EQ(one["seeds"]["ran"], 300);
  EXPECT_EQ(one["failed"].size(), 43U);
  EXPECT_EQ(one["failed"][0]["seed"], 7);
  EXPECT_EQ(one["totals"]["events"], (5 + 304) * 150);
  EXPECT_EQ(answer(8), one);
}

TEST(Simulate, stops_cleanly_and_says_how_many_ran) {
  std::atomic<int> begun = 0;
  const auto run = [&](std::uint64_t seed) {
    ++begun;
    return pretended(seed);
  };
  const Simulated said =
      say({.first = 1, .seeds = 1'000'000'000, .threads = 2}, run, [&] { return begun > 3; });
  EXPECT_THAT(said.out,
              HasSubstr("stopped after " + std::to_string(begun.load()) + " of 1000000000 seeds"));
  EXPECT_EQ(said.exit_code, begun.load() >= 7 ? static_cast<int>(exit_failed) : exit_interrupted);
}

TEST(Simulate, tells_the_story_of_one_seed) {
  const auto run = [](std::uint64_t seed) {
    RunResult result = pretended(seed);
    result.story = {"0.1 first", "0.2 second"};
    return result;
  };
  const Simulated said = say({.first = 3, .seeds = 1, .trace = true}, run);
  EXPECT_THAT(said.out, HasSubstr("0.1 first\n0.2 second\n"));
  EXPECT_THAT(said.out, Not(HasSubstr("see it:")));
}

TEST(Simulate, a_real_seed_comes_to_the_same_in_two_threads_at_once) {
  SimulateOptions options;
  options.trace = true;
  RunResult a, b;
  std::thread first([&] { a = run_seed(options, 3); }), second([&] { b = run_seed(options, 3); });
  first.join();
  second.join();
  EXPECT_EQ(a.log_digest, b.log_digest);
  EXPECT_EQ(a.story, b.story);
  EXPECT_FALSE(a.story.empty());
}

TEST(SeedRunnerDeathTest, a_run_that_ends_the_process_says_which_seed_it_was) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(run_seeds({.first = 40, .count = 5}, 1,
                         [](std::uint64_t seed) {
                           if (seed == 42) std::abort();
                           return pretended(seed);
                         },
                         {}),
               "ends in seed 42");
}

TEST(SeedRunnerDeathTest, and_the_command_that_shows_it_in_the_same_cluster) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(say({.first = 40, .seeds = 5, .nodes = 6, .vms = 2, .market = false, .threads = 2},
                   [](std::uint64_t seed) {
                     if (seed == 42) std::abort();
                     return pretended(seed);
                   }),
               "`supercloud simulate --trace --seed 42 --nodes 6 --vms 2 --no-market`");
}

}  // namespace
}  // namespace supercloud
