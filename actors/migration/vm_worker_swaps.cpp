// The swaps of a VM's lease record, and how each is logged before it is sent (4).
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/vm_worker.h"

namespace supercloud {
namespace {

bool raises_epoch(SwapKind kind) {
  return kind == SwapKind::DEFINE || kind == SwapKind::COMMIT || kind == SwapKind::RECLAIM ||
         kind == SwapKind::RESTART || kind == SwapKind::TAKEOVER;
}

}  // namespace

Swap VmWorker::make_swap(SwapKind kind) {
  Swap swap;
  swap.key = key_of_vm(vm_);
  swap.kind = kind;
  swap.session = shared_.seams.session.current().value_or("");
  swap.swap_id =
      absl::StrCat(swap.session, "/", shared_.context.time().value, "/", shared_.next_swap++);
  swap.epoch = record_ ? record_->epoch : 0;
  return swap;
}

// Rule 4: on stable storage before it is sent.
void VmWorker::log_swap(const Swap& swap, std::function<void()> then) {
  const EventId* migration = out_ ? &out_->migration : in_ ? &in_->migration : nullptr;
  Draft event = draft(migration, swap.epoch);
  auto payload = event.payload().initLeaseSwapRequested();
  payload.setKind(swap.kind);
  payload.setEpoch(swap.epoch);
  payload.setSwapId(swap.swap_id);
  payload.setSession(swap.session);
  shared_.context.publish(std::move(event),
                          [this, alive = alive_, kind = swap.kind, epoch = swap.epoch,
                           session = swap.session, then = std::move(then)](absl::Status logged) {
                            if (!*alive) return;
                            if (!logged.ok()) return finished_later(retry_delay);
                            if (kind == SwapKind::COMMIT || kind == SwapKind::RECLAIM)
                              asked_by_copy_.insert(epoch);
                            if (kind == SwapKind::RESTART || kind == SwapKind::TAKEOVER)
                              asked_by_boot_[epoch] = session;
                            then();
                          });
}

void VmWorker::recover_resumed(Epoch epoch) {
  resumed_said_ = std::max(resumed_said_, epoch);
  if (epoch >= unsaid_takeover_) unsaid_takeover_ = 0;
}

void VmWorker::recover_asked(SwapKind kind, Epoch epoch) {
  if (kind == SwapKind::TAKEOVER) unsaid_takeover_ = epoch + 1;
  if (kind == SwapKind::COMMIT || kind == SwapKind::RECLAIM) asked_by_copy_.insert(epoch);
}

// How long ago it was sent, by this clock, its log does not say: it gets its whole time again.
void VmWorker::recover_define(SessionId session, std::string swap_id) {
  define_session_ = std::move(session);
  define_swap_id_ = std::move(swap_id);
  define_sent_ = shared_.context.now();
}

void VmWorker::forget_define() {
  define_session_.clear();
  define_swap_id_.clear();
}

void VmWorker::send_swap(Swap swap, std::function<void(const absl::StatusOr<SwapResult>&)> then) {
  if (raises_epoch(swap.kind)) {
    last_swap_id_ = swap.swap_id;
    last_swap_session_ = swap.session;
  }
  const SwapKind kind = swap.kind;
  const SessionId session = swap.session;
  shared_.seams.leases.swap(
      std::move(swap),
      reply<SwapResult>(shared_.options.call_deadline,
                        [this, kind, session, asked = shared_.context.now(),
                         then = std::move(then)](absl::StatusOr<SwapResult> result) {
                          if (result.ok()) {
                            if (result->won && raises_epoch(kind) && result->record &&
                                result->record->epoch > consumed_)
                              won_ = {result->record->epoch, session};
                            // one look, by `then`
                            const bool was_busy = std::exchange(busy_, true);
                            const bool removed = kind == SwapKind::REMOVE && result->won;
                            record_read(removed ? std::nullopt : result->record,
                                        removed ? far_future : asked);
                            busy_ = was_busy;
                          }
                          then(result);
                        }));
}

// Of a takeover: from when on the lost holder's writes are not on this disk (13, 21). Of a holder that this disk never heard of
// nobody here knows what it had lost itself, and not said.
void VmWorker::note_loss() {
  unsaid_takeover_ = record_->epoch + 1;
  loss_ = Loss{.silent_ns = -1, .flushes_kept = false};
  for (const VolumeStatus& volume : shared_.seams.volumes.list())
    if (volume.vm == vm_ && volume.heard && volume.epoch >= record_->epoch)
      loss_->silent_ns = absl::ToInt64Nanoseconds(shared_.context.now() - *volume.heard);
  for (const std::string& node : record_->in_sync)
    loss_->flushes_kept = loss_->flushes_kept || node == shared_.context.node();
}

void VmWorker::swap_epoch(SwapKind kind, const std::string& why) {
  start_reason_ = why;
  Swap swap = make_swap(kind);
  // A resume of an earlier daemon may still be on its way: none takes effect after this.
  if (kind == SwapKind::RECLAIM) shared_.seams.hypervisor.arm(vm_, shared_.context.now());
  if (kind == SwapKind::TAKEOVER) {
    swap.in_sync = {shared_.context.node()};
    note_loss();
  }
  if (kind != SwapKind::RECLAIM) note_lost(true);
  log_swap(swap, [this, swap] {
    send_swap(swap, [this](const absl::StatusOr<SwapResult>& result) {
      result.ok() && result->won ? finished() : finished_later(retry_delay);
    });
  });
}

// ---- what people want ------------------------------------------------------------------------------------------------

void VmWorker::define(Message<schema::VmSpec> spec, Instant absent_at,
                      std::function<void(absl::Status)> done) {
  if (busy_) return done(absl::UnavailableError(vm_ + " is busy: try again"));
  if (record_ && record_asked_ >= absent_at)
    return done(absl::AlreadyExistsError(absl::StrCat(vm_, " exists, held by ", record_->holder)));
  record_.reset();
  record_known_ = true;
  if (copy() || out_) {
    look();
    return done(absl::UnavailableError(
        absl::StrCat("a copy of an earlier ", vm_, " is still here, and goes now: try again")));
  }
  busy_ = true;
  start_reason_ = "created";
  // What is known of an earlier VM of this name is not of this one.
  in_.reset();
  loss_.reset();
  unsaid_takeover_ = 0;
  failed_reported_ = false;
  failed_boots_ = 0;
  const auto failed = [this, done](absl::Status why) {
    finished_later(retry_delay);
    done(std::move(why));
  };
  // The disk of an earlier VM of this name is not this one's.
  for (const VolumeStatus& volume : shared_.seams.volumes.list()) {
    if (volume.vm != vm_) continue;
    if (volume.streaming)
      return failed(absl::UnavailableError(absl::StrCat(
          "a replica of an earlier ", vm_, " is still being written here: try again")));
    return shared_.seams.volumes.destroy(
        vm_, reply<Done>(shared_.options.call_deadline,
                         [this, spec, done, failed](const absl::StatusOr<Done>& gone) {
                           if (!gone.ok()) return failed(gone.status());
                           define_on_new_disk(spec, done, failed);
                         }));
  }
  define_on_new_disk(spec, done, failed);
}

void VmWorker::define_on_new_disk(const Message<schema::VmSpec>& spec,
                                  const std::function<void(absl::Status)>& done,
                                  const std::function<void(absl::Status)>& failed) {
  shared_.seams.volumes.create(
      vm_, spec.reader().getDiskBytes(),
      reply<VolumeStatus>(shared_.options.call_deadline, [this, spec, done, failed](auto created) {
        if (!created.ok()) return failed(created.status());
        Swap swap = make_swap(SwapKind::DEFINE);
        define_session_ = swap.session;
        define_swap_id_ = swap.swap_id;
        define_sent_ = shared_.context.now();
        swap.epoch = 0;
        swap.in_sync = {shared_.context.node()};
        swap.loss_allowed = spec.reader().getDiskLoss() == schema::DiskLoss::BOUNDED_LOSS;
        swap.value = std::string(spec.bytes());
        swap.claim = absl::StrCat("address/", std::string(text(spec.reader().getAddress())));
        log_swap(swap, [this, swap, spec, done, failed] {
          send_swap(swap, [this, spec, done, failed](const absl::StatusOr<SwapResult>& result) {
            if (!result.ok()) return failed(result.status());
            define_session_.clear();
            if (!result->claimed_by.empty())
              return failed(absl::AlreadyExistsError(absl::StrCat(
                  "the address ", std::string(text(spec.reader().getAddress())), " is ",
                  vm_of_key(result->claimed_by), "'s: give ", vm_, " another")));
            if (!result->won && !result->record)
              return failed(absl::UnavailableError(result->why + ": try again"));
            if (!result->won) {
              // Empty, it is no replica of one elsewhere. Held here, it was made by an earlier define that came late.
              if (result->record->holder != shared_.context.node())
                shared_.seams.volumes.destroy(
                    vm_, reply<Done>(shared_.options.call_deadline, [](const auto&) {}));
              return failed(absl::AlreadyExistsError(result->why));
            }
            done(absl::OkStatus());
            finished();
          });
        });
      }));
}

// The record is there: by the answer to its swap, or, where that was lost, as read.
void VmWorker::say_defined() {
  forget_define();
  Draft event = draft(nullptr, record_->epoch);
  auto payload = event.payload().initVmDefined();
  payload.setSpec(spec_->reader());
  payload.setNode(shared_.context.node());
  shared_.context.publish(std::move(event));
}

void VmWorker::desire(Message<schema::VmSpec> spec, std::function<void(absl::Status)> done) {
  if (!record_) return done(absl::NotFoundError(vm_ + " has no lease record"));
  Swap swap = make_swap(SwapKind::DESIRE);
  swap.revision = record_->revision;
  swap.value = std::string(spec.bytes());
  swap.loss_allowed = record_->loss_allowed;
  send_swap(swap, [this, done](const absl::StatusOr<SwapResult>& result) {
    done(!result.ok()   ? result.status()
         : !result->won ? absl::AbortedError(result->why + ": try again")
                        : absl::OkStatus());
    look();
  });
}

void VmWorker::remove_record() {
  Swap swap = make_swap(SwapKind::REMOVE);
  swap.revision = record_->revision;
  const Epoch epoch = swap.epoch;
  send_swap(swap, [this, epoch](const absl::StatusOr<SwapResult>& result) {
    if (!result.ok()) return finished_later(retry_delay);
    if (result->won) {
      Draft event = draft(nullptr, epoch);
      event.payload().initVmDestroyed().setNode(shared_.context.node());
      shared_.context.publish(std::move(event));
    }
    finished();
  });
}

// ---- the in-sync set -------------------------------------------------------------------------------------------------

// The in-sync set follows the replicas: a flush waits for a peer before the record promises it, and goes on waiting until the
// record no longer does (13).
void VmWorker::tend_replicas() {
  if (!spec_ || !record_ || record_->holder != shared_.context.node() || (out_ && out_->paused) ||
      !shared_.seams.session.current())
    return;
  if (spec_->reader().getDiskLoss() != schema::DiskLoss::SYNC) return;
  std::vector<std::string> connected;
  std::vector<std::string> wanted{shared_.context.node()};
  std::uint64_t flushed = 0;
  for (const VolumeStatus& volume : shared_.seams.volumes.list())
    if (volume.vm == vm_) flushed = volume.version_flushed;
  for (const ReplicaStatus& replica : shared_.seams.volumes.replicas(vm_)) {
    const bool promised = std::find(record_->in_sync.begin(), record_->in_sync.end(),
                                    replica.node) != record_->in_sync.end();
    if (!replica.connected || !(replica.caught_up || promised)) continue;
    connected.push_back(replica.node);
    if (replica.version_stable >= flushed || promised) wanted.push_back(replica.node);
  }
  std::vector<std::string> peers = connected;
  for (const std::string& node : record_->in_sync)
    if (node != shared_.context.node() &&
        std::find(peers.begin(), peers.end(), node) == peers.end())
      peers.push_back(node);
  shared_.seams.volumes.set_sync_peers(vm_, peers);
  std::sort(wanted.begin() + 1, wanted.end());
  if (wanted == record_->in_sync) return;
  busy_ = true;
  Swap swap = make_swap(SwapKind::IN_SYNC);
  swap.revision = record_->revision;
  swap.in_sync = wanted;
  send_swap(swap, [this](const absl::StatusOr<SwapResult>& result) {
    finished_later(result.ok() && result->won ? absl::ZeroDuration() : retry_delay);
  });
}

}  // namespace supercloud
