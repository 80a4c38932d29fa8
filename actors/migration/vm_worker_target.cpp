// The target's steps of a migration: from `prepare` to the commit, and what is said when it has resumed.
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/vm_worker.h"

namespace supercloud {
void VmWorker::prepare() {
  auto& seams = shared_.seams;
  if (!spec_) return finished_later(retry_delay);
  const auto failed = [this](const absl::Status& why) {
    if (in_ && in_->failure.empty()) in_->failure = std::string(why.message());
    finished();
  };
  seams.hypervisor.prepare_incoming(
      *spec_, in_->migration, in_->epoch,
      reply<Done>(shared_.options.make_deadline, [this, failed](absl::StatusOr<Done> prepared) {
        if (!in_) return finished();
        if (!prepared.ok()) return failed(prepared.status());
        shared_.seams.fabric.prepare(
            vm_, std::string(text(spec_->reader().getAddress())),
            reply<Done>(shared_.options.call_deadline, [this, failed](absl::StatusOr<Done> path) {
              if (!in_) return finished();
              if (!path.ok()) return failed(path.status());
              // The commit is logged here, ahead of the blackout, although it may never be sent (4, 25).
              log_swap(make_swap(SwapKind::COMMIT), [this] {
                if (!in_) return finished();
                in_->prepared = true;
                Draft event = draft(&in_->migration, in_->epoch);
                auto payload = event.payload().initMigrationTargetReady();
                payload.setNode(shared_.context.node());
                if (const NodeFacts* here = shared_.nodes.find(shared_.context.node()))
                  payload.setEndpoint(here->endpoint);
                payload.setDeadlineNs(
                    absl::ToInt64Nanoseconds(in_->deadline - shared_.context.now()));
                shared_.context.publish(std::move(event));
                finished();
              });
            }));
      }));
}

// What is paused in time has its blackout's deadline after that.
void VmWorker::expect(const EventId& migration, Instant deadline) {
  expected_.emplace(migration, deadline + shared_.options.blackout_deadline);
  if (in_ && in_->migration == migration) in_->deadline = expected_->second;
}

void VmWorker::switch_over(schema::Request::SwitchOver::Reader request, Answer answer) {
  const EventId migration = EventId::from(request.getMigration());
  if (!in_ || in_->migration != migration) {
    const bool committed =
        record_ && record_->holder == shared_.context.node() && record_->epoch > request.getEpoch();
    if (committed)
      return answer(Message<schema::Response>::build([](auto response) { response.setDone(); }));
    if (dropped_ == migration)
      return answer(absl::FailedPreconditionError("the target has given this migration up"));
    read_record();
    return answer(absl::UnavailableError("this node does not know yet that it expects it"));
  }
  figures_ = {.accepted = {request.getAcceptedTime()},
              .paused = {request.getPausedTime()},
              .sent_bytes = request.getSentBytes(),
              .passes = request.getPasses()};
  in_->from_disk = in_->from_disk || request.getFromDisk();
  if (!in_->seal) in_->seal = Seal{request.getEpoch(), request.getVersion(), request.getDigest()};
  switch_over_answers_.push_back(std::move(answer));
  look();
}

void VmWorker::verify() {
  const EventId migration = in_->migration;
  shared_.seams.volumes.verify(vm_, *in_->seal,
                               reply<Done>(shared_.options.blackout_deadline,
                                           [this, migration](absl::StatusOr<Done> verified) {
                                             if (!in_ || in_->migration != migration)
                                               return finished();
                                             if (verified.ok())
                                               in_->verified = true;
                                             else if (in_->failure.empty())
                                               in_->failure = absl::StrCat(
                                                   "verify: ", verified.status().message());
                                             finished();
                                           }));
}

// The last step before the guest's first instruction here (1). It was logged when the target said that it was ready.
void VmWorker::commit() {
  Swap swap = make_swap(SwapKind::COMMIT);
  swap.heir = Heir{shared_.context.node(), in_->migration};
  swap.in_sync = {shared_.context.node()};
  in_->commit_asked = true;
  start_reason_ =
      in_->from_disk ? "committed, from its disk: its memory did not come in time" : "committed";
  send_swap(swap, [this](const absl::StatusOr<SwapResult>& result) {
    result.ok() ? finished() : finished_later(retry_delay);
  });
}

void VmWorker::drop_incoming(const std::string& why) {
  const auto guest = copy();
  // A stream that ended took the copy along: its source knows why.
  const bool source_knows = in_->failure.empty() && in_->prepared && !guest && !in_->from_disk;
  if (in_->failure.empty()) in_->failure = why;
  const bool incoming = guest && (guest->state == GuestStatus::State::incoming ||
                                  guest->state == GuestStatus::State::arrived);
  const auto dropped = [this, source_knows](const absl::StatusOr<Done>& destroyed) {
    if (!destroyed.ok()) return finished_later(retry_delay);
    if (!in_) return finished();
    const Incoming in = *std::exchange(in_, std::nullopt);
    dropped_ = in.migration;
    for (Answer& answer : std::exchange(switch_over_answers_, {}))
      answer(absl::FailedPreconditionError(in.failure));
    // As the holder it has committed, and settles the mark as such.
    const bool marked = record_ && record_->hand_over_open() &&
                        *record_->heir == Heir{shared_.context.node(), in.migration};
    // A lost source leaves the mark to this node's takeover.
    if (!marked || !record_->session_alive || !shared_.seams.session.current()) return finished();
    aborted_ = Aborted{in.migration, in.prepared ? "copying memory" : "preparing",
                       "the target gave up: " + in.failure};
    Swap swap = make_swap(SwapKind::CLEAR_HEIR);
    swap.heir = record_->heir;
    send_swap(swap, [this, source_knows,
                     migration = in.migration](const absl::StatusOr<SwapResult>& result) {
      if (!result.ok() || !result->won || source_knows) return finished();
      // Only this node knows why. Should that not be heard, the holder says an end.
      say_aborted(migration, [this](bool) { finished(); });
    });
  };
  if (!incoming) return dropped(Done{});
  shared_.seams.hypervisor.destroy(vm_, reply<Done>(shared_.options.call_deadline, dropped));
}

}  // namespace supercloud
