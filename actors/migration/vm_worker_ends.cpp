// How the end of a migration gets said: exactly as long as it has not been, the record has a mark (6). Whoever committed says
// `completed` and then clears it. Else the mark first stops naming an heir (a new epoch, or a swap that clears it), so that nobody
// commits any more; then the holder says `aborted`, and when the log has that, the mark goes.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/vm_worker.h"

namespace supercloud {
namespace {

constexpr std::size_t ends_known_max = 16;

}  // namespace

void VmWorker::know_end(const EventId& migration) {
  ends_known_.push_back(migration);
  if (ends_known_.size() > ends_known_max) ends_known_.pop_front();
}

bool VmWorker::end_known(const EventId& migration) const {
  return std::ranges::find(ends_known_, migration) != ends_known_.end();
}

View::End VmWorker::end_of_marked() const {
  if (saying_end_) return View::End::being_told;
  const bool told = record_ && record_->heir && end_known(record_->heir->migration);
  return told ? View::End::told : View::End::open;
}

// The mark stays until the log has it: a full disk must not make it a migration that nobody ended.
void VmWorker::say_end(Draft event, const EventId& migration,
                       std::function<void(bool logged)> then) {
  saying_end_ = true;
  shared_.context.publish(std::move(event), [this, alive = alive_, migration,
                                             then = std::move(then)](const absl::Status& logged) {
    if (!*alive) return;
    saying_end_ = false;
    if (logged.ok()) know_end(migration);
    then(logged.ok());
  });
}

// ---- completed -------------------------------------------------------------------------------------------------------

// Completed is: resumed here, and the network sends the guest's frames here.
bool VmWorker::switched_here() const {
  if (!spec_) return false;
  const std::string address(text(spec_->reader().getAddress()));
  for (const AddressOwner& owner : shared_.seams.fabric.owners())
    if (owner.address == address && owner.node == shared_.context.node()) return true;
  return false;
}

void VmWorker::say_completed(std::function<void(bool logged)> then) {
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
  say_end(std::move(event), migration, std::move(then));
}

// ---- aborted ---------------------------------------------------------------------------------------------------------

void VmWorker::say_aborted(const EventId& migration, std::function<void(bool logged)> then) {
  Draft event = draft(&migration, record_ ? record_->epoch : 0);
  auto payload = event.payload().initMigrationAborted();
  payload.setNode(shared_.context.node());
  const bool known = aborted_ && aborted_->migration == migration;
  payload.setStage(known ? aborted_->stage : "not known");
  payload.setWhy(known ? aborted_->why : "who knew why was lost");
  if (known) payload.setSentBytes(aborted_->sent_bytes);
  say_end(std::move(event), migration, std::move(then));
}

// Why a migration is over to whose mark this node's takeover, restart or clearing leaves no heir (21).
void VmWorker::note_lost(bool memory_lost) {
  if (!record_->heir || record_->heir->node.empty()) return;
  if (aborted_ && aborted_->migration == record_->heir->migration) return;
  const bool committed = record_->heir->node == record_->holder;
  std::string why;
  if (record_->holder == shared_.context.node())
    why = absl::StrCat(committed ? "the target" : "the source",
                       memory_lost ? " lost the VM's memory, and starts it anew from its disk"
                                   : " was interrupted, and does not go on with it");
  else
    why = committed ? absl::StrCat(record_->holder, " committed and was then lost")
                    : absl::StrCat("source lost: the session of ", record_->holder, " has ended");
  if (memory_lost && !memory_lost_.empty()) why = memory_lost_;
  aborted_ = Aborted{record_->heir->migration, committed ? "committed" : "before the commit",
                     std::move(why)};
}

// Safe without a look at the target: what was handed over is taken back by a swap to a new epoch first.
void VmWorker::clear_heir() {
  note_lost(false);
  Swap swap = make_swap(SwapKind::CLEAR_HEIR);
  swap.heir = record_->heir;
  send_swap(swap, [this](const absl::StatusOr<SwapResult>& result) {
    finished_later(result.ok() && result->won ? absl::ZeroDuration() : retry_delay);
  });
}

// ---- cleaned ---------------------------------------------------------------------------------------------------------

// Cleaned follows the end (20), as heard, or as the record shows once the mark is gone. A log that lacks it makes this executor,
// restarted, look again.
void VmWorker::migration_ended(const EventId& migration) {
  know_end(migration);
  tend_released();
}

void VmWorker::tend_released() {
  if (!released_) return;
  const bool marked = record_ && record_->heir && record_->heir->migration == released_->migration;
  const bool ended = record_known_ && !marked && (!record_ || record_->epoch > released_->epoch);
  if (ended || end_known(released_->migration)) say_cleaned();
}

void VmWorker::say_cleaned() {
  const Released released = *std::exchange(released_, std::nullopt);
  Draft cleaned = draft(&released.migration, released.epoch);
  cleaned.payload().initMigrationCleaned().setNode(shared_.context.node());
  shared_.context.publish(std::move(cleaned));
}

}  // namespace supercloud
