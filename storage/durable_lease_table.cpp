#include "storage/durable_lease_table.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

// Whatever the disk said: the caller must know that its call may have taken effect all the same (LeaseTable).
absl::Status outcome_unknown(const absl::Status& why) {
  return absl::UnavailableError(
      absl::StrCat("whether it took effect is not known: ", why.message()));
}

}  // namespace

DurableLeaseTable::DurableLeaseTable(Scheduler& scheduler, std::unique_ptr<LeaseStore> store,
                                     LeaseContents contents, LeaseTableOptions options)
    : scheduler_(scheduler), options_(options), store_(std::move(store)) {
  state_.emplace(std::move(contents), options_.ttl, options_.limits, scheduler_.clock().now());
}

DurableLeaseTable::~DurableLeaseTable() { *alive_ = false; }

template <class T, class Apply>
void DurableLeaseTable::enqueue(Reply<T> reply, Apply apply) {
  if (waiting_.size() >= options_.waiting_max) {
    scheduler_.post([reply = std::move(reply), count = waiting_.size()]() mutable {
      reply(absl::ResourceExhaustedError(
          absl::StrCat(count, " calls wait for the lease table; ask again later")));
    });
    return;
  }
  auto shared = std::make_shared<Reply<T>>(std::move(reply));
  // The moment of receipt counts, not that of its turn: waiting for the disk must not end a session that was renewed in time.
  const Instant received = scheduler_.clock().now();
  waiting_.push_back({.call = [shared, received,
                               apply = std::move(apply)](LeaseState& state) mutable -> Answering {
                        return [shared, result = apply(state, received)](
                                   const absl::Status& stored) mutable {
                          if (stored.ok()) {
                            (*shared)(std::move(result));
                          } else {
                            (*shared)(stored);
                          }
                        };
                      },
                      .refuse = [shared](absl::Status why) { (*shared)(std::move(why)); }});
  wake();
}

void DurableLeaseTable::open_session(OpenSession request, Reply<Session> reply) {
  enqueue(std::move(reply), [request = std::move(request)](LeaseState& state, Instant now) {
    return state.open_session(now, request);
  });
}

void DurableLeaseTable::renew(SessionId session, Reply<Done> reply) {
  enqueue(std::move(reply), [session = std::move(session)](LeaseState& state, Instant now) {
    const absl::Status renewed = state.renew(now, session);
    return renewed.ok() ? absl::StatusOr<Done>(Done{}) : renewed;
  });
}

void DurableLeaseTable::end_session(SessionId session, Reply<Done> reply) {
  enqueue(std::move(reply), [session = std::move(session)](LeaseState& state, Instant now) {
    const absl::Status ended = state.end_session(now, session);
    return ended.ok() ? absl::StatusOr<Done>(Done{}) : ended;
  });
}

void DurableLeaseTable::swap(Swap swap, Reply<SwapResult> reply) {
  enqueue(std::move(reply), [swap = std::move(swap)](LeaseState& state, Instant now) {
    return state.swap(now, swap);
  });
}

void DurableLeaseTable::read(std::string key, Reply<LeaseRecord> reply) {
  enqueue(std::move(reply),
          [key = std::move(key)](LeaseState& state, Instant now) { return state.read(now, key); });
}

void DurableLeaseTable::list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) {
  enqueue(std::move(reply), [query = std::move(query)](LeaseState& state, Instant now) {
    return absl::StatusOr<std::vector<LeaseRecord>>(state.list(now, query));
  });
}

void DurableLeaseTable::wake() {
  if (woken_ || busy_ || waiting_.empty()) return;
  woken_ = true;
  scheduler_.post([this, alive = alive_] {
    if (*alive) work();
  });
}

void DurableLeaseTable::work() {
  woken_ = false;
  if (busy_ || waiting_.empty()) return;
  if (state_) {
    apply_waiting();
  } else {
    reload();
  }
}

void DurableLeaseTable::apply_waiting() {
  std::vector<Answering> answers;
  answers.reserve(waiting_.size());
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    answers.push_back(std::move(waiting.call)(*state_));
  }
  LeaseChanges changes = state_->take_changes();
  if (changes.empty()) {
    const std::shared_ptr<bool> alive = alive_;  // an answer may destroy the table
    for (Answering& answer : answers) std::move(answer)(absl::OkStatus());
    if (*alive) wake();
    return;
  }
  busy_ = true;
  store_->commit(std::move(changes),
                 Reply<Done>(far_future, [this, alive = alive_, answers = std::move(answers)](
                                             absl::StatusOr<Done> stored) mutable {
                   if (!*alive) return;
                   busy_ = false;
                   if (!stored.ok())
                     state_.reset();  // whether it holds what is stored now, is not known
                   const absl::Status outcome =
                       stored.ok() ? absl::OkStatus() : outcome_unknown(stored.status());
                   for (Answering& answer : answers) std::move(answer)(outcome);
                   if (*alive) wake();
                 }));
}

void DurableLeaseTable::reload() {
  busy_ = true;
  store_->load(Reply<LeaseContents>(far_future, [this, alive = alive_](
                                                    absl::StatusOr<LeaseContents> contents) {
    if (!*alive) return;
    busy_ = false;
    if (contents.ok()) {
      state_.emplace(*std::move(contents), options_.ttl, options_.limits, scheduler_.clock().now());
      wake();
      return;
    }
    for (Waiting& waiting : std::exchange(waiting_, {})) {
      std::move(waiting.refuse)(contents.status());
      if (!*alive) return;
    }
  }));
}

}  // namespace supercloud
