// The implementations of the lease table, each as the conformance suite drives it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/lease_table.h"

namespace supercloud {

inline constexpr Duration test_ttl = absl::Seconds(10);  // in virtual time

class LeaseHarness {
 public:
  virtual ~LeaseHarness() = default;
  virtual LeaseTable& table() = 0;
  // The table's process is killed and starts again; where time is virtual, at the same moment of it.
  virtual void restart() = 0;

  virtual Instant now() = 0;
  virtual void run_until(Instant when) = 0;
  // Runs until `done` holds; false: nothing more comes, or not in time.
  virtual bool drive(absl::FunctionRef<bool()> done) = 0;
  void run_for(Duration span) { run_until(now() + span); }

  virtual Duration ttl() const { return test_ttl; }
  // How long after it was opened or renewed a session is sure to live as the test looks.
  virtual Duration last_moment() const { return ttl() - absl::Nanoseconds(1); }
  // Whether `condition` holds as the TTL of something has passed: where the table's clock is its own, soon after.
  virtual bool soon(absl::FunctionRef<bool()> condition) { return condition(); }

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
// Those that the program was linked with: lease_harness_kinds.cpp, or etcd/etcd_harness.cpp.
std::vector<LeaseHarnessKind> lease_harness_kinds();

}  // namespace supercloud
