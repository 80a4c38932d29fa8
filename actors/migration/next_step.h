// The one decision of the hand-over: given all that this node knows about one VM, what is the next step?
//
// A pure function, so that a crash changes nothing but time (rule 22): after a restart the same facts, read back from the log,
// the lease record, the hypervisor and the volume, lead to the same step. The model under tests/model/ has the same steps under the
// same names; the numbers are the rules of docs/choreography.md.
//
//            holder                                 source                        target
//   swap_restart ─► boot ─┐             accept ─► await_target ─► send        prepare ─► await_stream
//   swap_reclaim ─► resume┤                         │               │               │
//   swap_takeover ─► boot ┘             abort ◄─────┴─ check ◄──────┘          verify ─► swap_commit ─► resume
//                                         ▲             ▼                           │
//                                   swap_reclaim ◄─ pause ─► seal ─► hand_over ──────┘
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/lease_table.h"
#include "hypercall/hypervisor.h"
#include "storage/volume.h"

namespace supercloud {

enum class Step : std::uint8_t {
  none,  // wait: for an event, a completion, a deadline
  // any copy
  destroy_copy,    // it lost, or is not wanted any more
  lose_memory,     // a part of it did not follow (14): say so, and destroy the copy
  release_volume,  // the VM is gone for good: its disk here too
  forget,          // nothing is left here
  // the end of a migration (6): nobody may commit it, then it is said, then its mark goes
  clear_heir,
  say_aborted,
  // the holder, to let the guest execute
  swap_restart,   // (me, e) -> (me, e+1), no memory: boot from disk
  swap_reclaim,   // (me, e) -> (me, e+1), with the copy in memory
  swap_takeover,  // (other, e) -> (me, e+1): its session has ended
  boot,           // create a copy at the epoch won, then as resume
  resume,         // first instruction at the epoch won
  pause_for_user,
  stop_for_user,
  swap_remove,    // the user destroyed the VM
  report_failed,  // cannot run anywhere from here: say so
  // source of a migration
  accept,      // heir = target (6)
  ask_target,  // is the target prepared? (24)
  send,        // pre-copy
  check,       // a lease round trip and the target's word, just before the pause (15)
  pause,       // port closed, vCPUs stopped, drained (9)
  seal,
  hand_over,    // rest of memory, and the seal to the target
  abort,        // undo the source's part
  finish_lost,  // the target won: destroy the copy, publish vm.released
  // target of a migration
  prepare,  // incoming copy, closed port
  verify,
  swap_commit,
  drop_incoming,  // give up, having never asked to commit
};

const char* to_string(Step step);

// A swap that was won in this process's life. It counts only in its session (3).
struct Won {
  Epoch epoch = 0;
  SessionId session;
};

// The source's side of a migration that was proposed to this node and is not ended.
struct Outgoing {
  EventId migration;
  std::string target;
  Epoch epoch = 0;  // at which it was accepted; 0: not yet
  // That is in this node's log: nothing is handed over that may have begun unsaid.
  bool accepted_logged = false;
  Instant deadline = far_future;  // of everything before the pause
  Duration blackout_max;          // zero: as the VM says
  bool target_ready = false;
  bool replica_ready = false;
  bool sending = false;
  bool converged = false;
  Instant checked_at{};  // when the last check was sent that both answered
  bool paused = false;
  // for pause to commit; then the source wants its machine back
  Instant pause_deadline = far_future;
  std::optional<Seal> seal;
  bool handed_over = false;
  // Drain (16): from this until the deadline the source does not swap back; before it, what does not converge starts from the
  // target's disk.
  Instant no_return = far_future;
  bool from_disk = false;
  std::string failure;  // why it must be aborted; empty: all is well

  // Who outlives the deadline of its drain was not taken away after all.
  bool may_take_back(Instant now) const { return now < no_return || now >= deadline; }
};

// The target's side.
struct Incoming {
  EventId migration;
  std::string source;
  Epoch epoch = 0;
  Instant deadline = far_future;
  bool prepared = false;
  std::optional<Seal> seal;
  bool from_disk = false;
  bool verified = false;
  bool commit_asked = false;
  std::string failure;
};

// Everything the decision rests on.
struct View {
  std::string node;
  Instant now{};
  std::optional<SessionId> session;   // ours, while its deadline lies ahead by this node's clock
  bool record_read = false;           // since this process began; before, only waiting is safe
  std::optional<LeaseRecord> record;  // as last read
  // A define was sent under this session and may still be applied.
  bool define_in_flight = false;
  bool wanted_running = true;  // desired state
  bool wanted_paused = false;
  bool wanted_gone = false;
  std::optional<GuestStatus> copy;
  std::optional<VolumeStatus> volume;
  Won won;
  std::set<Epoch> asked_by_copy;             // logged before sent: commits and reclaims
  std::map<Epoch, SessionId> asked_by_boot;  // restarts and takeovers, and under which session
  std::optional<Outgoing> out;
  std::optional<Incoming> in;
  // bounded loss: how long before its session ended the lost holder's last word reached this disk, and how long it may be
  Duration loss = absl::ZeroDuration();
  Duration loss_bound = absl::InfiniteDuration();
  // Whether it is known that the end of the marked migration was said.
  enum class End : std::uint8_t { open, being_told, told } end = End::open;
  Instant takeover_after{};  // this node's turn among those who may take over
  bool can_be_made = true;   // a copy, here: Hypervisor::check
  bool draining = false;     // its user wants this node empty
  Duration check_valid = absl::Seconds(1);
  Duration blackout_reserve = absl::Milliseconds(1200);  // a session must have left before a pause
  Instant session_deadline{};
};

// The step, and a few words why, for the trace.
struct Decision {
  Step step = Step::none;
  const char* why = "";
};

Decision next_step(const View& view);

// What an executor is given: next_step, or in the tests a broken one that the checkers must catch.
using Decide = std::function<Decision(const View&)>;

// Whether the record's epoch was won by this node's copy in memory (commit or reclaim), through an unbroken chain of its own swaps.
bool won_by_copy(const View& view);

// Whether the marked migration was committed to this node, and not yet said to have completed.
bool completing(const View& view);

}  // namespace supercloud
