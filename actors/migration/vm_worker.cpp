#include "actors/migration/vm_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr int takeover_turns_drained = 10;
constexpr Duration hot_poll = absl::Milliseconds(100);  // of the record, while a hand-over is open
// A define that has not taken effect by then is not waited for; its disk goes.
constexpr Duration define_late_max = absl::Seconds(10);

}  // namespace

VmWorker::VmWorker(ExecutorShared& shared, std::string vm)
    : shared_(shared), vm_(std::move(vm)), alive_(std::make_shared<bool>(true)) {}

VmWorker::~VmWorker() {
  *alive_ = false;
  shared_.context.cancel(wake_);
  shared_.context.cancel(ask_timer_);
}

std::string VmWorker::tenant() const { return VmName::of(vm_).tenant; }
std::string VmWorker::name() const { return VmName::of(vm_).name; }

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

HybridTime VmWorker::publish(Draft event) {
  const Event said = shared_.context.publish(std::move(event));
  return said ? said.time() : shared_.context.time();
}

std::string VmWorker::state() const {
  const auto guest = copy();
  const bool leaves = out_ && out_->epoch != 0;
  const bool comes = guest && (guest->state == GuestStatus::State::incoming ||
                               guest->state == GuestStatus::State::arrived);
  // What is wanted is not yet so: who waits for "stopped" waits until no copy is left.
  if (spec_ && !spec_->reader().getRunning())
    return leaves || comes ? "migrating" : guest ? "stopping" : "stopped";
  if (failed_reported_) return "failed";
  if (leaves) return "migrating";
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

bool VmWorker::may_come() const {
  const bool defining =
      !define_swap_id_.empty() && shared_.context.now() < define_sent_ + define_late_max;
  const bool heir = record_ && record_->heir && record_->heir->node == shared_.context.node();
  return defining || heir || in_ || recovered_in_ || copy() ||
         (record_ &&
          (asked_by_copy_.contains(record_->epoch) || asked_by_boot_.contains(record_->epoch)));
}

bool VmWorker::bystander() const {
  if (busy_ || reading_ || !record_ || out_ || in_ || recovered_in_ || released_ || copy())
    return false;
  if (record_->holder == shared_.context.node() || record_->heir || !record_->session_alive)
    return false;
  for (const std::string& node : record_->in_sync)
    if (node == shared_.context.node()) return false;
  // A swap of its own may be in flight still (4).
  if (asked_by_copy_.contains(record_->epoch) || asked_by_boot_.contains(record_->epoch))
    return false;
  return std::ranges::none_of(shared_.seams.volumes.list(),
                              [this](const VolumeStatus& volume) { return volume.vm == vm_; });
}

View VmWorker::view() {
  View view;
  const Context& context = shared_.context;
  view.node = context.node();
  view.now = context.now();
  view.session = shared_.seams.session.current();
  view.session_deadline = shared_.seams.session.deadline();
  view.blackout_reserve = shared_.options.blackout_deadline;
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
  if (spec_ && spec_->reader().getLossBoundNs() > 0) {
    view.loss_bound = absl::Nanoseconds(spec_->reader().getLossBoundNs());
    view.loss = view.volume && view.volume->heard && holder_lost_since_ != far_future
                    ? holder_lost_since_ - *view.volume->heard
                    : absl::InfiniteDuration();
  }
  view.won = won_;
  view.asked_by_copy = asked_by_copy_;
  view.asked_by_boot = asked_by_boot_;
  view.end = end_of_marked();
  view.define_in_flight =
      view.session && define_session_ == *view.session && view.now < define_sent_ + define_late_max;
  view.out = out_;
  view.in = in_;
  int turn = 0;
  if (record_) {
    const auto found = std::find(record_->in_sync.begin(), record_->in_sync.end(), view.node);
    turn = record_->heir && record_->heir->node == view.node
               ? 0
               : 1 + static_cast<int>(found - record_->in_sync.begin());
  }
  if (record_ && spec_ && !record_->session_alive && record_->holder != view.node)
    view.can_be_made = shared_.seams.hypervisor.check(spec_->reader()).ok();
  view.draining = shared_.draining;
  // After all others that might, and rather than nobody.
  if (view.draining) turn += takeover_turns_drained;
  view.takeover_after = holder_lost_since_ + shared_.options.takeover_stagger * turn;
  return view;
}

void VmWorker::read_record() {
  if (reading_) return;
  reading_ = true;
  shared_.seams.leases.read(
      key_of_vm(vm_),
      reply<LeaseRecord>(shared_.options.call_deadline,
                         [this, asked = shared_.context.now()](absl::StatusOr<LeaseRecord> read) {
                           reading_ = false;
                           if (read.ok()) {
                             record_read(*std::move(read), asked);
                           } else if (absl::IsNotFound(read.status())) {
                             record_read(std::nullopt, asked);
                           } else {
                             look();
                           }
                         }));
}

void VmWorker::record_read(std::optional<LeaseRecord> record, Instant asked) {
  // Answers may come out of order: never step back. (A name that is used again begins with a low revision, at a higher epoch.)
  const auto age = [](const LeaseRecord& of) { return std::pair(of.epoch, of.revision); };
  if (record && record_ && age(*record) < age(*record_)) return;
  // Absence has no age: it counts if it was asked for after the record was told.
  if (!record && record_ && asked <= record_told_) return look();
  const bool known_value = record_ && record && record_->value == record->value && spec_;
  record_known_ = true;
  record_asked_ = asked;
  record_told_ = shared_.context.now();
  record_ = std::move(record);
  if (record_) {
    if (!known_value) {
      auto spec = Message<schema::VmSpec>::parse(record_->value);
      if (spec.ok()) spec_ = *std::move(spec);
    }
    if (record_->session_alive || record_->holder == shared_.context.node()) {
      holder_lost_since_ = far_future;
    } else if (holder_lost_since_ == far_future || lost_session_ != record_->session) {
      // Of who held it in between, and is lost as well, this node may have read nothing.
      holder_lost_since_ = shared_.context.now();
      lost_session_ = record_->session;
    }
    if (!define_swap_id_.empty() && record_->swap_id == define_swap_id_ && spec_) say_defined();
    // A swap whose answer was lost: the record says that it was ours that won.
    if (record_->swap_id == last_swap_id_ && record_->epoch > consumed_ &&
        record_->session == last_swap_session_)
      won_ = {record_->epoch, last_swap_session_};
    if (record_->epoch >= unsaid_takeover_ && record_->holder != shared_.context.node())
      unsaid_takeover_ = 0;  // another node won
    if (out_ && out_->epoch == 0 && record_->heir &&
        *record_->heir == Heir{out_->target, out_->migration})
      accepted(record_->epoch);
    const bool heir = record_->heir && record_->heir->node == shared_.context.node();
    if (heir && !in_ && record_->holder != shared_.context.node() &&
        record_->heir->migration != dropped_) {
      in_ = Incoming{.migration = record_->heir->migration,
                     .source = record_->holder,
                     .epoch = record_->epoch,
                     .deadline = shared_.context.now() + shared_.options.migration_deadline};
      if (expected_ && expected_->first == in_->migration) in_->deadline = expected_->second;
      const auto guest = copy();
      in_->prepared = guest && guest->migration == in_->migration && recovered_in_ &&
                      recovered_in_->migration == in_->migration;
    }
    forget_old_swaps();
  }
  tend_released();
  look();
}

// What is decided needs no memory; a copy's chain of swaps is still looked at.
void VmWorker::forget_old_swaps() {
  const auto guest = copy();
  const Epoch oldest = guest ? std::min(guest->epoch, record_->epoch) : record_->epoch;
  asked_by_copy_.erase(asked_by_copy_.begin(), asked_by_copy_.lower_bound(oldest));
  asked_by_boot_.erase(asked_by_boot_.begin(), asked_by_boot_.lower_bound(oldest));
}

void VmWorker::recover_outgoing(Outgoing out) {
  const auto guest = copy();
  out.paused = guest && guest->state != GuestStatus::State::running;
  out.sending = true;
  out_ = std::move(out);
  follow_progress();
}

// ---- the loop --------------------------------------------------------------------------------------------------------

void VmWorker::look() {
  if (busy_ || forgotten_) return;
  View now = view();
  // A guest that died, or was frozen, leaves its port open.
  if ((!now.copy || now.copy->state != GuestStatus::State::running) &&
      shared_.seams.fabric.port(vm_))
    shared_.seams.fabric.close(vm_);
  tell_too_late();
  note_stream();
  const Decision decision = shared_.options.decide(now);
  // Whatever comes next for it, it did resume here.
  const bool runs = now.copy && now.copy->state == GuestStatus::State::running;
  // vm.resumed is noted, not durable: a crash may have taken it from the log.
  if (runs && record_ && record_->holder == now.node && now.copy->epoch == record_->epoch &&
      resumed_said_ < record_->epoch)
    say_resumed(record_->epoch, "found running", true);
  const bool whole = now.copy && now.copy->memory == GuestStatus::Memory::whole;
  if (runs && whole && completing(now) && now.end == View::End::open &&
      (decision.step != Step::none || switched_here()))
    say_completed([this](bool logged) {
      if (logged) return look();
      shared_.context.after(retry_delay, [this, alive = alive_] {
        if (*alive) look();
      });
    });
  if (decision.step != Step::none) {
    busy_ = true;
    take(decision);
    return;
  }
  if (now.copy && now.copy->state == GuestStatus::State::running) {
    tend_standbys();
    tend_replicas();
  }
  // Come back when the next deadline passes; while a hand-over is open, ask the table often.
  const bool hand_over = out_ && out_->paused && (!record_ || record_->epoch == out_->epoch);
  const bool hot = hand_over || (in_ && in_->seal);
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
    case Step::say_aborted: {
      const auto then = [this](bool logged) { logged ? finished() : finished_later(retry_delay); };
      // Committed here, it ran here, and has been stopped since.
      if (record_->heir->node == record_->holder && resumed_said_ >= record_->epoch)
        return say_completed(then);
      return say_aborted(record_->heir->migration, then);
    }
    case Step::finish_lost:
      return finish_lost();
    case Step::prepare:
      return prepare();
    case Step::verify:
      return verify();
    case Step::swap_commit:
      return commit();
    case Step::drop_incoming:
      return drop_incoming(decision.why);
    case Step::swap_restart:
      return swap_epoch(SwapKind::RESTART, memory_lost_.empty() ? "restarted" : memory_lost_);
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
      return report_failed(
          "the node that holds it has no disk of it: the disk was lost, and no in-sync replica is "
          "known");
    case Step::destroy_copy:
      return destroy_copy(true);
    case Step::lose_memory:
      return lose_memory();
    case Step::release_volume:
      shared_.seams.volumes.destroy(vm_,
                                    reply<Done>(shared_.options.call_deadline, [this](auto done) {
                                      done.ok() ? finished() : finished_later(retry_delay);
                                    }));
      return;
    case Step::forget:
      tend_released();
      forgotten_ = !released_;
      busy_ = false;
      return;
    case Step::none:
      busy_ = false;
      return;
  }
}

}  // namespace supercloud
