// Letting the guest execute, and stopping it: what every copy goes through, migrated or not.
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/standbys.h"
#include "actors/migration/vm_worker.h"

namespace supercloud {
namespace {

// Once may be an accident.
constexpr int boots_before_failed = 3;

}  // namespace

// ---- letting the guest execute ---------------------------------------------------------------------------------------

void VmWorker::boot() {
  const Epoch epoch = won_.epoch;
  if (!spec_)
    return report_failed("its lease record has no description of it that this version can read");
  booted_ = true;
  shared_.seams.hypervisor.create(
      *spec_, epoch, reply<Done>(shared_.options.make_deadline, [this](auto created) {
        if (created.ok() || absl::IsAlreadyExists(created.status())) return run_at_won_epoch();
        if (++failed_boots_ < boots_before_failed && !absl::IsResourceExhausted(created.status()))
          return finished_later(shared_.options.look_interval);
        report_failed(absl::StrCat("it does not boot: ", created.status().message()));
      }));
}

// The first instruction at the epoch won: keeper, volume, port, guest, in this order (2, 3, 7, 11).
void VmWorker::run_at_won_epoch() {
  const Won won = won_;
  auto& seams = shared_.seams;
  if (seams.session.current() != won.session) return finished_later(retry_delay);
  arm_guest(seams.hypervisor, seams.volumes, seams.fabric, vm_, seams.session.deadline());
  seams.volumes.serve(
      vm_, won.epoch, reply<VolumeStatus>(shared_.options.call_deadline, [this, won](auto served) {
        ExecutorSeams& parts = shared_.seams;
        const absl::Status open =
            served.ok() && parts.session.current() == won.session
                ? parts.fabric.open(vm_, won.epoch)
                : absl::UnavailableError("not served, or the session has ended");
        if (absl::IsNotFound(open)) return prepare_port();
        if (!open.ok()) return finished_later(retry_delay);
        consumed_ = won.epoch;
        won_ = {};
        parts.hypervisor.resume(
            vm_, won.epoch,
            reply<Done>(shared_.options.call_deadline * 2, [this](absl::StatusOr<Done> run) {
              const auto guest = copy();
              const bool runs =
                  guest && guest->state == GuestStatus::State::running && guest->epoch == consumed_;
              if (run.ok() || (absl::IsDeadlineExceeded(run.status()) && runs)) {
                resumed();
                return finished();
              }
              // Without an answer it may take effect at any time: only the keeper can end that (7).
              shared_.seams.hypervisor.arm(vm_, shared_.context.now());
              shared_.seams.fabric.close(vm_);
              finished_later(retry_delay);
            }));
      }));
}

// The network manager has one ready in most cases; what it has not heard of yet is made here.
void VmWorker::prepare_port() {
  shared_.seams.fabric.prepare(
      vm_, spec_ ? std::string(text(spec_->reader().getAddress())) : std::string(),
      reply<Done>(shared_.options.call_deadline, [this](const absl::StatusOr<Done>& made) {
        if (made.ok() || absl::IsDeadlineExceeded(made.status()))
          return finished_later(made.ok() ? absl::ZeroDuration() : retry_delay);
        report_failed(absl::StrCat("no port: ", made.status().message()));
      }));
}

void VmWorker::resumed() {
  failed_reported_ = false;
  failed_boots_ = 0;
  standbys_due_ = {};
  standbys_delay_ = standbys_delay_min;
  memory_lost_.clear();
  if (!record_) return;  // removed meanwhile: the copy goes at the next look
  const bool by_copy =
      record_->swap_kind == SwapKind::COMMIT || record_->swap_kind == SwapKind::RECLAIM;
  const bool from_disk = std::exchange(booted_, false) && in_ && in_->from_disk;
  if (from_disk) start_reason_ = "committed, from its disk: its memory did not come in time";
  if (!by_copy || from_disk) {
    Draft started = draft(nullptr, consumed_);
    auto payload = started.payload().initVmStarted();
    payload.setNode(shared_.context.node());
    payload.setWhy(start_reason_.empty() ? "created" : start_reason_);
    for (const VolumeStatus& volume : shared_.seams.volumes.list())
      if (volume.vm == vm_) payload.setVersion(volume.version);
    if (!loss_ && unsaid_takeover_ != 0) loss_ = Loss{.silent_ns = -1, .flushes_kept = false};
    if (const auto loss = std::exchange(loss_, std::nullopt)) {
      payload.setSilentNs(loss->silent_ns);
      payload.setFlushesKept(loss->flushes_kept);
    }
    shared_.context.publish(std::move(started));
  }
  unsaid_takeover_ = 0;
  say_resumed(consumed_, start_reason_, false);
  arm_guest(shared_.seams.hypervisor, shared_.seams.volumes, shared_.seams.fabric, vm_,
            shared_.seams.session.deadline());
  if (in_ && in_->epoch < consumed_) {
    committed_from_ = in_->source;
    for (Answer& answer : std::exchange(switch_over_answers_, {}))
      answer(Message<schema::Response>::build([](auto response) { response.setDone(); }));
    in_.reset();
  }
}

void VmWorker::say_resumed(Epoch epoch, const std::string& why, bool reconstructed) {
  // Its commit is what brought it here, also if that was won under a session that had ended, and the copy was reclaimed since (3).
  const bool committed = record_->heir && record_->heir->node == record_->holder;
  const EventId* migration = out_        ? &out_->migration
                             : committed ? &record_->heir->migration
                                         : nullptr;
  Draft event = draft(migration, epoch);
  if (reconstructed) event.reconstructed();
  auto payload = event.payload().initVmResumed();
  payload.setNode(shared_.context.node());
  if (spec_) payload.setAddress(spec_->reader().getAddress());
  payload.setWhy(committed && !out_ ? "committed" : why);
  resumed_time_ = publish(std::move(event));
  resumed_said_ = epoch;
}

// ---- stopping --------------------------------------------------------------------------------------------------------

void VmWorker::destroy_copy(bool lost) {
  shared_.seams.fabric.close(vm_);
  const auto guest = copy();
  shared_.seams.hypervisor.destroy(
      vm_, reply<Done>(shared_.options.call_deadline,
                       [this, lost, guest](absl::StatusOr<Done> destroyed) {
                         if (!destroyed.ok()) return finished_later(retry_delay);
                         const bool own = guest && guest->state != GuestStatus::State::incoming &&
                                          guest->state != GuestStatus::State::arrived;
                         if (lost && own) {
                           Draft event = draft(nullptr, guest->epoch);
                           event.payload().initVmReleased().setNode(shared_.context.node());
                           shared_.context.publish(std::move(event));
                         }
                         finished();
                       }));
}

// Of a copy that cannot be without what is missing (14). It starts anew from its disk, at a new epoch. It is destroyed when the log has
// that: who is killed in between finds nothing that tells of it.
void VmWorker::lose_memory() {
  const auto guest = copy();
  const Epoch epoch = record_ ? record_->epoch : 0;
  shared_.seams.fabric.close(vm_);
  if (!memory_lost_.empty() && memory_lost_at_ == epoch) return destroy_half();
  const std::string why = absl::StrCat(
      "a part of its memory did not follow",
      guest && !guest->memory_why.empty() ? absl::StrCat(" (", guest->memory_why, ")") : "",
      ": it starts anew from its disk");
  Draft event = draft(nullptr, epoch);
  auto payload = event.payload().initVmFailed();
  payload.setNode(shared_.context.node());
  payload.setWhy(why);
  shared_.context.publish(std::move(event),
                          [this, alive = alive_, epoch, why](const absl::Status& logged) {
                            if (!*alive) return;
                            if (!logged.ok()) return finished_later(retry_delay);
                            memory_lost_ = why;
                            memory_lost_at_ = epoch;
                            destroy_half();
                          });
}

void VmWorker::destroy_half() {
  shared_.seams.hypervisor.destroy(
      vm_, reply<Done>(shared_.options.call_deadline, [this](const absl::StatusOr<Done>& gone) {
        gone.ok() ? finished() : finished_later(retry_delay);
      }));
}

void VmWorker::stop_guest() {
  auto& seams = shared_.seams;
  const bool keep_copy = spec_ && spec_->reader().getRunning() && !spec_->reader().getDestroyed();
  seams.fabric.close(vm_);
  seams.hypervisor.pause(
      vm_, reply<Done>(shared_.options.call_deadline, [this, keep_copy](auto paused) {
        // What a fenced volume holds back never drains; it goes with the copy (9).
        const bool stopped =
            paused.ok() || (absl::IsDeadlineExceeded(paused.status()) && !keep_copy);
        if (!stopped) return finished_later(retry_delay);
        if (keep_copy) return say_stopped(true);
        seal_and_destroy();
      }));
}

void VmWorker::seal_and_destroy() {
  const auto destroy = [this] {
    shared_.seams.hypervisor.destroy(vm_,
                                     reply<Done>(shared_.options.call_deadline, [this](auto gone) {
                                       gone.ok() ? say_stopped(false) : finished_later(retry_delay);
                                     }));
  };
  for (const VolumeStatus& volume : shared_.seams.volumes.list())
    if (volume.vm == vm_ && volume.role == VolumeStatus::Role::serving)
      return shared_.seams.volumes.seal(
          vm_, volume.epoch,
          reply<Seal>(shared_.options.call_deadline, [this, destroy](auto sealed) {
            sealed.ok() ? destroy() : finished_later(retry_delay);
          }));
  destroy();
}

void VmWorker::say_stopped(bool copy_kept) {
  Draft event = draft(nullptr, record_ ? record_->epoch : 0);
  if (copy_kept) {
    auto payload = event.payload().initVmPaused();
    payload.setNode(shared_.context.node());
    payload.setWhy("by its user");
  } else {
    auto payload = event.payload().initVmStopped();
    payload.setNode(shared_.context.node());
    payload.setWhy("by its user");
    // Who does not hear of it keeps one for a minute more.
    if (spec_)
      ask_for_standbys(shared_.context, spec_->reader(), absl::ZeroDuration(),
                       shared_.options.call_deadline, [](const absl::Status&) {});
  }
  shared_.context.publish(std::move(event));
  finished();
}

// Said once, tried again: what stands in its way may go.
void VmWorker::report_failed(const std::string& why) {
  if (!failed_reported_) {
    failed_reported_ = true;
    Draft event = draft(nullptr, record_ ? record_->epoch : 0);
    auto payload = event.payload().initVmFailed();
    payload.setNode(shared_.context.node());
    payload.setWhy(why);
    shared_.context.publish(std::move(event));
  }
  finished_later(shared_.options.look_interval);
}

}  // namespace supercloud
