// Measures one thing after another for a set time each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/bench/result.h"

namespace supercloud {

// How long so many messages took.
struct BenchSample {
  double seconds = 0;
  std::uint64_t count = 1;
};

// One thing that can be measured, and how it is done once.
struct BenchPlan {
  std::string name, what;
  bool rate = false;
  std::function<absl::StatusOr<BenchSample>()> once;
};

struct BenchRun {
  double seconds = 10;              // of each plan, after a fifth of that to get warm
  std::function<bool()> stop;       // true: end, with what there is
  std::function<absl::Time()> now;  // the clock
  // After every sample: what is measured, and how much of the whole is done (0 to 1).
  std::function<void(const std::string& what, double done)> told;
};

// Into how many parts the time of a plan is cut: what a comparison draws from.
inline constexpr int bench_parts = 25;

// Adds a measure for each plan that gave a sample, at least one. OK after a stop too, and result.complete is false then; else what `once` says.
absl::Status run_bench(const std::vector<BenchPlan>& plans, const BenchRun& run,
                       BenchResult& result);

}  // namespace supercloud
