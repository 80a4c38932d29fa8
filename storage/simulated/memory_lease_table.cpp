#include "storage/simulated/memory_lease_table.h"

#include <utility>

namespace supercloud {

class MemoryLeaseTable::Store final : public LeaseStore {
 public:
  Store(Scheduler& scheduler, MemoryLeaseDisk& disk, Duration latency)
      : scheduler_(scheduler), disk_(disk), latency_(latency) {}
  ~Store() override { scheduler_.cancel(timer_); }

  void commit(LeaseChanges changes, Reply<Done> reply) override {
    syncing_ = std::move(changes);
    reply_ = std::move(reply);
    timer_ = scheduler_.at(scheduler_.clock().now() + latency_, [this] { synced(); });
  }

  void load(Reply<LeaseContents> reply) override {
    loading_ = std::move(reply);
    timer_ = scheduler_.at(scheduler_.clock().now() + latency_, [this] {
      timer_ = 0;
      std::exchange(loading_, {})(disk_.contents);
    });
  }

  void fail_syncs(std::uint64_t count) { syncs_to_fail_ = count; }

  void finish_sync() {
    if (reply_) apply();
  }

 private:
  void apply() {
    if (!syncing_.leases.empty()) ++disk_.lease_changes;
    syncing_.apply_to(disk_.contents);
  }

  void synced() {
    timer_ = 0;
    const bool failed = syncs_to_fail_ > 0;
    if (failed) --syncs_to_fail_;
    if (!failed || syncs_to_fail_ % 2 == 0) apply();
    syncing_ = {};
    Reply<Done> reply = std::exchange(reply_, {});
    if (failed) {
      reply(absl::ResourceExhaustedError("the simulated disk is full; free some space"));
    } else {
      reply(Done{});
    }
  }

  Scheduler& scheduler_;
  MemoryLeaseDisk& disk_;
  const Duration latency_;
  LeaseChanges syncing_;
  Reply<Done> reply_;  // set: a sync is under way
  Reply<LeaseContents> loading_;
  TimerId timer_ = 0;
  std::uint64_t syncs_to_fail_ = 0;
};

MemoryLeaseTable::MemoryLeaseTable(Scheduler& scheduler, MemoryLeaseDisk& disk,
                                   MemoryLeaseTableOptions options)
    : scheduler_(scheduler) {
  auto store = std::make_unique<Store>(scheduler, disk, options.sync_latency);
  store_ = store.get();
  table_ = std::make_unique<DurableLeaseTable>(scheduler, std::move(store), disk.contents,
                                               options.table);
}

MemoryLeaseTable::~MemoryLeaseTable() = default;

void MemoryLeaseTable::fail_syncs(std::uint64_t count) { store_->fail_syncs(count); }

void MemoryLeaseTable::finish_sync() { store_->finish_sync(); }

template <class T>
bool MemoryLeaseTable::admit(Reply<T>& reply) {
  if (outage_) {
    scheduler_.post([reply = std::move(reply)]() mutable {
      reply(absl::UnavailableError("the lease table does not answer (simulated outage)"));
    });
    return false;
  }
  if (replies_to_lose_ > 0) {
    --replies_to_lose_;
    reply = Reply<T>(reply.deadline(), [](absl::StatusOr<T>) {});
  }
  return true;
}

void MemoryLeaseTable::open_session(OpenSession request, Reply<Session> reply) {
  if (admit(reply)) table_->open_session(std::move(request), std::move(reply));
}

void MemoryLeaseTable::renew(SessionId session, Reply<Done> reply) {
  if (admit(reply)) table_->renew(std::move(session), std::move(reply));
}

void MemoryLeaseTable::end_session(SessionId session, Reply<Done> reply) {
  if (admit(reply)) table_->end_session(std::move(session), std::move(reply));
}

void MemoryLeaseTable::swap(Swap swap, Reply<SwapResult> reply) {
  const Duration held_up = swap_gate_ ? swap_gate_(swap) : absl::ZeroDuration();
  if (held_up <= absl::ZeroDuration()) return arrived(std::move(swap), std::move(reply));
  scheduler_.at(scheduler_.clock().now() + held_up,
                [this, alive = std::weak_ptr<char>(alive_), swap = std::move(swap),
                 reply = std::move(reply)]() mutable {
                  if (!alive.expired()) arrived(std::move(swap), std::move(reply));
                });
}

void MemoryLeaseTable::arrived(Swap swap, Reply<SwapResult> reply) {
  if (admit(reply)) table_->swap(std::move(swap), std::move(reply));
}

void MemoryLeaseTable::read(std::string key, Reply<LeaseRecord> reply) {
  if (admit(reply)) table_->read(std::move(key), std::move(reply));
}

void MemoryLeaseTable::list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) {
  if (admit(reply)) table_->list(std::move(query), std::move(reply));
}

}  // namespace supercloud
