// What a run of `supercloud bench bus` found, and the file it is kept in. docs/program.md has every field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/measure/percentiles.h"

namespace supercloud {

// Between what it was.
struct BenchSubject {
  bool processes = false;         // two of the program's own; else two nodes of a cluster
  std::string transport;          // of processes
  std::string cluster, from, to;  // of nodes
  std::uint64_t bytes = 0;        // of a message, all included

  std::string sentence() const;
};

// Durations in seconds; empty where too few were counted.
struct BenchFigures {
  std::optional<double> p50, p90, p99, p999;
  double min = 0, max = 0, mean = 0;

  static BenchFigures of(const Percentiles& percentiles);
};

struct BenchMeasure {
  std::string name;  // "round_trip", "throughput", "durable_publish"
  std::string what;  // for people
  bool rate = false;
  std::uint64_t warm_up = 0, count = 0;  // messages
  BenchFigures took;                     // unless it is a rate
  // Of each part of the time, in its order: messages per second, or the median duration in seconds; what a comparison draws from.
  std::vector<double> parts;
  std::vector<double> parts_p99;  // of durations, where a part has enough of them
};

struct BenchResult {
  std::string started;  // RFC 3339
  BenchSubject subject;
  double seconds = 0;     // of each measure, without what it took to get warm
  bool complete = false;  // not interrupted
  std::vector<BenchMeasure> measures;

  const BenchMeasure* find(std::string_view name) const;
};

// One thing that two results have in common.
struct BenchChange {
  std::string measure, figure;          // "round_trip", "p99"
  double now = 0, earlier = 0;          // medians of the parts: seconds, or messages per second
  double ratio = 0, low = 0, high = 0;  // now / earlier, with its 95 % interval
  std::string verdict;                  // "better", "worse", "not resolved"
};

struct BenchComparison {
  std::string with;  // the file
  BenchSubject earlier;
  std::vector<BenchChange> changes;
};

// `comparison` may be null.
std::string bench_json(const BenchResult& result, const BenchComparison* comparison);
// InvalidArgument: "file: where: what; cure".
absl::StatusOr<BenchResult> parse_bench_result(std::string_view json, const std::string& file);

// FailedPrecondition: two different things, `what is to be said on the command line` included.
absl::Status check_comparable(const BenchSubject& now, const BenchSubject& earlier,
                              const std::string& file);
BenchComparison compare_bench(const BenchResult& now, const BenchResult& earlier,
                              const std::string& file);

}  // namespace supercloud
