// A lease table over something that stores: calls wait while a sync is under way, then all that wait are applied together,
// stored with one sync, and answered. So nothing is ever answered, read or judged on that is not on stable storage.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "core/lease_table.h"
#include "core/scheduler.h"
#include "storage/lease_state.h"

namespace supercloud {

// Replies come through the table's scheduler. Thread-bound to it.
class LeaseStore {
 public:
  virtual ~LeaseStore() = default;
  // All of `changes` or nothing, on stable storage. After an error it is unknown which: the table loads again before it goes on.
  virtual void commit(LeaseChanges changes, Reply<Done> reply) = 0;
  virtual void load(Reply<LeaseContents> reply) = 0;
};

struct LeaseTableOptions {
  Duration ttl = absl::Seconds(10);
  std::size_t waiting_max = 65536;  // calls that wait for a sync; more are ResourceExhausted
  LeaseLimits limits;
};

// Thread-bound to the scheduler, which must outlive it. Calls that are unanswered when it is destroyed stay so.
class DurableLeaseTable final : public LeaseTable {
 public:
  // `contents` is what the store holds.
  DurableLeaseTable(Scheduler& scheduler, std::unique_ptr<LeaseStore> store, LeaseContents contents,
                    LeaseTableOptions options);
  ~DurableLeaseTable() override;

  void open_session(OpenSession request, Reply<Session> reply) override;
  void renew(SessionId session, Reply<Done> reply) override;
  void end_session(SessionId session, Reply<Done> reply) override;
  void swap(Swap swap, Reply<SwapResult> reply) override;
  void read(std::string key, Reply<LeaseRecord> reply) override;
  void list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) override;

 private:
  // A call applied to the state; yields what answers it once the changes are stored, or tells that they are not.
  using Answering = absl::AnyInvocable<void(const absl::Status& stored) &&>;
  using Call = absl::AnyInvocable<Answering(LeaseState& state) &&>;
  struct Waiting {
    Call call;
    absl::AnyInvocable<void(absl::Status) &&> refuse;
  };

  template <class T, class Apply>
  void enqueue(Reply<T> reply, Apply apply);
  void wake();
  void work();
  void apply_waiting();
  void reload();

  Scheduler& scheduler_;
  const LeaseTableOptions options_;
  std::unique_ptr<LeaseStore> store_;
  std::optional<LeaseState> state_;  // empty: to be loaded first
  std::deque<Waiting> waiting_;
  bool woken_ = false;  // work() is posted
  bool busy_ = false;   // a commit or load is under way
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
