#include "actors/migration/next_step.h"

namespace supercloud {
namespace {

using State = GuestStatus::State;

bool is_incoming(const GuestStatus& copy) {
  return copy.state == State::incoming || copy.state == State::arrived;
}

bool own_copy(const View& view) { return view.copy && !is_incoming(*view.copy); }
bool incoming_copy(const View& view) { return view.copy && is_incoming(*view.copy); }

using Memory = GuestStatus::Memory;

bool half_way(const GuestStatus& copy) {
  return copy.memory == Memory::needed || copy.memory == Memory::broken;
}
// Of a copy whose QEMU will say it. A frozen one says nothing until it goes on.
bool may_be_half_way(const GuestStatus& copy) {
  return copy.memory == Memory::unknown && copy.state != State::frozen;
}
// Of a copy that was sent by post-copy, while the commit of that migration is the VM's: completed is said when all of it is there.
bool target_needs(const View& view) {
  return (half_way(*view.copy) || view.copy->memory == Memory::unknown) && view.record->heir &&
         view.record->heir->node == view.record->holder &&
         view.record->heir->migration == view.copy->migration;
}
bool rest_is_missing(const View& view) {
  return view.copy &&
         (view.copy->memory == Memory::following || view.copy->memory == Memory::waiting);
}

bool we_hold(const View& view) { return view.record && view.record->holder == view.node; }

bool we_are_heir(const View& view) {
  return view.record && view.record->heir && view.record->heir->node == view.node;
}

bool heir_is(const View& view, const std::string& node, const EventId& migration) {
  return view.record && view.record->heir && *view.record->heir == Heir{node, migration};
}
bool heir_of(const View& view, const EventId& migration) {
  return heir_is(view, view.node, migration);
}

// A swap won under the session that is still ours.
bool may_execute(const View& view) {
  return view.session && view.record && view.won.epoch == view.record->epoch &&
         view.won.session == *view.session;
}

// What is left of a migration that nobody here goes on with. Its end is said when nobody can commit it any more: it is told by
// the record, or this node is the one that did.
Decision settle_mark(const View& view, Decision otherwise) {
  if (!view.record->heir || !view.session || rest_is_missing(view)) return otherwise;
  const bool undecided = !view.record->heir->node.empty() && !(we_hold(view) && we_are_heir(view));
  if (undecided) return {Step::clear_heir, "a mark that no migration explains"};
  switch (view.end) {
    case View::End::open:
      return {Step::say_aborted, "its end is owed"};
    case View::End::being_told:
      return {Step::none, "its end is being told"};
    case View::End::told:
      break;
  }
  return {Step::clear_heir, "its end was said"};
}

// The table refuses what a session asked for once that has ended; until then a boot may still be granted.
bool boot_in_flight(const View& view) {
  const auto asked = view.asked_by_boot.find(view.record->epoch);
  return asked != view.asked_by_boot.end() && view.session && asked->second == *view.session;
}

Decision target_step(const View& view) {
  const Incoming& in = *view.in;
  const bool overtaken = view.record->epoch > in.epoch;
  if (overtaken || !heir_of(view, in.migration))
    return {Step::drop_incoming, overtaken ? "another swap won" : "no longer the heir"};
  if (!view.session) return {Step::none, "no session"};
  if (!in.prepared) {
    if (view.draining) return {Step::drop_incoming, "this node is being drained"};
    if (!in.failure.empty() || view.now >= in.deadline)
      return {Step::drop_incoming, "could not be prepared"};
    // One of this migration was made by a daemon that could not say so any more: it is prepared again.
    if (view.copy && !(incoming_copy(view) && view.copy->migration == in.migration))
      return {Step::none, "another copy is still here"};
    if (boot_in_flight(view)) return {Step::none, "a takeover is in flight"};
    return {Step::prepare, "accepted as heir"};
  }
  const bool arrived =
      view.copy && view.copy->state == State::arrived && view.copy->migration == in.migration &&
      (view.copy->memory == Memory::whole || view.copy->memory == Memory::following);
  if (in.seal && in.verified && (arrived || in.from_disk))
    return {Step::swap_commit, "verified and complete"};
  // Having asked, it may not give up before the record's epoch exceeds e, or the mark is gone (4).
  if (in.commit_asked && (view.copy || in.from_disk || view.record->session_alive))
    return {Step::none, "the commit is in flight"};
  // Without a copy, and with the source lost, there is nothing to give up: it takes over, or finds that it had committed.
  if (in.commit_asked) return {Step::drop_incoming, "the incoming copy is gone, and the source"};
  if (!in.failure.empty()) return {Step::drop_incoming, "failed before the commit"};
  if (view.now >= in.deadline) return {Step::drop_incoming, "the deadline passed"};
  // A drain goes on from the disk when the stream of its last pass breaks; its source says so, or takes the machine back.
  if (!view.copy && !in.from_disk && !(in.seal && view.record->session_alive))
    return {Step::drop_incoming, "the incoming copy is gone"};
  if (in.seal && !in.verified) return {Step::verify, "the source has sealed"};
  if (!view.record->session_alive && view.now >= view.takeover_after)
    return {Step::drop_incoming, "the source is lost"};
  return {Step::none, "waiting for the source"};
}

Decision source_step(const View& view) {
  const Outgoing& out = *view.out;
  if (out.epoch != 0 && view.record->epoch > out.epoch)
    return {Step::abort, "the source took its machine back"};
  if (!out.failure.empty()) return {Step::abort, "failed before the pause"};
  if (view.now >= out.deadline) return {Step::abort, "the deadline passed"};
  if (!view.session) return {Step::none, "no session"};
  if (out.epoch == 0) {
    if (view.record->heir && view.record->heir->migration == out.migration)
      return {Step::abort, "its mark names the target no more"};
    if (completing(view)) return {Step::none, "an earlier one is about to be completed"};
    return settle_mark(view, {Step::accept, "proposed"});
  }
  if (!heir_is(view, out.target, out.migration))
    return {Step::abort, "the target is no longer the heir"};
  if (!out.target_ready || !out.replica_ready) return {Step::ask_target, "accepted"};
  if (!out.sending) return {Step::send, "the target is ready"};
  if (!out.converged && !out.from_disk) return {Step::none, "pre-copy"};
  if (!out.accepted_logged) return {Step::none, "its acceptance is on its way to the log"};
  // A lease round trip within the last second, and time enough in both sessions (15).
  if (view.session_deadline - view.now <= view.blackout_reserve)
    return {Step::none, "the session has too little time left for a blackout"};
  if (view.now - out.checked_at > view.check_valid) return {Step::check, "converged"};
  return {Step::pause, "checked"};
}

Decision paused_source_step(const View& view) {
  const Outgoing& out = *view.out;
  if (!view.session) return {Step::none, "no session"};
  // What is half way at the target would be lost: it is waited for until it is there, or lost, or committed (14).
  if (out.may_take_back(view.now) && !half_way(*view.copy) && !may_be_half_way(*view.copy)) {
    if (!out.failure.empty()) return {Step::swap_reclaim, "failed after the pause"};
    if (view.now >= out.pause_deadline) return {Step::swap_reclaim, "the deadline passed"};
  }
  if (!heir_is(view, out.target, out.migration)) return {Step::swap_reclaim, "the target gave up"};
  if (view.copy->state == State::frozen && !out.handed_over)
    return {Step::swap_reclaim, "frozen by its keeper"};
  if (!out.seal) return {Step::seal, "drained"};
  if (!out.handed_over) return {Step::hand_over, "sealed"};
  return {Step::none, "the target commits"};
}

// The holder has an incoming copy: it came by our commit, or is left of a migration that ended otherwise.
Decision committed_step(const View& view) {
  if (view.copy->state != State::arrived || !won_by_copy(view))
    return {Step::destroy_copy, "an incoming copy that is not the VM"};
  if (view.copy->memory == Memory::lost) return {Step::lose_memory, "the rest does not follow"};
  if (!view.session) return {Step::none, "no session"};
  if (may_execute(view)) return {Step::resume, "committed"};
  return {Step::swap_reclaim, "the commit's session has ended"};
}

Decision running_step(const View& view) {
  if (view.out && (view.wanted_gone || !view.wanted_running || view.wanted_paused))
    return {Step::abort, "its user wants otherwise"};
  if (view.wanted_gone || !view.wanted_running) return {Step::stop_for_user, "stopped by its user"};
  if (view.wanted_paused) return {Step::pause_for_user, "paused by its user"};
  if (view.out) return source_step(view);
  if (completing(view)) return {Step::none, "to be completed when the network has switched"};
  return settle_mark(view, {Step::none, "running"});
}

Decision stopped_step(const View& view) {
  const bool hand_over_open = view.out && view.out->paused && view.out->epoch == view.record->epoch;
  if (hand_over_open) return paused_source_step(view);
  // A source whose post-copy has begun cannot go on, whoever won.
  if (half_way(*view.copy)) return {Step::lose_memory, "its memory was half way at the target"};
  if (view.out && !view.out->paused) return {Step::abort, "the guest does not run"};
  if (view.wanted_gone || !view.wanted_running)
    return view.out ? Decision{Step::abort, "its user wants otherwise"}
                    : Decision{Step::stop_for_user, "stopped by its user"};
  if (view.wanted_paused)
    return view.out ? Decision{Step::abort, "its user wants otherwise"}
                    : settle_mark(view, {Step::none, "paused by its user"});
  if (!view.volume) return {Step::destroy_copy, "its disk is gone"};
  if (!view.session) return {Step::none, "no session"};
  if (may_be_half_way(*view.copy)) return {Step::none, "what was sent of it is not known yet"};
  // A won epoch is used up by its first instruction, so one that is still there was never executed at (2).
  if (may_execute(view)) return {Step::resume, "the epoch was won"};
  return {Step::swap_reclaim, "a new execution needs a new epoch"};
}

Decision no_copy_step(const View& view) {
  if (view.out) return {Step::abort, "the guest is gone"};
  if (!view.session) return {Step::none, "no session"};
  if (view.wanted_gone) return settle_mark(view, {Step::swap_remove, "destroyed by its user"});
  if (!view.wanted_running) return settle_mark(view, {Step::none, "stopped"});
  if (!view.volume || !view.volume->complete)
    return settle_mark(view, {Step::report_failed, "the holder has no disk of it"});
  // No blackout waits here, and a boot may fail for long: the end of what nobody can complete comes first.
  if (view.record->heir && view.record->heir->node.empty())
    return settle_mark(view, {Step::none, "settled"});
  // Won by a copy that has died since: what it had in memory is lost, and said to be, at an epoch of its own.
  const bool by_copy =
      view.record->swap_kind == SwapKind::COMMIT || view.record->swap_kind == SwapKind::RECLAIM;
  if (may_execute(view) && (!by_copy || (view.in && view.in->from_disk)))
    return {Step::boot, "the epoch was won"};
  return {Step::swap_restart, "no copy in memory"};
}

Decision holder_step(const View& view) {
  if (view.in && view.in->epoch < view.record->epoch && !incoming_copy(view) && !view.in->from_disk)
    return {Step::drop_incoming, "the migration is over"};
  if (incoming_copy(view)) return committed_step(view);
  if (!view.copy) return no_copy_step(view);
  if (view.copy->epoch < view.record->epoch && !won_by_copy(view))
    return {Step::destroy_copy, "it lost"};
  const bool open = view.out && view.out->paused && view.out->epoch == view.record->epoch;
  if (view.copy->memory == Memory::lost && !open)
    return {Step::lose_memory, "the rest of its memory does not follow"};
  return view.copy->state == State::running ? running_step(view) : stopped_step(view);
}

Decision takeover_step(const View& view) {
  const LeaseRecord& record = *view.record;
  if (record.session_alive) return {Step::none, "held elsewhere"};
  if (!view.session) return {Step::none, "no session"};
  if (record.heir && !we_are_heir(view) && record.heir_alive)
    return {Step::none, "the heir's turn"};
  if (view.now < view.takeover_after) return {Step::none, "another's turn"};
  if (view.wanted_gone)
    return settle_mark(view, {Step::swap_remove, "destroyed by its user, and its holder is lost"});
  // Who will not run it makes room for those who do (6).
  if (!view.wanted_running || view.wanted_paused)
    return settle_mark(view, {Step::none, "not wanted to run"});
  // Not in sync, it loses what it has not heard of: no more than was declared (13).
  bool in_sync = record.loss_allowed && view.loss <= view.loss_bound;
  for (const std::string& node : record.in_sync) in_sync = in_sync || node == view.node;
  if (!in_sync || !view.volume || !view.volume->complete || !view.can_be_made)
    return settle_mark(view, {Step::none, "no replica that may take over"});
  return {Step::swap_takeover, "the holder's session has ended"};
}

Decision other_step(const View& view) {
  if (own_copy(view) && view.copy->epoch >= view.record->epoch)
    return {Step::none, "the record is older than the copy"};
  if (view.out && view.out->epoch == 0) return {Step::abort, "another node won before it began"};
  if (own_copy(view) && target_needs(view))
    return {Step::none, "its target needs its memory still"};
  if (own_copy(view))
    return {view.out ? Step::finish_lost : Step::destroy_copy, "another node won"};
  if (view.out) return {Step::finish_lost, "another node won"};
  if (view.in) return target_step(view);
  if (incoming_copy(view)) return {Step::destroy_copy, "an incoming copy of no migration"};
  return takeover_step(view);  // heir first, then the in-sync replicas in order (6, 13, 21)
}

}  // namespace

const char* to_string(Step step) {
  switch (step) {
    case Step::none:
      return "none";
    case Step::destroy_copy:
      return "destroy_copy";
    case Step::lose_memory:
      return "lose_memory";
    case Step::release_volume:
      return "release_volume";
    case Step::forget:
      return "forget";
    case Step::clear_heir:
      return "clear_heir";
    case Step::say_aborted:
      return "say_aborted";
    case Step::swap_restart:
      return "swap_restart";
    case Step::swap_reclaim:
      return "swap_reclaim";
    case Step::swap_takeover:
      return "swap_takeover";
    case Step::boot:
      return "boot";
    case Step::resume:
      return "resume";
    case Step::pause_for_user:
      return "pause_for_user";
    case Step::stop_for_user:
      return "stop_for_user";
    case Step::swap_remove:
      return "swap_remove";
    case Step::report_failed:
      return "report_failed";
    case Step::accept:
      return "accept";
    case Step::ask_target:
      return "ask_target";
    case Step::send:
      return "send";
    case Step::check:
      return "check";
    case Step::pause:
      return "pause";
    case Step::seal:
      return "seal";
    case Step::hand_over:
      return "hand_over";
    case Step::abort:
      return "abort";
    case Step::finish_lost:
      return "finish_lost";
    case Step::prepare:
      return "prepare";
    case Step::verify:
      return "verify";
    case Step::swap_commit:
      return "swap_commit";
    case Step::drop_incoming:
      return "drop_incoming";
  }
  return "?";
}

bool won_by_copy(const View& view) {
  if (!we_hold(view) || !view.copy) return false;
  const LeaseRecord& record = *view.record;
  if (record.swap_kind != SwapKind::COMMIT && record.swap_kind != SwapKind::RECLAIM) return false;
  if (view.copy->epoch >= record.epoch) return false;
  for (Epoch epoch = view.copy->epoch; epoch < record.epoch; ++epoch)
    if (!view.asked_by_copy.contains(epoch)) return false;
  return true;
}

bool completing(const View& view) {
  return we_hold(view) && we_are_heir(view) && view.end != View::End::told;
}

Decision next_step(const View& view) {
  if (!view.record_read) return {Step::none, "the lease record is not known yet"};
  if (!view.record) {
    // Who gives no session is not the table that could tell.
    if (!view.session && (view.copy || view.volume))
      return {Step::none, "no lease, and no session"};
    if (view.copy) return {Step::destroy_copy, "no lease: the VM is gone"};
    if (view.define_in_flight) return {Step::none, "a define is in flight"};
    if (view.volume) return {Step::release_volume, "no lease: the VM is gone"};
    return {Step::forget, "no lease"};
  }
  return we_hold(view) ? holder_step(view) : other_step(view);
}

}  // namespace supercloud
