/* The hand-over of one VM between three nodes, S(ource), T(arget) and X (a spare), with a lease table that compares and
 * swaps, volumes and a fabric: docs/choreography.md, whose rules the comments number.
 *
 * - The network is a soup: what was sent stays sent. Receiving it late, twice, out of order or not (yet) is an interleaving.
 * - An outage of the table, a partition, a slow node are steps that do not happen for a while: an interleaving, too.
 * - Budgets make every run finite, so "it ends well" is an assertion about every terminal state (at `timeout`).
 *
 * Beside the code (core/lease_table.h, actors/migration/next_step.h):
 *
 *   here                                   there
 *   source_accepts, _pauses, _seals        accept; pause; seal
 *   source_sends_memory                    send, hand_over
 *   target_takes_memory, _verifies         prepare and the incoming stream; verify
 *   target_commits, _gives_up              swap_commit; drop_incoming
 *   holder_reclaims, restarts, takes_over  swap_reclaim; swap_restart; swap_takeover
 *   winner_resumes, boots                  resume; boot
 *   heir_, holder_, bystander_clears_mark  clear_heir; then say_aborted
 *   learns_that_it_lost                    finish_lost, destroy_copy
 *
 * Where the two differ, the model allows more, or says the same in fewer steps: a mark and what its end was said for are one step
 * here (there: the mark stays, naming nobody, until a log has the end); a migration has no id, so clearing a mark takes back the
 * commit that was under way for it; the in-sync set is what it stands for, the nodes that have every flushed write; what users
 * want, and the removal of a record, are left out. A heir that asked to commit and has lost its copy takes over here once the
 * source's session has ended (there: drop_incoming, then swap_takeover); clearing the mark instead, which there is one more way out
 * for an heir without a disk that may take over, is the same swap as holder_clears_mark.
 *
 * verify.py runs it, with every rule in force and with each rule broken. The parts, in reading order: */
#include "handover_switches.pml"
#include "handover_state.pml"
#include "handover_guest.pml"
#include "handover_executor.pml"
#include "handover_faults.pml"
#include "handover_shared.pml"

proctype Node(byte n) {
  do
  :: guest_writes(n)
  :: volume_writes(n)
  :: guest_flushes(n)
#if WRITES > 0
  :: replica_applies(n, 1)
#endif
#if WRITES > 1
  :: replica_applies(n, 2)
#endif
#if WRITES > 2
  :: replica_applies(n, 3)
#endif
  :: replica_flushes(n)
#if DISK_LOST_BY == 1
  :: source_flushes(n)
#endif

  :: source_accepts(n)
  :: source_pauses(n)
  :: source_seals(n)
  :: source_sends_memory(n)
#if RELEASE_BEFORE_KNOWING
  :: broken_source_releases(n)
#endif
#if RESUME_WITHOUT_SWAP
  :: broken_source_resumes(n)
#endif

  :: target_takes_memory(n, 1)
  :: target_takes_memory(n, 2)
  :: target_takes_memory(n, 3)
  :: target_takes_memory(n, 4)
  :: target_takes_memory(n, 5)
  :: target_verifies(n)
  :: target_commits(n)
  :: target_gives_up(n)
  :: heir_clears_mark(n)
  :: holder_clears_mark(n)
  :: bystander_clears_mark(n)
#if RESUME_BEFORE_SWAP
  :: broken_target_resumes(n)
#endif
#if GIVE_UP_IN_FLIGHT
  :: broken_target_gives_up(n)
#endif

  :: holder_reclaims(n)
#if RESUME_AT_SAME_EPOCH
  :: broken_holder_resumes(n)
#endif
  :: learns_that_it_won(n)
  :: learns_that_it_lost(n)
#if LATE_RESUME
  :: winner_calls_resume(n)
  :: resume_takes_effect(n)
  :: resume_comes_to_nothing(n)
#else
  :: winner_resumes(n)
#endif

  :: takes_over(n)
  :: restarts(n)
#if RESUME_AT_SAME_EPOCH
  :: broken_restarts(n)
#endif
  :: learns_that_boot_won(n)
  :: boots(n)
  :: learns_that_boot_lost(n)
  :: boot_request_died(n)

  :: keeper_fences(n)
  :: session_renewed(n)
  :: told_that_session_ended(n)
  :: host_crashes(n)
  :: host_returns(n)
  :: daemon_killed(n)
  :: daemon_restarts(n)
  od
}

proctype Table() {
  do
  :: table_swaps_by_copy(0)
  :: table_swaps_by_copy(1)
  :: table_swaps_by_copy(2)
  :: table_swaps_by_boot(0)
  :: table_swaps_by_boot(1)
  :: table_swaps_by_boot(2)
  :: table_ends_session(0)
  :: table_ends_session(1)
  :: table_ends_session(2)
  :: d_step { !faults_stopped -> faults_stopped = 1 }
  od
}

proctype Fabric() {
  do
  :: fabric_switches(2)
  :: fabric_switches(3)
  :: fabric_switches(4)
  :: fabric_switches(5)
  :: fabric_switches(6)
  :: fabric_switches(7)
  :: fabric_restarts_and_reads()
  od
}

#define two_copies_run ((running(0) && running(1)) || (running(0) && running(2)) || (running(1) && running(2)))
#define newer_runs(k, n) (running(k) && copy_epoch[k] > copy_epoch[n])
#define stale_port(n) (port_open[n] && (newer_runs(0, n) || newer_runs(1, n) || newer_runs(2, n)))
#define settled(n) (lease_holder == n && lease_epoch == copy_epoch[n] && copy[n] == RUNNING && \
    copy[(n + 1) % 3] == NONE && copy[(n + 2) % 3] == NONE && fabric_owner == n + 1 && port_open[n] && \
    !port_open[(n + 1) % 3] && !port_open[(n + 2) % 3])

/* The invariants of docs/architecture.md that the steps do not assert themselves. */
proctype Monitor() {
end:
  do
  :: d_step { two_copies_run -> assert(!two_copies_run) }
  :: d_step { stale_port(0) || stale_port(1) || stale_port(2) ->
       assert(!(stale_port(0) || stale_port(1) || stale_port(2))) }
  :: d_step { lease_epoch > 7 -> assert(lease_epoch < 8) } /* the bound of the model, not a rule */
  :: atomic { timeout ->
       d_step {
         if
         :: CHECK_PROGRESS -> assert(settled(0) || settled(1) || settled(2)); assert(handover_epoch == 0);
            assert(lease_heir == 0)
         :: else
         fi };
       break }
  od
}

init {
  d_step {
    byte k;
    for (k : 0 .. 2) { host_up[k] = 1; daemon_up[k] = 1; session_valid[k] = 1; session_open[k] = 1 };
    copy[S] = RUNNING; copy_epoch[S] = 1; held[S] = 1; port_open[S] = 1; volume_epoch[S] = 1;
    fabric_owner = 1; fabric_epoch = 1 };
  atomic { run Node(S); run Node(T); run Node(X); run Table(); run Fabric(); run Monitor() }
}
