// The source's steps of a migration: from `accept` to the pause, and either back or to `finish_lost`.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/vm_worker.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr Duration ask_soon =
    absl::Milliseconds(10);  // at first; then twice as long each time, up to retry_delay
constexpr Duration hand_over_again = absl::Milliseconds(300);
// Of a blackout, what is not memory: pause, seal, the swap of the lease, resume.
constexpr Duration hand_over_reserve = absl::Milliseconds(50);
constexpr Duration hopeless_for = absl::Seconds(5);
constexpr Duration hurried_by_least = absl::Milliseconds(100);
constexpr const char* follows_no_more =
    "the rest of its memory was to follow, and its source is to be left by a deadline: it is moved "
    "otherwise";

}  // namespace

Instant drained_by(Instant now, Instant deadline, const ExecutorOptions& options) {
  return deadline - std::min(options.drain_reserve, (deadline - now) / 4);
}

void VmWorker::begin(Outgoing out) {
  // Accepted before a restart, its end said since.
  if (end_known(out.migration)) return;
  out_ = std::move(out);
  accepted_time_ = paused_time_ = {};
  progress_ = {};
  ask_delay_ = ask_soon;
  look();
}

void VmWorker::fail_outgoing(std::string why) {
  if (out_ && out_->failure.empty()) out_->failure = std::move(why);
  look();
}

void VmWorker::hurry(Instant deadline, const std::string& why) {
  if (!out_ || out_->paused || !out_->failure.empty()) return;
  const Instant now = shared_.context.now();
  const Instant no_return = drained_by(now, deadline, shared_.options);
  // By less it is not worth a word.
  if (no_return <= now || no_return + hurried_by_least > out_->no_return) return;
  out_->deadline = std::min(out_->deadline, deadline);
  out_->no_return = no_return;
  Draft event = draft(&out_->migration, out_->epoch);
  auto payload = event.payload().initMigrationHurried();
  payload.setNode(shared_.context.node());
  payload.setWhy(why);
  payload.setDeadlineNs(absl::ToInt64Nanoseconds(deadline - now));
  payload.setNoReturnNs(absl::ToInt64Nanoseconds(no_return - now));
  shared_.context.publish(std::move(event));
  if (out_->sending) arm_drain();
  if (!may_follow()) return fail_outgoing(follows_no_more);
  look();
}

void VmWorker::cancel(std::string why, std::function<void(absl::Status)> told) {
  if (!out_)
    return told(absl::FailedPreconditionError(
        absl::StrCat("it is too late, or there was nothing to cancel: no migration of ", vm_,
                     " is under way, and ", shared_.context.node(), " holds it")));
  cancel_waiters_.push_back(std::move(told));
  fail_outgoing("cancelled: " + why);
}

void VmWorker::accept() {
  Swap swap = make_swap(SwapKind::ACCEPT);
  swap.heir = Heir{out_->target, out_->migration};
  send_swap(swap, [this](const absl::StatusOr<SwapResult>& result) {
    if (!result.ok()) return finished_later(retry_delay);
    if (!result->won) {
      if (out_ && out_->failure.empty()) out_->failure = result->why;
      return finished();
    }
    if (out_) accepted(result->record->epoch);
    finished();
  });
}

// The mark is in the record: by the answer to its swap, or, where that was lost, as read.
void VmWorker::accepted(Epoch epoch) {
  if (out_->epoch != 0) return;
  out_->epoch = epoch;
  Draft event = draft(&out_->migration, epoch);
  auto payload = event.payload().initMigrationAccepted();
  payload.setSource(shared_.context.node());
  payload.setTarget(out_->target);
  payload.setDeadlineNs(absl::ToInt64Nanoseconds(out_->deadline - shared_.context.now()));
  const Event said = shared_.context.publish(
      std::move(event),
      [this, alive = alive_, migration = out_->migration](const absl::Status& logged) {
        if (!*alive || !out_ || out_->migration != migration) return;
        out_->accepted_logged = logged.ok();
        if (!logged.ok() && out_->failure.empty())
          out_->failure = absl::StrCat("accepted, and not logged: ", logged.message());
        look();
      });
  accepted_time_ = said ? said.time() : shared_.context.time();
}

// Asks the target to prepare, and whether it has.
Message<schema::Request> VmWorker::prepare_request() const {
  return Message<schema::Request>::build([this](schema::Request::Builder builder) {
    auto prepare = builder.initPrepareIncoming();
    prepare.setVm(spec_->reader());
    out_->migration.write(prepare.initMigration());
    prepare.setSource(shared_.context.node());
    prepare.setEpoch(out_->epoch);
    prepare.setDeadlineNs(absl::ToInt64Nanoseconds(out_->deadline - shared_.context.now()));
  });
}

// What it needs and has not seen, it asks for (24): the target's word, and whether the target's replica has caught up.
void VmWorker::ask_target() {
  for (const ReplicaStatus& replica : shared_.seams.volumes.replicas(vm_))
    if (replica.node == out_->target && replica.connected && replica.caught_up)
      out_->replica_ready = true;
  shared_.context.request(
      {out_->target, "executor"}, prepare_request(), shared_.options.call_deadline,
      [this, alive = alive_](absl::StatusOr<Message<schema::Response>> answer) {
        if (!*alive) return;
        if (out_ && answer.ok()) out_->target_ready = true;
        if (out_ && absl::IsFailedPrecondition(answer.status()) && out_->failure.empty())
          out_->failure = std::string(answer.status().message());
        busy_ = false;
        if (out_ && out_->target_ready && out_->replica_ready) return look();
        busy_ = true;
        ask_delay_ = std::min(ask_delay_ * 2, retry_delay);
        ask_timer_ = shared_.context.after(ask_delay_, [this] { ask_again(); });
      });
}

void VmWorker::ask_again() {
  ask_timer_ = 0;
  busy_ = false;
  read_record();
  look();
}

void VmWorker::target_ready(const EventId& migration) {
  if (ask_timer_ == 0 || !out_ || out_->migration != migration) return;
  shared_.context.cancel(ask_timer_);
  ask_again();
}

void VmWorker::start_sending() {
  const NodeFacts* target = shared_.nodes.find(out_->target);
  if (target == nullptr) {
    out_->failure = out_->target + " is not known as a node any more";
    return finished();
  }
  out_->sending = true;
  Draft event = draft(&out_->migration, out_->epoch);
  auto payload = event.payload().initMigrationStarted();
  payload.setSource(shared_.context.node());
  payload.setTarget(out_->target);
  payload.setMemoryBytes(spec_->reader().getMemoryBytes());
  payload.setDeadlineNs(absl::ToInt64Nanoseconds(out_->deadline - shared_.context.now()));
  shared_.context.publish(std::move(event));

  const EventId migration = out_->migration;
  const auto still_ours = [this, alive = alive_, migration] {
    return *alive && out_ && out_->migration == migration;
  };
  sending_since_ = progressed_ = shared_.context.now();
  hopeless_since_ = far_future;
  planned_.reset();
  stream_broken_ = false;
  post_copy_asked_ = false;
  TransferOptions options{.migration = migration, .endpoint = target->endpoint};
  options.blackout_budget = blackout().memory;
  options.post_copy = post_copy_allowed();
  if (blackout().said) options.passes_max = TransferOptions::passes_unlimited;
  shared_.seams.hypervisor.send(
      vm_, std::move(options), progress_call(migration),
      reply<TransferProgress>(std::max(out_->deadline - shared_.context.now(), absl::Seconds(1)),
                              [this, still_ours](absl::StatusOr<TransferProgress> converged) {
                                if (!still_ours()) return;
                                if (converged.ok()) {
                                  progress_ = *converged;
                                  out_->converged = true;
                                } else if (out_->failure.empty() && !out_->from_disk) {
                                  out_->failure =
                                      absl::StrCat("pre-copy: ", converged.status().message());
                                }
                                look();
                              }));
  arm_drain();
  check();  // while memory goes: what is sent within a second needs no other before its pause
}

std::function<void(const TransferProgress&)> VmWorker::progress_call(const EventId& migration) {
  return [this, alive = alive_, migration](const TransferProgress& progress) {
    if (*alive && out_ && out_->migration == migration) progressed(progress);
  };
}

// After a restart, of what goes on by itself: only who asks is told how far it is.
void VmWorker::follow_progress() {
  const auto guest = copy();
  if (!guest || !out_->paused || guest->migration != out_->migration) return;
  if (guest->memory == GuestStatus::Memory::whole || guest->memory == GuestStatus::Memory::lost)
    return;
  const NodeFacts* target = shared_.nodes.find(out_->target);
  shared_.seams.hypervisor.send(
      vm_, {.migration = out_->migration, .endpoint = target == nullptr ? "" : target->endpoint},
      progress_call(out_->migration), {});
}

VmWorker::Blackout VmWorker::blackout() const {
  const auto of_vm = static_cast<std::int64_t>(std::min<std::uint64_t>(
      spec_->reader().getBlackoutMaxNs(),
      static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
  const Duration said =
      out_->blackout_max > absl::ZeroDuration() ? out_->blackout_max : absl::Nanoseconds(of_vm);
  if (said == absl::ZeroDuration()) {
    const Duration usual = TransferOptions{}.blackout_budget;
    return {usual + hand_over_reserve, usual, false};
  }
  const Duration most = std::min(said, shared_.options.blackout_deadline);
  return {most, std::max(most - hand_over_reserve, most / 2), true};
}

void VmWorker::progressed(const TransferProgress& progress) {
  const Duration since = shared_.context.now() - std::exchange(progressed_, shared_.context.now());
  const std::uint64_t before = progress_.remaining_bytes;
  const bool fell = progress.pass == progress_.pass && before > progress.remaining_bytes;
  // Pages that are all zeros are hardly sent, and done all the same.
  const double falls =
      fell && since > absl::ZeroDuration()
          ? static_cast<double>(before - progress.remaining_bytes) / absl::ToDoubleSeconds(since)
          : 0;
  progress_ = progress;
  Draft told = draft(&out_->migration, out_->epoch);
  auto figures = told.payload().initMigrationProgress();
  figures.setPercent(progress.percent);
  figures.setEtaLowMs(static_cast<std::uint64_t>(absl::ToInt64Milliseconds(progress.eta_low)));
  figures.setEtaHighMs(static_cast<std::uint64_t>(absl::ToInt64Milliseconds(progress.eta_high)));
  figures.setPass(progress.pass);
  figures.setSentBytes(progress.sent_bytes);
  figures.setRemainingBytes(progress.remaining_bytes);
  figures.setBytesPerSecond(progress.bytes_per_second);
  figures.setDirtyPagesPerSecond(progress.dirty_pages_per_second);
  const bool committed = record_ && record_->holder != shared_.context.node();
  figures.setStage(committed      ? "the rest of memory follows"
                   : out_->paused ? "switching over"
                                  : "copying memory");
  shared_.context.publish(std::move(told));
  if (!out_->converged && !out_->paused && !progress.converged && out_->failure.empty())
    foresee(static_cast<std::uint64_t>(falls));
}

// Chooses how the guest gets over, and says so, whenever that is new.
void VmWorker::foresee(std::uint64_t falls_per_second) {
  const Instant now = shared_.context.now();
  const TransferBudget budget{.blackout_max = blackout().memory,
                              .total_max = out_->deadline - sending_since_,
                              .left = out_->deadline - now,
                              .leaves = out_->no_return < far_future,
                              .post_copy = progress_.can_follow && post_copy_allowed()};
  const TransferPlan plan = plan_transfer(progress_, falls_per_second, budget,
                                          planned_.value_or(schema::Method::PRE_COPY));
  hopeless_since_ = plan.hopeless.empty() ? far_future : std::min(hopeless_since_, now);
  // A way that carries nothing for a moment is no reason yet.
  if (now - hopeless_since_ >= hopeless_for)
    return fail_outgoing("it cannot be done in time: " + plan.hopeless);
  if (plan.method == schema::Method::THROTTLED) shared_.seams.hypervisor.slow_down(vm_);
  if (progress_.bytes_per_second == 0) return;
  if (planned_ != plan.method) {
    planned_ = plan.method;
    say_planned(plan.method, plan.why, &plan);
  }
  // Its answer is that the guest may be paused.
  if (plan.method != schema::Method::POST_COPY) return;
  post_copy_asked_ = true;
  shared_.seams.hypervisor.start_post_copy(vm_);
}

void VmWorker::say_planned(schema::Method method, const std::string& why,
                           const TransferPlan* plan) {
  Draft event = draft(&out_->migration, out_->epoch);
  auto planned = event.payload().initMigrationPlanned();
  planned.setMethod(method);
  planned.setWhy(why);
  planned.setBytesPerSecond(progress_.bytes_per_second);
  if (plan != nullptr) planned.setDirtyBytesPerSecond(plan->dirty_bytes_per_second);
  if (plan != nullptr && plan->total < absl::InfiniteDuration()) {
    planned.setTotalMs(static_cast<std::uint64_t>(
        absl::ToInt64Milliseconds(shared_.context.now() - sending_since_ + plan->total)));
    planned.setBlackoutMs(absl::ToDoubleMilliseconds(plan->blackout));
  }
  planned.setTotalMaxMs(static_cast<std::uint64_t>(
      absl::ToInt64Milliseconds(std::max(out_->deadline - sending_since_, absl::ZeroDuration()))));
  planned.setBlackoutMaxMs(absl::ToDoubleMilliseconds(blackout().most));
  shared_.context.publish(std::move(event));
}

// The source is needed after the commit: not one that may be taken away, or has to be left by a deadline (14).
bool VmWorker::post_copy_allowed() const {
  const NodeFacts* here = shared_.nodes.find(shared_.context.node());
  return spec_ && spec_->reader().getPostCopy() && out_->no_return == far_future &&
         (here == nullptr || !(here->spot || here->noticed));
}

// What was asked for cannot be taken back but with the transfer.
bool VmWorker::may_follow() const { return !post_copy_asked_ || post_copy_allowed(); }

// That the stream of a post-copy was lost, and that it goes on over another.
void VmWorker::note_stream() {
  const auto guest = copy();
  if (!out_ || !guest) return;
  const bool broken = guest->memory == GuestStatus::Memory::broken;
  const bool counts = broken || guest->memory == GuestStatus::Memory::needed;
  if (!counts || std::exchange(stream_broken_, broken) == broken) return;
  say_planned(schema::Method::POST_COPY,
              broken ? absl::StrCat(guest->memory_why, ", and another is tried")
                     : "its memory follows again, over another stream",
              nullptr);
}

void VmWorker::tell_too_late() {
  const bool lost = out_ && out_->epoch != 0 && record_ && record_->epoch > out_->epoch &&
                    record_->holder != shared_.context.node();
  if (!lost) return;
  for (auto& told : std::exchange(cancel_waiters_, {}))
    told(absl::FailedPreconditionError("too late: the target had committed"));
}

// A drain does not wait for memory beyond its reserve: what has not converged by then starts from the target's disk (16).
void VmWorker::arm_drain() {
  if (out_->no_return == far_future) return;
  const Duration left = out_->no_return - shared_.context.now();
  shared_.context.after(left - std::min(shared_.options.blackout_deadline, left / 3),
                        [this, alive = alive_, migration = out_->migration] {
                          if (!*alive || !out_ || out_->migration != migration) return;
                          if (out_->converged) return;
                          out_->from_disk = true;
                          look();
                        });
}

// Rule 15: both answers, and their round trip begun within the last second, before the guest is paused.
void VmWorker::check() {
  const Instant sent_at = shared_.context.now();
  auto missing = std::make_shared<int>(2);
  auto good = std::make_shared<bool>(true);
  const auto one = [this, alive = alive_, missing, good, sent_at](bool ok) {
    if (!*alive) return;
    *good = *good && ok;
    if (--*missing > 0) return;
    if (out_ && *good) {
      out_->checked_at = sent_at;
      return finished();
    }
    finished_later(retry_delay);
  };
  shared_.seams.leases.read(
      key_of_vm(vm_), reply<LeaseRecord>(shared_.options.call_deadline,
                                         [this, one, sent_at](absl::StatusOr<LeaseRecord> record) {
                                           if (record.ok()) record_read(*record, sent_at);
                                           one(record.ok() && record->heir_alive);
                                         }));
  shared_.context.request({out_->target, "executor"}, prepare_request(),
                          shared_.options.call_deadline,
                          [one](const auto& answer) { one(answer.ok()); });
}

void VmWorker::pause() {
  if (!may_follow()) {
    out_->failure = follows_no_more;
    return finished();
  }
  out_->paused = true;
  out_->pause_deadline = shared_.context.now() + shared_.options.blackout_deadline;
  shared_.seams.fabric.close(vm_);
  shared_.seams.hypervisor.pause(
      vm_, reply<Done>(shared_.options.blackout_deadline, [this](absl::StatusOr<Done> paused) {
        if (!out_) return finished();
        if (paused.ok()) {
          Draft event = draft(&out_->migration, out_->epoch);
          auto payload = event.payload().initVmPaused();
          payload.setNode(shared_.context.node());
          payload.setWhy("migration");
          payload.setDeadlineNs(absl::ToInt64Nanoseconds(
              std::max(out_->pause_deadline - shared_.context.now(), absl::ZeroDuration())));
          paused_time_ = publish(std::move(event));
        } else {
          memory_failed(absl::StrCat("pause: ", paused.status().message()));
        }
        finished();
      }));
}

// Of a paused guest that cannot be drained, or sent. A drain that does not take it back any more goes on from the disk (16).
void VmWorker::memory_failed(const std::string& why) {
  if (out_->may_take_back(shared_.context.now())) {
    if (out_->failure.empty()) out_->failure = why;
  } else {
    out_->from_disk = true;
  }
}

void VmWorker::seal() {
  shared_.seams.volumes.seal(
      vm_, out_->epoch,
      reply<Seal>(shared_.options.blackout_deadline, [this](absl::StatusOr<Seal> sealed) {
        if (out_ && sealed.ok())
          out_->seal = *sealed;
        else if (out_ && out_->failure.empty())
          out_->failure = absl::StrCat("seal: ", sealed.status().message());
        const bool again = out_ && !sealed.ok() && !out_->may_take_back(shared_.context.now());
        again ? finished_later(retry_delay) : finished();
      }));
}

// The rest of memory and the seal go at once; the target verifies while memory is still on its way (9).
void VmWorker::hand_over() {
  out_->handed_over = true;
  if (!out_->from_disk) {
    const EventId migration = out_->migration;
    shared_.seams.hypervisor.finish_send(
        vm_, reply<TransferProgress>(shared_.options.blackout_deadline,
                                     [this, migration](absl::StatusOr<TransferProgress> sent) {
                                       if (!out_ || out_->migration != migration) return;
                                       if (sent.ok())
                                         progress_ = *sent;
                                       else
                                         memory_failed(
                                             absl::StrCat("last pass: ", sent.status().message()));
                                       look();
                                     }));
  }
  send_switch_over();
  finished();
}

// Repeated until something decides: a lost request must not cost the blackout's deadline.
void VmWorker::send_switch_over() {
  const EventId migration = out_->migration;
  const auto request = Message<schema::Request>::build([this](schema::Request::Builder builder) {
    auto hand = builder.initSwitchOver();
    VmName::of(vm_).write(hand.initVm());
    out_->migration.write(hand.initMigration());
    hand.setEpoch(out_->seal->epoch);
    hand.setVersion(out_->seal->version);
    hand.setDigest(out_->seal->digest);
    hand.setFromDisk(out_->from_disk);
    hand.setAcceptedTime(accepted_time_.value);
    hand.setPausedTime(paused_time_.value);
    hand.setSentBytes(progress_.sent_bytes);
    hand.setPasses(progress_.pass);
  });
  shared_.context.request(
      {out_->target, "executor"}, request, hand_over_again,
      [this, alive = alive_, migration](absl::StatusOr<Message<schema::Response>> answer) {
        if (!*alive || !out_ || out_->migration != migration || !out_->seal) return;
        if (absl::IsFailedPrecondition(answer.status()) && out_->failure.empty())
          out_->failure = absl::StrCat("target: ", answer.status().message());
        if (!answer.ok() && (out_->failure.empty() || !out_->may_take_back(shared_.context.now())))
          shared_.context.after(hand_over_again / 3, [this, alive, migration] {
            if (*alive && out_ && out_->migration == migration && out_->seal) send_switch_over();
          });
        read_record();
      });
}

// Undoes the source's part. Of what was accepted the record decides when its end may be said (`settle_mark`).
void VmWorker::abort_outgoing() {
  const bool sending = out_->sending;
  const auto undone = [this](const absl::StatusOr<Done>& stopped) {
    if (!stopped.ok() && !absl::IsNotFound(stopped.status())) return finished_later(retry_delay);
    if (!out_) return finished();
    const Outgoing out = *std::exchange(out_, std::nullopt);
    const std::string why = !out.failure.empty()                    ? out.failure
                            : shared_.context.now() >= out.deadline ? "the deadline passed"
                            : record_ && record_->epoch > out.epoch && out.epoch != 0
                                ? "the blackout's deadline passed"
                                : "the guest stopped or its user wants otherwise";
    if (out.epoch == 0) {
      Draft event = draft(&out.migration, record_ ? record_->epoch : 0);
      auto payload = event.payload().initMigrationRefused();
      payload.setNode(shared_.context.node());
      payload.setTarget(out.target);
      auto failure = payload.initFailures(1)[0];
      failure.setName("accept");
      failure.setDetail(why);
      failure.setCure("propose it again");
      shared_.context.publish(std::move(event));
      know_end(out.migration);  // should its accept still arrive
    } else {
      aborted_ = Aborted{out.migration,
                         out.handed_over ? "switching over"
                         : out.paused    ? "paused"
                         : out.sending   ? "copying memory"
                                         : "preparing",
                         why, progress_.sent_bytes};
    }
    const auto guest = copy();
    if (guest && guest->state == GuestStatus::State::running && !shared_.seams.fabric.port(vm_))
      if (const absl::Status open = shared_.seams.fabric.open(vm_, guest->epoch); !open.ok())
        shared_.seams.hypervisor.arm(
            vm_, shared_.context.now());  // it may not speak: let a new epoch sort it out
    for (auto& told : std::exchange(cancel_waiters_, {})) told(absl::OkStatus());
    finished();
  };
  if (!sending) return undone(Done{});
  shared_.seams.hypervisor.stop_send(vm_, reply<Done>(shared_.options.call_deadline, undone));
}

// The target won: memory goes now; the volume stays with the replicator until the target does not need it (12).
void VmWorker::finish_lost() {
  shared_.seams.fabric.close(vm_);
  const auto guest = copy();
  const bool own = guest && guest->state != GuestStatus::State::incoming &&
                   guest->state != GuestStatus::State::arrived;
  shared_.seams.hypervisor.destroy(
      vm_, reply<Done>(shared_.options.call_deadline, [this, own](absl::StatusOr<Done> destroyed) {
        if (!destroyed.ok()) return finished_later(retry_delay);
        if (!out_) return finished();
        const Outgoing out = *std::exchange(out_, std::nullopt);
        if (own) {
          Draft released = draft(&out.migration, out.epoch);
          released.payload().initVmReleased().setNode(shared_.context.node());
          shared_.context.publish(std::move(released));
        }
        if (released_) say_cleaned();
        released_ = Released{out.migration, out.epoch};
        for (auto& told : std::exchange(cancel_waiters_, {}))
          told(absl::FailedPreconditionError("too late: the target had committed"));
        finished();
      }));
}

}  // namespace supercloud
