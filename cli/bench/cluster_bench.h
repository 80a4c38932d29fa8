// Two nodes of a cluster that runs: the one measures the way to the other when it is asked to (actors/latency/link_probe.h), one little job
// after another, so that nothing is left to be ended when who asks goes away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/bench/run.h"
#include "cli/cluster_target.h"

namespace supercloud {

struct ClusterBenchOptions {
  std::string from, to;        // empty: chosen among those that run
  std::size_t bytes = 256;     // of a message, all included
  std::function<bool()> stop;  // true: an answer is waited for no longer
};

// Thread-bound; calls block; the plans use it.
class ClusterBench {
 public:
  // Unavailable: what ClusterClient::connect says; NotFound: no such node, with near names; FailedPrecondition: fewer than two nodes that can,
  // or one that is asked for cannot; PermissionDenied: the own key may not make requests; Cancelled: stopped.
  static absl::StatusOr<std::unique_ptr<ClusterBench>> connect(const ClusterTarget& target,
                                                               ClusterBenchOptions options);

  BenchSubject subject() const;
  std::vector<BenchPlan> plans();

 private:
  ClusterBench(ClusterTarget target, ClusterBenchOptions options,
               std::unique_ptr<ClusterClient> client);
  absl::Status choose();
  absl::Status check(const std::string& node);
  // What `node` says when it is to reach for `resource`.
  absl::StatusOr<std::string> ask(const std::string& node, const std::string& resource,
                                  std::uint64_t messages);
  absl::StatusOr<BenchSample> measure(std::uint64_t messages);

  const ClusterTarget target_;
  ClusterBenchOptions options_;
  std::unique_ptr<ClusterClient> client_;
  std::string content_;
};

// Of a node's answer, what it took. InvalidArgument: it is none.
absl::StatusOr<BenchSample> parse_probe_answer(const std::string& json);

}  // namespace supercloud
