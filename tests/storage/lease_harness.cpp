#include "tests/storage/lease_harness.h"

#include <utility>

#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/node.h"
#include "storage/lease_site.h"
#include "storage/remote_lease_table.h"
#include "storage/rocks_lease_table.h"
#include "storage/simulated/memory_event_log.h"
#include "storage/simulated/memory_lease_table.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

// Nothing takes time by itself, so that a session's last moment can be told exactly.
MemoryLeaseTableOptions instant_table() {
  return {.table = {.ttl = test_ttl}, .sync_latency = absl::ZeroDuration()};
}

class MemoryLeaseHarness final : public LeaseHarness {
 public:
  MemoryLeaseHarness() { restart(); }
  LeaseTable& table() override { return *table_; }
  void restart() override {
    table_.reset();
    table_ = std::make_unique<MemoryLeaseTable>(scheduler, disk_, instant_table());
  }
  bool threaded() const override { return false; }

 private:
  MemoryLeaseDisk disk_;
  std::unique_ptr<MemoryLeaseTable> table_;
};

class RocksLeaseHarness final : public LeaseHarness {
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
  bool threaded() const override { return true; }

 private:
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

class RemoteLeaseHarness final : public LeaseHarness {
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
  bool threaded() const override { return false; }

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

absl::StatusOr<Session> LeaseHarness::open(std::string node, std::string identity) {
  return scheduler.wait<Session>(
      [&](Reply<Session> reply) { table().open_session({node, identity}, std::move(reply)); },
      threaded());
}

absl::StatusOr<Done> LeaseHarness::renew(SessionId session) {
  return scheduler.wait<Done>([&](Reply<Done> reply) { table().renew(session, std::move(reply)); },
                              threaded());
}

absl::StatusOr<Done> LeaseHarness::end(SessionId session) {
  return scheduler.wait<Done>(
      [&](Reply<Done> reply) { table().end_session(session, std::move(reply)); }, threaded());
}

absl::StatusOr<SwapResult> LeaseHarness::swap(Swap swap) {
  return scheduler.wait<SwapResult>(
      [&](Reply<SwapResult> reply) { table().swap(swap, std::move(reply)); }, threaded());
}

absl::StatusOr<LeaseRecord> LeaseHarness::read(std::string key) {
  return scheduler.wait<LeaseRecord>(
      [&](Reply<LeaseRecord> reply) { table().read(key, std::move(reply)); }, threaded());
}

absl::StatusOr<std::vector<LeaseRecord>> LeaseHarness::list(LeaseQuery query) {
  return scheduler.wait<std::vector<LeaseRecord>>(
      [&](Reply<std::vector<LeaseRecord>> reply) { table().list(query, std::move(reply)); },
      threaded());
}

std::vector<LeaseHarnessKind> lease_harness_kinds() {
  return {{"memory", make<MemoryLeaseHarness>},
          {"rocks", make<RocksLeaseHarness>},
          {"remote", make<RemoteLeaseHarness>}};
}

}  // namespace supercloud
