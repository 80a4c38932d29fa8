// A lease table on a real etcd, in real time.
#pragma once

#include <memory>
#include <string>

#include "core/event_loop.h"
#include "storage/etcd/etcd_lease_table.h"
#include "tests/storage/etcd/etcd_server.h"
#include "tests/storage/lease_harness.h"

namespace supercloud {

inline constexpr Duration etcd_patience = absl::Seconds(60);

// The one that all tests of this program share: each has keys of its own. Null: this machine has none.
EtcdServer* shared_etcd();
// Another with each call.
std::string new_prefix();

// Its server must be there.
class EtcdLeaseHarness final : public LeaseHarness {
 public:
  explicit EtcdLeaseHarness(EtcdServer& server, std::string prefix = new_prefix());

  LeaseTable& table() override { return *table_; }
  void restart() override;
  Instant now() override { return loop.clock().now(); }
  void run_until(Instant when) override;
  bool drive(absl::FunctionRef<bool()> done) override {
    return loop.run_until(done, etcd_patience);
  }
  // etcd looks for leases that are over twice a second. Where a test has a processor for half of its time, it still sees one live.
  Duration ttl() const override { return absl::Seconds(3); }
  Duration last_moment() const override { return ttl() * 0.6; }
  bool soon(absl::FunctionRef<bool()> condition) override;

  EventLoop loop;

 private:
  EtcdServer& server_;
  std::unique_ptr<LeaseTable> table_;
};

}  // namespace supercloud
