// When a copy executes: under its deadline, and not after it.
#include <utility>

#include "absl/strings/str_cat.h"
#include "hypercall/qemu/copy.h"

namespace supercloud {

std::uint64_t QemuCopy::lapses() const {
  return lapses_ + (deadline_ <= loop_.clock().now() ? 1 : 0);
}

void QemuCopy::arm(Instant deadline) {
  lapses_ = lapses();
  deadline_ = deadline;
  armed_ = true;
  // One whose vCPUs do not run needs none: it may be sending its memory, or filling it.
  if (keeper_ == nullptr || !(running_ || cont_unanswered_ || resume_ || frozen())) return;
  if (const auto state = keeper_->arm(deadline); state.ok()) take_state(*state);
}

absl::Status QemuCopy::lapsed() const {
  return absl::FailedPreconditionError(
      absl::StrCat("the deadline of ", record_.vm,
                   " passed after this resume was called; swap to a new epoch first"));
}

absl::Status QemuCopy::check_resume(Epoch epoch) const {
  const std::string& vm = record_.vm;
  if (!doubt_.ok()) return doubt_;
  if (!record_.own && !arrived_)
    return absl::FailedPreconditionError(
        absl::StrCat("the memory of ", vm, " is not complete here; wait until it has arrived"));
  if (epoch < record_.epoch)
    return absl::FailedPreconditionError(absl::StrCat(
        vm, " was resumed here at epoch ", record_.epoch, " already, which is above ", epoch));
  using Memory = GuestStatus::Memory;
  if (memory_ == Memory::needed || memory_ == Memory::broken || memory_ == Memory::lost)
    return absl::FailedPreconditionError(
        absl::StrCat("the copy of ", vm, " here cannot go on: ",
                     memory_ == Memory::lost ? "a part of its memory is lost"
                                             : "its target executes with its memory",
                     "; destroy it when it is not needed any more"));
  if (resume_)
    return absl::FailedPreconditionError(
        absl::StrCat("another resume of ", vm, " is under way; wait for its answer"));
  if (running_ && !frozen() && epoch != record_.epoch)
    return absl::FailedPreconditionError(absl::StrCat(
        vm, " runs here at epoch ", record_.epoch, "; pause it before it runs at epoch ", epoch));
  if (deadline_ <= loop_.clock().now())
    return absl::FailedPreconditionError(absl::StrCat(
        "the keeper of ", vm, " allows no execution now; renew the session and arm it first"));
  return absl::OkStatus();
}

void QemuCopy::resume(Epoch epoch, std::uint64_t called_at, Reply<Done> reply) {
  if (const absl::Status refused = check_resume(epoch); !refused.ok()) return reply(refused);
  if (called_at != lapses()) return reply(lapsed());
  if (running_ && !frozen()) return reply(Done{});
  using Memory = GuestStatus::Memory;
  record_.epoch = epoch;
  if (!record_.own) {
    record_.brought = record_.migration;
    record_.rest = memory_ != Memory::whole;
  }
  record_.own = true;
  record_.migration = {};
  record_.endpoint.clear();
  if (const absl::Status saved = record_.save(folder_); !saved.ok()) return reply(saved);
  const auto thawed = keeper_->thaw(deadline_);
  if (!thawed.ok()) {
    // Should it still do what it was told, it freezes at once, as this resume has been answered; if its socket is full, at the deadline.
    if (absl::IsUnavailable(thawed.status())) (void)keeper_->arm(Instant{});
    return reply(thawed.status());
  }
  keeper_state_ = *thawed;
  const std::uint64_t number = ++last_resume_;
  resume_.emplace(Resume{number, thawed->freezes, called_at, std::move(reply)});
  reach(loop_.clock().now() + start_max,
        Reply<Done>(far_future, [this, number](const absl::StatusOr<Done>& up) {
          if (!resume_ || resume_->number != number) return;  // it was answered: nothing may run
          if (!up.ok()) return continued(up.status());
          let_run(number);
        }));
}

// The last look at the deadline before QEMU is asked. Should it pass before QEMU does that, the keeper freezes it, as continued() finds.
void QemuCopy::let_run(std::uint64_t number) {
  if (resume_->lapses != lapses()) return continued(lapsed());
  cont_unanswered_ = true;
  console_ = OwnFd();  // for others, who read it
  ask("cont", QmpValue::object(), [this, number](const absl::StatusOr<QmpValue>& done) {
    // That it does not run was answered, or that it was not asked to.
    if (done.ok() || absl::IsUnknown(done.status())) cont_unanswered_ = false;
    if (done.ok()) running_ = true;
    if (resume_ && resume_->number == number) continued(done.status());
  });
}

void QemuCopy::continued(const absl::Status& status) {
  Resume resume = *std::exchange(resume_, std::nullopt);
  if (!status.ok()) {
    // Unless it is known that it does not run the keeper goes on guarding it.
    if (keeper_ != nullptr && !running_ && !cont_unanswered_) (void)keeper_->disarm();
    return resume.reply(status);
  }
  running_ = true;
  const auto state = keeper_ == nullptr ? doubt_ : keeper_->status();
  if (!state.ok()) return resume.reply(state.status());
  keeper_state_ = *state;
  if (frozen() || state->freezes != resume.freezes) {
    owner_.look();
    return resume.reply(absl::FailedPreconditionError(
        absl::StrCat("the keeper of ", record_.vm, " froze it after this resume was called")));
  }
  resume.reply(Done{});
}

void QemuCopy::pause(Reply<Done> reply) {
  if (!record_.own)
    return reply(absl::FailedPreconditionError(
        absl::StrCat("the copy of ", record_.vm, " here is incoming and has never run")));
  if (frozen())
    return reply(absl::FailedPreconditionError(
        absl::StrCat(record_.vm,
                     " is frozen, and would execute before it could be stopped; resume it at a new "
                     "epoch, or destroy it")));
  // QEMU would wait for a guest that waits for memory, and hear nothing more, also not of another stream.
  if (record_.rest && memory_ != GuestStatus::Memory::following)
    return reply(absl::UnavailableError(
        absl::StrCat(record_.vm, " waits for a part of its memory, and cannot be stopped now")));
  const Instant deadline = reply.deadline();
  ask(
      "stop", QmpValue::object(),
      [this, reply = std::move(reply)](const absl::StatusOr<QmpValue>& stopped) mutable {
        if (!stopped.ok()) return reply(stopped.status());
        running_ = cont_unanswered_ = false;
        if (frozen())
          return reply(absl::FailedPreconditionError(
              absl::StrCat("the keeper of ", record_.vm, " froze it as it was being paused")));
        if (keeper_ == nullptr) return reply(doubt_);
        if (const auto state = keeper_->disarm(); !state.ok()) return reply(state.status());
        reply(Done{});
      },
      deadline);
}

}  // namespace supercloud
