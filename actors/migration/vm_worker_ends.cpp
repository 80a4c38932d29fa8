// How the end of a migration gets said: exactly as long as it has not been, the record names an heir (6). The mark is a debt of
// whoever takes it away: the target that resumed says `completed` and then clears it; who takes it away otherwise says `aborted`,
// once the record shows that it did.
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/vm_worker.h"

namespace supercloud {
namespace {

constexpr Duration ask_again = absl::Milliseconds(200);

// At which a migration was aborted, in the words of its event.
constexpr const char* before_commit = "before the commit";
constexpr const char* committed = "committed";

}  // namespace

// ---- completed -------------------------------------------------------------------------------------------------------

// Committed to this node, and not yet said to have ended.
bool VmWorker::owes_completed() const {
  return record_ && record_->holder == shared_.context.node() && record_->heir &&
         record_->heir->node == record_->holder && record_->heir->migration != end_said_;
}

// Completed is: resumed here, and the network sends the guest's frames here.
bool VmWorker::switched_here() const {
  if (!spec_) return false;
  const std::string address(text(spec_->reader().getAddress()));
  for (const AddressOwner& owner : shared_.seams.fabric.owners())
    if (owner.address == address && owner.node == shared_.context.node()) return true;
  return false;
}

void VmWorker::say_completed() {
  const EventId migration = record_->heir->migration;
  Draft event = draft(&migration, record_->epoch);
  auto payload = event.payload().initMigrationCompleted();
  payload.setSource(committed_from_);
  payload.setTarget(shared_.context.node());
  payload.setSentBytes(figures_.sent_bytes);
  payload.setPasses(figures_.passes);
  if (resumed_time_ && figures_.paused.value != 0)
    payload.setBlackoutMs(
        absl::ToDoubleMilliseconds(resumed_time_->wall() - figures_.paused.wall()));
  if (figures_.accepted.value != 0) {
    const auto total = absl::ToInt64Milliseconds(shared_.context.wall() - figures_.accepted.wall());
    payload.setTotalMs(total < 0 ? 0 : static_cast<std::uint64_t>(total));
  }
  // The mark stays until the log has it: a full disk must not make it a migration that nobody ended.
  saying_end_ = true;
  shared_.context.publish(std::move(event),
                          [this, alive = alive_, migration](const absl::Status& logged) {
                            if (!*alive) return;
                            saying_end_ = false;
                            if (logged.ok()) end_said_ = migration;
                            if (logged.ok()) return look();
                            shared_.context.after(ask_again, [this, alive] {
                              if (*alive) look();
                            });
                          });
}

// ---- aborted ---------------------------------------------------------------------------------------------------------

// `swap`, about to be sent, takes the mark away.
void VmWorker::owe(const Swap& swap, const std::string& why) {
  const auto& mark = record_->heir;
  const bool told =
      mark && (saying_end_ || mark->migration == end_said_ || mark->migration == end_heard_);
  if (!mark || told) return owed_.reset();
  const bool again = owed_ && owed_->migration == record_->heir->migration &&
                     owed_->epoch == record_->epoch;  // an earlier one may still arrive
  if (!again) owed_ = Owed{.migration = record_->heir->migration, .epoch = record_->epoch};
  owed_->swaps.insert(swap.swap_id);
  owed_->stage = record_->heir->node == record_->holder ? committed : before_commit;
  owed_->why = why;
}

// Refused: whoever took the mark away says so.
void VmWorker::owe_no_more(const std::string& swap_id) {
  if (owed_ && owed_->swaps.erase(swap_id) > 0 && owed_->swaps.empty()) owed_.reset();
}

void VmWorker::recover_owed(const EventId& migration, const std::string& swap_id, Epoch epoch) {
  if (!owed_ || owed_->migration != migration || owed_->epoch != epoch)
    owed_ = Owed{.migration = migration,
                 .epoch = epoch,
                 .stage = committed,
                 .why = "its holder was lost, and so was the memory of the VM"};
  owed_->swaps.insert(swap_id);
}

void VmWorker::recover_end_said(const EventId& migration) {
  end_said_ = migration;
  if (owed_ && owed_->migration == migration) owed_.reset();
}

// The record was read: has the swap taken the mark away?
void VmWorker::settle_owed() {
  if (!owed_) return;
  const bool marked = record_ && record_->heir && record_->heir->migration == owed_->migration;
  const bool decided = !record_ || record_->epoch > owed_->epoch;
  const bool ours = record_ && owed_->swaps.contains(record_->swap_id);
  if (!decided && marked) return;
  const Owed owed = *std::exchange(owed_, std::nullopt);
  if (decided && !ours && record_) return;  // another took it, and says so
  end_said_ = owed.migration;
  say_aborted(owed);
}

void VmWorker::say_aborted(const Owed& owed) {
  Draft event = draft(&owed.migration, owed.epoch);
  auto payload = event.payload().initMigrationAborted();
  payload.setNode(shared_.context.node());
  payload.setStage(owed.stage);
  payload.setWhy(owed.why);
  shared_.context.publish(std::move(event),
                          [this, alive = alive_, owed](const absl::Status& logged) {
                            if (*alive && !logged.ok())
                              shared_.context.after(ask_again, [this, alive, owed] {
                                if (*alive) say_aborted(owed);
                              });
                          });
}

// Why a migration is over whose mark this node's takeover, restart or removal takes away (21).
std::string VmWorker::why_lost() const {
  if (record_->holder == shared_.context.node())
    return "the target lost its memory as it committed, and starts anew from its disk";
  if (record_->heir && record_->heir->node == record_->holder)
    return absl::StrCat(record_->holder, " committed and was then lost");
  return absl::StrCat("source lost: the session of ", record_->holder, " has ended");
}

// Safe without a look at the target: it can have asked to commit only after a hand-over, and what was handed over is taken back by
// a swap to a new epoch first.
void VmWorker::clear_heir() {
  Swap swap = make_swap(SwapKind::CLEAR_HEIR);
  swap.heir = record_->heir;
  // A source says by itself how what it accepted has ended.
  const bool accepted_here =
      record_->holder == shared_.context.node() && record_->heir->node != record_->holder;
  if (!accepted_here) owe(swap, why_lost());
  send_swap(swap, [this](const absl::StatusOr<SwapResult>& result) {
    finished_later(result.ok() && result->won ? absl::ZeroDuration() : ask_again);
  });
}

// ---- cleaned ---------------------------------------------------------------------------------------------------------

// Cleaned follows the end (20), as heard, or as the record shows once the mark is gone. A log that lacks it makes this executor,
// restarted, look again.
void VmWorker::migration_ended(const EventId& migration) {
  end_heard_ = migration;
  tend_released();
}

void VmWorker::tend_released() {
  if (!released_) return;
  const bool marked = record_ && record_->heir && record_->heir->migration == released_->migration;
  const bool ended = record_known_ && !marked && (!record_ || record_->epoch > released_->epoch);
  if (ended || end_heard_ == released_->migration) say_cleaned();
}

void VmWorker::say_cleaned() {
  const Released released = *std::exchange(released_, std::nullopt);
  Draft cleaned = draft(&released.migration, released.epoch);
  cleaned.payload().initMigrationCleaned().setNode(shared_.context.node());
  shared_.context.publish(std::move(cleaned));
}

}  // namespace supercloud
