// Memory, RocksDB, and a memory table behind a LeaseSite on another node: all but their disks in virtual time.

#include <utility>

#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/node.h"
#include "storage/lease_site.h"
#include "storage/remote_lease_table.h"
#include "storage/rocks_lease_table.h"
#include "storage/simulated/memory_event_log.h"
#include "storage/simulated/memory_lease_table.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/lease_harness.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

// Nothing takes time by itself, so that a session's last moment can be told exactly.
MemoryLeaseTableOptions instant_table() {
  return {.table = {.ttl = test_ttl}, .sync_latency = absl::ZeroDuration()};
}

class VirtualLeaseHarness : public LeaseHarness {
 public:
  Instant now() override { return scheduler.now(); }
  void run_until(Instant when) override { scheduler.run_until(when); }
  bool drive(absl::FunctionRef<bool()> done) override { return scheduler.drive(done, threaded()); }

 protected:
  // Its blocking work runs on another thread.
  virtual bool threaded() const { return false; }

  DrivenScheduler scheduler;
};

class MemoryLeaseHarness final : public VirtualLeaseHarness {
 public:
  MemoryLeaseHarness() { restart(); }
  LeaseTable& table() override { return *table_; }
  void restart() override {
    table_.reset();
    table_ = std::make_unique<MemoryLeaseTable>(scheduler, disk_, instant_table());
  }

 private:
  MemoryLeaseDisk disk_;
  std::unique_ptr<MemoryLeaseTable> table_;
};

class RocksLeaseHarness final : public VirtualLeaseHarness {
 public:
  RocksLeaseHarness() { restart(); }
  LeaseTable& table() override { return *table_; }
  void restart() override {
    table_.reset();
    absl::StatusOr<std::unique_ptr<LeaseTable>> opened = open_rocks_lease_table(
        scheduler, {.path = folder_ / "leases", .cluster = "test", .table = {.ttl = test_ttl}});
    ASSERT_TRUE(opened.ok()) << opened.status();
    table_ = *std::move(opened);
  }

 private:
  bool threaded() const override { return true; }

  TemporaryFolder folder_;
  std::unique_ptr<LeaseTable> table_;
};

class NobodyListens final : public BusReceiver {
 public:
  void on_event(Event) override {}
  void on_gap(const BusGap&) override {}
  void on_request(std::string, std::string, Reply<std::string> answer) override {
    answer(absl::NotFoundError("no actors here"));
  }
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool) override {}
};

class RemoteLeaseHarness final : public VirtualLeaseHarness {
 public:
  RemoteLeaseHarness()
      : network_(scheduler, Random(1)), client_bus_("client", network_, scheduler, pool_) {
    network_.set_faults({.delay_min = absl::ZeroDuration(), .delay_max = absl::ZeroDuration()});
    client_bus_.start(client_, {});
    start_site();
    table_ = std::make_unique<RemoteLeaseTable>(scheduler, client_bus_, "site");
    scheduler.run_for(absl::Seconds(3));  // both have heard of each other
  }
  ~RemoteLeaseHarness() override {
    table_.reset();
    stop_site();
  }
  LeaseTable& table() override { return *table_; }
  void restart() override {
    stop_site();
    start_site();
    scheduler.run_for(absl::Seconds(2));  // the new process has been heard
  }

 private:
  void start_site() {
    site_table_ = std::make_unique<MemoryLeaseTable>(scheduler, lease_disk_, instant_table());
    log_ = std::make_unique<MemoryEventLog>(scheduler, pool_, log_disk_);
    site_bus_ = std::make_unique<SimulatedBus>("site", network_, scheduler, pool_);
    site_ = std::make_unique<Node>(NodeSeams{scheduler, *site_bus_, *log_, pool_},
                                   NodeOptions{.name = "site"});
    site_->spawn(std::string(lease_site_actor),
                 [this](Context&) { return std::make_unique<LeaseSite>(*site_table_); });
  }
  void stop_site() {
    site_.reset();
    site_bus_.reset();
    log_.reset();
    site_table_.reset();
  }

  EventPool pool_;
  SimulatedNetwork network_;
  NobodyListens client_;
  SimulatedBus client_bus_;
  MemoryLeaseDisk lease_disk_;
  MemoryLogDisk log_disk_;
  std::unique_ptr<MemoryLeaseTable> site_table_;
  std::unique_ptr<MemoryEventLog> log_;
  std::unique_ptr<SimulatedBus> site_bus_;
  std::unique_ptr<Node> site_;
  std::unique_ptr<RemoteLeaseTable> table_;
};

template <class Harness>
std::unique_ptr<LeaseHarness> make() {
  return std::make_unique<Harness>();
}

}  // namespace

std::vector<LeaseHarnessKind> lease_harness_kinds() {
  return {{"memory", make<MemoryLeaseHarness>},
          {"rocks", make<RocksLeaseHarness>},
          {"remote", make<RemoteLeaseHarness>}};
}

}  // namespace supercloud
