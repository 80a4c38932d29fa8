// Two processes of this program's own, and a log of its own: what this machine can do, without a cluster.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/bench/run.h"
#include "cli/measure/bus_lane.h"
#include "cli/measure/disk_lane.h"

namespace supercloud {

struct LocalBenchOptions {
  std::size_t bytes = 256;
  bool tcp = false;              // with CURVE, by keys made for it; else ipc
  std::filesystem::path folder;  // the log is on its disk
};

// Thread-bound; the plans use it.
class LocalBench {
 public:
  // Forks: the caller has no threads yet.
  static absl::StatusOr<std::unique_ptr<LocalBench>> start(const LocalBenchOptions& options);

  BenchSubject subject() const;
  std::vector<BenchPlan> plans();

 private:
  explicit LocalBench(const LocalBenchOptions& options);
  absl::StatusOr<BenchSample> burst(int messages);
  absl::StatusOr<BenchSample> store();

  const LocalBenchOptions options_;
  std::unique_ptr<Lane> lane_;
  std::unique_ptr<DiskLane> log_;  // null until it is first asked for
};

}  // namespace supercloud
