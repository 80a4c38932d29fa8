#include "actors/migration/vm_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr Duration hot_poll = absl::Milliseconds(100);  // of the record, while a hand-over is open
constexpr Duration retry_delay = absl::Milliseconds(200);

bool raises_epoch(SwapKind kind) {
  return kind == SwapKind::DEFINE || kind == SwapKind::COMMIT || kind == SwapKind::RECLAIM ||
         kind == SwapKind::RESTART || kind == SwapKind::TAKEOVER;
}

}  // namespace

VmWorker::VmWorker(ExecutorShared& shared, std::string vm)
    : shared_(shared), vm_(std::move(vm)), alive_(std::make_shared<bool>(true)) {}

VmWorker::~VmWorker() {
  *alive_ = false;
  shared_.context.cancel(wake_);
}

std::string VmWorker::tenant() const { return vm_.substr(0, vm_.find('/')); }
std::string VmWorker::name() const { return vm_.substr(vm_.find('/') + 1); }

std::optional<Message<schema::VmSpec>> VmWorker::spec() const { return spec_; }

std::optional<GuestStatus> VmWorker::copy() const {
  for (const GuestStatus& guest : shared_.seams.hypervisor.list())
    if (guest.vm == vm_) return guest;
  return std::nullopt;
}

template <class T>
Reply<T> VmWorker::reply(Duration deadline, std::function<void(absl::StatusOr<T>)> then) {
  return shared_.context.reply<T>(
      deadline, [alive = alive_, then = std::move(then)](absl::StatusOr<T> value) {
        if (*alive) then(std::move(value));
      });
}
template Reply<Done> VmWorker::reply(Duration, std::function<void(absl::StatusOr<Done>)>);
template Reply<Seal> VmWorker::reply(Duration, std::function<void(absl::StatusOr<Seal>)>);
template Reply<VolumeStatus> VmWorker::reply(Duration,
                                             std::function<void(absl::StatusOr<VolumeStatus>)>);
template Reply<LeaseRecord> VmWorker::reply(Duration,
                                            std::function<void(absl::StatusOr<LeaseRecord>)>);
template Reply<SwapResult> VmWorker::reply(Duration,
                                           std::function<void(absl::StatusOr<SwapResult>)>);
template Reply<TransferProgress> VmWorker::reply(
    Duration, std::function<void(absl::StatusOr<TransferProgress>)>);

Draft VmWorker::draft(const EventId* migration, Epoch epoch) const {
  Draft draft = shared_.context.draft(name(), tenant());
  draft.epoch(epoch);
  if (migration != nullptr && !migration->empty()) draft.migration(*migration);
  return draft;
}

std::string VmWorker::state() const {
  const auto guest = copy();
  if (failed_reported_) return "failed";
  if (spec_ && !spec_->reader().getRunning()) return "stopped";
  if (out_ && out_->epoch != 0) return "migrating";
  if (!guest) return "starting";
  switch (guest->state) {
    case GuestStatus::State::incoming:
    case GuestStatus::State::arrived:
      return "migrating";
    case GuestStatus::State::frozen:
      return "fenced";
    case GuestStatus::State::running:
      return "running";
    case GuestStatus::State::stopped:
      break;
  }
  return spec_ && spec_->reader().getPaused() ? "paused" : "starting";
}

// ---- what is known ---------------------------------------------------------------------------------------------------

View VmWorker::view() {
  View view;
  const Context& context = shared_.context;
  view.node = context.node();
  view.now = context.now();
  view.session = shared_.seams.session.current();
  view.session_deadline = shared_.seams.session.deadline();
  view.blackout_reserve = shared_.options.blackout_deadline / 2;
  view.record_read = record_known_;
  view.record = record_;
  if (spec_) {
    view.wanted_running = spec_->reader().getRunning();
    view.wanted_paused = spec_->reader().getPaused();
    view.wanted_gone = spec_->reader().getDestroyed();
  }
  view.copy = copy();
  for (const VolumeStatus& volume : shared_.seams.volumes.list())
    if (volume.vm == vm_) view.volume = volume;
  view.won = won_;
  view.asked_by_copy = asked_by_copy_;
  view.asked_by_boot = asked_by_boot_;
  view.define_in_flight = view.session && define_session_ == *view.session;
  view.out = out_;
  view.in = in_;
  int turn = 0;
  if (record_) {
    const auto found = std::find(record_->in_sync.begin(), record_->in_sync.end(), view.node);
    turn = record_->heir && record_->heir->node == view.node
               ? 0
               : 1 + static_cast<int>(found - record_->in_sync.begin());
  }
  view.takeover_after = holder_lost_since_ + shared_.options.takeover_stagger * turn;
  return view;
}

void VmWorker::read_record() {
  if (reading_) return;
  reading_ = true;
  const auto separator = vm_.find('/');
  shared_.seams.leases.read(
      absl::StrCat("vm/", vm_.substr(0, separator), "/", name()),
      reply<LeaseRecord>(shared_.options.call_deadline, [this](absl::StatusOr<LeaseRecord> read) {
        reading_ = false;
        if (read.ok()) {
          record_read(*std::move(read));
        } else if (absl::IsNotFound(read.status())) {
          record_read(std::nullopt);
        } else {
          look();
        }
      }));
}

void VmWorker::record_read(std::optional<LeaseRecord> record) {
  // Answers may come out of order: never step back.
  if (record && record_ && record->revision < record_->revision) return;
  const bool known_value = record_ && record && record_->value == record->value && spec_;
  record_known_ = true;
  record_ = std::move(record);
  if (record_) {
    if (!known_value) {
      auto spec = Message<schema::VmSpec>::parse(record_->value);
      if (spec.ok()) spec_ = *std::move(spec);
    }
    if (record_->session_alive || record_->holder == shared_.context.node())
      holder_lost_since_ = far_future;
    else if (holder_lost_since_ == far_future)
      holder_lost_since_ = shared_.context.now();
    // A swap whose answer was lost: the record says that it was ours that won.
    if (record_->swap_id == last_swap_id_ && record_->epoch > consumed_ &&
        record_->session == last_swap_session_)
      won_ = {record_->epoch, last_swap_session_};
    if (out_ && out_->epoch == 0 && record_->heir &&
        *record_->heir == Heir{out_->target, out_->migration})
      out_->epoch = record_->epoch;
    const bool heir = record_->heir && record_->heir->node == shared_.context.node();
    if (heir && !in_ && record_->holder != shared_.context.node() &&
        record_->heir->migration != dropped_) {
      in_ = Incoming{.migration = record_->heir->migration,
                     .source = record_->holder,
                     .epoch = record_->epoch,
                     .deadline = shared_.context.now() + shared_.options.migration_deadline};
      const auto guest = copy();
      in_->prepared = guest && guest->migration == in_->migration && recovered_in_ &&
                      recovered_in_->migration == in_->migration;
    }
    if (recovered_in_ && record_->epoch > recovered_in_->epoch) settle_recovered();
  }
  look();
}

// A migration was on its way here when the executor was restarted, and its commit has been decided meanwhile: if it was ours, this
// node says how it ended.
void VmWorker::settle_recovered() {
  const Incoming in = *std::exchange(recovered_in_, std::nullopt);
  const bool committed = record_->holder == shared_.context.node() &&
                         record_->epoch == in.epoch + 1 && record_->swap_kind == SwapKind::COMMIT;
  if (!committed) return;
  completing_ = in.migration;
  completing_source_ = in.source;
}

void VmWorker::recover_outgoing(Outgoing out) {
  const auto guest = copy();
  out.paused = guest && guest->state != GuestStatus::State::running;
  out.sending = true;
  out_ = std::move(out);
}

// ---- the loop --------------------------------------------------------------------------------------------------------

void VmWorker::look() {
  if (busy_ || forgotten_) return;
  View now = view();
  // A guest that died, or was frozen, leaves its port open.
  if ((!now.copy || now.copy->state != GuestStatus::State::running) &&
      shared_.seams.fabric.port(vm_))
    shared_.seams.fabric.close(vm_);
  const Decision decision = shared_.options.decide(now);
  if (decision.step != Step::none) {
    busy_ = true;
    take(decision);
    return;
  }
  if (now.copy && now.copy->state == GuestStatus::State::running) tend_replicas();
  completed_here();
  tend_unended();
  // Come back when the next deadline passes; while a hand-over is open, ask the table often.
  const bool hot = (out_ && out_->paused) || (in_ && in_->seal);
  Instant due = far_future;
  for (Instant deadline :
       {out_ ? out_->deadline : far_future, out_ ? out_->pause_deadline : far_future,
        out_ ? out_->no_return : far_future, in_ ? in_->deadline : far_future, now.takeover_after})
    if (deadline > now.now) due = std::min(due, deadline);
  if (hot) due = std::min(due, now.now + hot_poll);
  shared_.context.cancel(wake_);
  wake_ = 0;
  if (due >= now.now + absl::Hours(1)) return;
  wake_ = shared_.context.at(due, [this, hot] {
    wake_ = 0;
    if (hot) read_record();
    look();
  });
}

void VmWorker::finished() {
  busy_ = false;
  look();
}

void VmWorker::finished_later(Duration delay) {
  shared_.context.after(delay, [this, alive = alive_] {
    if (!*alive) return;
    busy_ = false;
    read_record();
    look();
  });
}

void VmWorker::take(const Decision& decision) {
  switch (decision.step) {
    case Step::accept:
      return accept();
    case Step::ask_target:
      return ask_target();
    case Step::send:
      return start_sending();
    case Step::check:
      return check();
    case Step::pause:
      return pause();
    case Step::seal:
      return seal();
    case Step::hand_over:
      return hand_over();
    case Step::abort:
      return abort_outgoing();
    case Step::clear_heir:
      return clear_heir();
    case Step::finish_lost:
      return finish_lost();
    case Step::prepare:
      return prepare();
    case Step::verify:
      return verify();
    case Step::swap_commit:
      return commit();
    case Step::drop_incoming:
      return drop_incoming();
    case Step::swap_restart:
      return swap_epoch(SwapKind::RESTART, "restarted");
    case Step::swap_reclaim:
      return swap_epoch(SwapKind::RECLAIM, decision.why);
    case Step::swap_takeover:
      return swap_epoch(SwapKind::TAKEOVER, absl::StrCat("taken over from ", record_->holder));
    case Step::boot:
      return boot();
    case Step::resume:
      return run_at_won_epoch();
    case Step::pause_for_user:
    case Step::stop_for_user:
      return stop_guest();
    case Step::swap_remove:
      return remove_record();
    case Step::report_failed:
      return report_failed();
    case Step::destroy_copy:
      return destroy_copy(true);
    case Step::release_volume:
      shared_.seams.volumes.destroy(vm_,
                                    reply<Done>(shared_.options.call_deadline, [this](auto done) {
                                      done.ok() ? finished() : finished_later(retry_delay);
                                    }));
      return;
    case Step::forget:
      tend_unended();
      forgotten_ = !unended_;
      busy_ = false;
      return;
    case Step::none:
      busy_ = false;
      return;
  }
}

// ---- swaps -----------------------------------------------------------------------------------------------------------

Swap VmWorker::make_swap(SwapKind kind) {
  Swap swap;
  swap.key = absl::StrCat("vm/", vm_);
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

void VmWorker::recover_asked(SwapKind kind, Epoch epoch) {
  if (kind == SwapKind::COMMIT || kind == SwapKind::RECLAIM) asked_by_copy_.insert(epoch);
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
      reply<SwapResult>(
          shared_.options.call_deadline,
          [this, kind, session, then = std::move(then)](absl::StatusOr<SwapResult> result) {
            if (result.ok()) {
              if (result->won && raises_epoch(kind) && result->record &&
                  result->record->epoch > consumed_)
                won_ = {result->record->epoch, session};
              // one look, by `then`
              const bool was_busy = std::exchange(busy_, true);
              record_read(kind == SwapKind::REMOVE && result->won ? std::nullopt : result->record);
              busy_ = was_busy;
            }
            then(result);
          }));
}

void VmWorker::swap_epoch(SwapKind kind, const std::string& why) {
  start_reason_ = why;
  Swap swap = make_swap(kind);
  // A resume of an earlier daemon may still be on its way: none takes effect after this.
  if (kind == SwapKind::RECLAIM) shared_.seams.hypervisor.arm(vm_, shared_.context.now());
  if (kind == SwapKind::TAKEOVER) {
    swap.in_sync = {shared_.context.node()};
    // A migration that was open when its source was lost ends here; said twice, it is said once too often, never too little.
    if (record_->heir) source_lost(record_->heir->migration);
  }
  log_swap(swap, [this, swap] {
    send_swap(swap, [this](const absl::StatusOr<SwapResult>& result) {
      result.ok() ? finished() : finished_later(retry_delay);
    });
  });
}

// ---- letting the guest execute ---------------------------------------------------------------------------------------

void VmWorker::boot() {
  const Epoch epoch = won_.epoch;
  if (!spec_) return finished_later(retry_delay);
  shared_.seams.hypervisor.create(*spec_, epoch,
                                  reply<Done>(shared_.options.call_deadline, [this](auto created) {
                                    if (created.ok() || absl::IsAlreadyExists(created.status()))
                                      return run_at_won_epoch();
                                    finished_later(shared_.options.look_interval);
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
        finished_later(made.ok() ? absl::ZeroDuration() : retry_delay);
      }));
}

void VmWorker::resumed() {
  failed_reported_ = false;
  // Its commit is what brought it here, also if that was won under a session that had ended, and the copy was reclaimed since (3).
  const EventId migration = in_ && in_->epoch < consumed_ ? in_->migration : EventId{};
  if (record_->swap_kind != SwapKind::COMMIT && record_->swap_kind != SwapKind::RECLAIM) {
    Draft started = draft(nullptr, consumed_);
    auto payload = started.payload().initVmStarted();
    payload.setNode(shared_.context.node());
    payload.setWhy(start_reason_.empty() ? "created" : start_reason_);
    shared_.context.publish(std::move(started));
  }
  Draft event = draft(out_ ? &out_->migration : &migration, consumed_);
  auto payload = event.payload().initVmResumed();
  payload.setNode(shared_.context.node());
  if (spec_) payload.setAddress(spec_->reader().getAddress());
  payload.setWhy(migration.empty() ? start_reason_ : "committed");
  resumed_time_ = shared_.context.publish(std::move(event)).time();
  arm_guest(shared_.seams.hypervisor, shared_.seams.volumes, shared_.seams.fabric, vm_,
            shared_.seams.session.deadline());
  if (!migration.empty()) {
    completing_ = migration;
    completing_source_ = in_->source;
    for (Answer& answer : std::exchange(switch_over_answers_, {}))
      answer(Message<schema::Response>::build([](auto response) { response.setDone(); }));
    in_.reset();
  }
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
  }
  shared_.context.publish(std::move(event));
  finished();
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

void VmWorker::report_failed() {
  if (!failed_reported_) {
    failed_reported_ = true;
    Draft event = draft(nullptr, record_->epoch);
    auto payload = event.payload().initVmFailed();
    payload.setNode(shared_.context.node());
    payload.setWhy(
        "the node that holds it has no disk of it: the disk was lost, and no in-sync replica is "
        "known");
    shared_.context.publish(std::move(event));
  }
  finished_later(shared_.options.look_interval);
}

// The in-sync set follows the replicas: a flush waits for a peer before the record promises it, and goes on waiting until the
// record no longer does (13).
void VmWorker::tend_replicas() {
  if (!spec_ || !record_ || record_->holder != shared_.context.node() || out_ ||
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

// ---- what people want ------------------------------------------------------------------------------------------------

void VmWorker::define(Message<schema::VmSpec> spec, std::function<void(absl::Status)> done) {
  if (busy_) return done(absl::UnavailableError(vm_ + " is busy: try again"));
  busy_ = true;
  spec_ = spec;
  start_reason_ = "created";
  const auto failed = [this, done](absl::Status why) {
    finished_later(retry_delay);
    done(std::move(why));
  };
  shared_.seams.volumes.create(
      vm_, spec.reader().getDiskBytes(),
      reply<VolumeStatus>(shared_.options.call_deadline, [this, spec, done, failed](auto created) {
        if (!created.ok()) return failed(created.status());
        Swap swap = make_swap(SwapKind::DEFINE);
        define_session_ = swap.session;
        swap.epoch = 0;
        swap.in_sync = {shared_.context.node()};
        swap.loss_allowed = spec.reader().getDiskLoss() == schema::DiskLoss::BOUNDED_LOSS;
        swap.value = std::string(spec.bytes());
        log_swap(swap, [this, swap, spec, done, failed] {
          send_swap(swap, [this, spec, done, failed](const absl::StatusOr<SwapResult>& result) {
            if (!result.ok()) return failed(result.status());
            define_session_.clear();
            if (!result->won) return failed(absl::AlreadyExistsError(result->why));
            Draft event = draft(nullptr, record_->epoch);
            auto payload = event.payload().initVmDefined();
            payload.setSpec(spec.reader());
            payload.setNode(shared_.context.node());
            shared_.context.publish(std::move(event));
            done(absl::OkStatus());
            finished();
          });
        });
      }));
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

}  // namespace supercloud
