// The implementations of the lease table, each as the conformance suite drives it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/lease_table.h"
#include "tests/storage/driven_scheduler.h"

namespace supercloud {

inline constexpr Duration test_ttl = absl::Seconds(10);

class LeaseHarness {
 public:
  virtual ~LeaseHarness() = default;
  virtual LeaseTable& table() = 0;
  // The table's process is killed and starts again, at the same moment of virtual time.
  virtual void restart() = 0;
  // Its blocking work runs on another thread.
  virtual bool threaded() const = 0;

  DrivenScheduler scheduler;

  // Calls that are waited for.
  absl::StatusOr<Session> open(std::string node, std::string identity = "disk-1");
  absl::StatusOr<Done> renew(SessionId session);
  absl::StatusOr<Done> end(SessionId session);
  absl::StatusOr<SwapResult> swap(Swap swap);
  absl::StatusOr<LeaseRecord> read(std::string key);
  absl::StatusOr<std::vector<LeaseRecord>> list(LeaseQuery query = {});
};

struct LeaseHarnessKind {
  std::string name;
  std::unique_ptr<LeaseHarness> (*make)();
};
// Memory, RocksDB, and a memory table behind a LeaseSite on another node.
std::vector<LeaseHarnessKind> lease_harness_kinds();

}  // namespace supercloud
