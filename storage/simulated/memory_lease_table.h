// The lease table of a simulation: the live one's rules over a disk in memory, with crashes, outages and lost replies.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "storage/durable_lease_table.h"

namespace supercloud {

// What is on stable storage: outlives the table, as a disk outlives a process.
struct MemoryLeaseDisk {
  LeaseContents contents;
  std::uint64_t lease_changes = 0;  // how often some of its leases were changed
};

struct MemoryLeaseTableOptions {
  LeaseTableOptions table;
  Duration sync_latency = absl::Microseconds(200);
};

// Thread-bound to the scheduler, which, as the disk, must outlive it. To destroy it is to crash: what was not synced is lost.
class MemoryLeaseTable final : public LeaseTable {
 public:
  MemoryLeaseTable(Scheduler& scheduler, MemoryLeaseDisk& disk,
                   MemoryLeaseTableOptions options = {});
  ~MemoryLeaseTable() override;

  // While it lasts, calls are answered Unavailable and change nothing. Time goes on, so sessions end.
  void set_outage(bool outage) { outage_ = outage; }
  // The next `count` calls take effect, but nobody hears of it.
  void lose_replies(std::uint64_t count) { replies_to_lose_ = count; }
  // Sees each swap as it arrives, before it has any effect, and says for how long it is held up yet: those behind it overtake it.
  // Until then it is under way, and whether it is still good is decided when it takes effect.
  using SwapGate = std::function<Duration(const Swap& swap)>;
  void set_swap_gate(SwapGate gate) { swap_gate_ = std::move(gate); }
  // The next `count` syncs fail: half of the changes, in turn, are on stable storage all the same.
  void fail_syncs(std::uint64_t count);
  // The disk finishes the sync that is under way, if any, though nobody will hear of it: to be called right before destruction, as
  // one of the two ways in which a crash can end.
  void finish_sync();

  void open_session(OpenSession request, Reply<Session> reply) override;
  void renew(SessionId session, Reply<Done> reply) override;
  void end_session(SessionId session, Reply<Done> reply) override;
  void swap(Swap swap, Reply<SwapResult> reply) override;
  void read(std::string key, Reply<LeaseRecord> reply) override;
  void list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) override;

 private:
  class Store;
  // False: the call does not reach the table.
  template <class T>
  bool admit(Reply<T>& reply);
  void arrived(Swap swap, Reply<SwapResult> reply);

  Scheduler& scheduler_;
  SwapGate swap_gate_;
  bool outage_ = false;
  std::uint64_t replies_to_lose_ = 0;
  Store* store_;  // table_'s
  std::unique_ptr<DurableLeaseTable> table_;
  const std::shared_ptr<char> alive_ = std::make_shared<char>();  // what is held up ends with it
};

}  // namespace supercloud
