/* Steps of handover.pml: the executors (actors/migration/executor.h decides by actors/migration/next_step.h). */

/* ---- source: accept (6), pause, seal, final memory (9) ---- */
inline source_accepts(n) { /* a swap of its own: the mark */
  d_step { n == S && up(n) && copy[n] == RUNNING && handovers < HANDOVERS && session_valid[n] &&
      handover_epoch == 0 && lease_heir == 0 && (!HEIR || lease_holder == S && lease_epoch == copy_epoch[S]) ->
    handovers++; lease_heir = T + 1; ended_epoch = 0 /* another migration */ }
}
inline source_pauses(n) {
  d_step { n == S && up(n) && copy[n] == RUNNING && session_valid[n] && !swap_won[n] && handover_epoch == 0 &&
      lease_heir == T + 1 && (!HEIR || lease_holder == S && lease_epoch == copy_epoch[S]) ->
    copy[n] = PAUSED; handover_epoch = copy_epoch[n];
    if :: PORT_WITH_GUEST -> port_open[n] = 0 :: else fi }
}
#define handing_over(n) (n == S && up(n) && copy[n] == PAUSED && handover_epoch != 0)
inline source_seals(n) {
  d_step { handing_over(n) && handover_epoch == copy_epoch[n] && sealed[handover_epoch] == 0 &&
      (!DRAIN || write_pending[n] == 0) ->
    sealed[handover_epoch] = volume[n] + 1 }
}
inline source_sends_memory(n) {
  d_step { handing_over(n) && handover_epoch == copy_epoch[n] && !(memory_sent & bit_of(handover_epoch)) &&
      write_pending[n] == 0 ->
    memory_sent = memory_sent | bit_of(handover_epoch) }
}
inline broken_source_releases(n) {
  d_step { handing_over(n) && sealed[handover_epoch] != 0 && (memory_sent & bit_of(handover_epoch)) ->
    copy[n] = NONE; held[n] = 0; handover_epoch = 0 }
}
inline broken_source_resumes(n) {
  d_step { handing_over(n) && handover_epoch == copy_epoch[n] && session_valid[n] -> run_guest(n, copy_epoch[n]) }
}

/* ---- target: memory, verify, commit ---- */
inline target_takes_memory(n, epoch) {
  d_step { n == T && up(n) && copy[n] == NONE && (memory_sent & bit_of(epoch)) && memory_taken < epoch &&
      session_valid[n] && lease_holder != T && boot_asked[n] == 0 && boot_won[n] == 0 /* (5) */ ->
    copy[n] = PAUSED; copy_epoch[n] = epoch; held[n] = 0; memory_taken = epoch; verified_epoch = 0 }
}
inline target_verifies(n) {
  d_step { n == T && up(n) && incoming(n) && verified_epoch != copy_epoch[n] &&
      (!VERIFY || (sealed[copy_epoch[n]] != 0 && volume[n] + 1 == sealed[copy_epoch[n]])) ->
    verified_epoch = copy_epoch[n];
    if :: CLOSE_REPLICA -> closed_epoch[n] = copy_epoch[n] :: else fi;
    if :: VERIFY_DURABLE -> durable[n] = volume[n] :: else fi }
}
inline ask_swap_by_copy(n) {
  copy_swaps[n] = copy_swaps[n] | bit_of(copy_epoch[n]);
  copy_swaps_logged[n] = copy_swaps_logged[n] | bit_of(copy_epoch[n])
}
inline target_commits(n) {
  d_step { n == T && up(n) && incoming(n) && verified_epoch == copy_epoch[n] && session_valid[n] &&
      !(copy_swaps[n] & bit_of(copy_epoch[n])) ->
    ask_swap_by_copy(n) }
}
/* The target's deadline: it gives up, but never after it asked, unless the mark is gone (4). */
#define mark_gone(n) (COMMIT_NEEDS_HEIR && lease_epoch == copy_epoch[n] && lease_heir != n + 1)
inline target_gives_up(n) {
  d_step { n == T && up(n) && incoming(n) &&
      (!(copy_swaps_logged[n] & bit_of(copy_epoch[n])) || mark_gone(n)) -> copy[n] = NONE }
}

/* ---- the end of a migration that nobody completes: the mark stops naming an heir, then the end is said (6) ---- */
/* A commit names the migration that it belongs to: what is under way for this one will never be applied. */
inline clear_mark() {
  lease_heir = 0; ended_epoch = lease_epoch;
  if :: COMMIT_NEEDS_HEIR -> copy_swaps[T] = copy_swaps[T] & ~bit_of(lease_epoch) :: else fi
}
inline heir_clears_mark(n) {
  d_step { n == T && up(n) && lease_heir == T + 1 && copy[n] == NONE && session_valid[n] &&
      !(copy_swaps_logged[n] & bit_of(lease_epoch)) ->
    clear_mark();
    if :: memory_taken < lease_epoch -> memory_taken = lease_epoch :: else fi }
}
inline holder_clears_mark(n) { /* not while its hand-over is open: then it swaps back */
  d_step { up(n) && session_valid[n] && lease_holder == n && lease_heir == T + 1 && n != T && handover_epoch == 0 ->
    clear_mark() }
}
inline bystander_clears_mark(n) { /* neither holder nor heir has a session */
  d_step { up(n) && session_valid[n] && lease_holder != n && holder_session_ended && lease_heir == T + 1 && n != T &&
      !session_open[T] ->
    clear_mark() }
}
inline broken_target_resumes(n) {
  d_step { n == T && up(n) && incoming(n) && verified_epoch == copy_epoch[n] && session_valid[n] &&
      (copy_swaps[n] & bit_of(copy_epoch[n])) ->
    assert(volume[n] >= acked);
    run_guest(n, copy_epoch[n] + 1) }
}
inline broken_target_gives_up(n) {
  d_step { n == T && up(n) && incoming(n) && (copy_swaps[n] & bit_of(copy_epoch[n])) && lease_epoch == copy_epoch[n] ->
    copy[n] = NONE }
}

/* ---- reclaim: any node with a paused copy of its own: deadline, cancel, after a fence (1, 2) ---- */
#define may_resume_unswapped(n) (RESUME_AT_SAME_EPOCH && lease_holder == n && lease_epoch == copy_epoch[n])
#define waiting(n) (up(n) && copy[n] == PAUSED && held[n] && !swap_won[n] && resume_pending[n] == 0 && session_valid[n])
inline holder_reclaims(n) {
  d_step { waiting(n) && !(copy_swaps[n] & bit_of(copy_epoch[n])) && !may_resume_unswapped(n) -> ask_swap_by_copy(n) }
}
inline broken_holder_resumes(n) {
  d_step { waiting(n) && may_resume_unswapped(n) && !(n == S && handover_epoch == copy_epoch[n]) ->
    run_guest(n, copy_epoch[n]) }
}

/* ---- asks the table who won: a linearizable read, acted on in a later step ---- */
#define copy_swap_won(n) (lease_holder == n && lease_epoch == copy_epoch[n] + 1 && \
    (!SWAP_ID || lease_won_by_boot == 0) && (copy_swaps_logged[n] & bit_of(copy_epoch[n])))
inline learns_that_it_won(n) { /* won under an ended session: keeps its copy and swaps again (3) */
  d_step { up(n) && copy[n] == PAUSED && copy_swap_won(n) ->
    copy_epoch[n] = lease_epoch; held[n] = 1;
    swap_won[n] = (!RESUME_CHECK || (session_valid[n] && !holder_session_ended)) }
}
inline learns_that_it_lost(n) { /* only now is a copy destroyed (7, 12) */
  d_step { up(n) && copy[n] != NONE && lease_epoch > copy_epoch[n] && !copy_swap_won(n) &&
      !(copy[n] == RUNNING && lease_holder == n && boot_asked[n] == 0 && lease_epoch == copy_epoch[n]) ->
    copy[n] = NONE; held[n] = 0; swap_won[n] = 0; port_open[n] = 0; write_pending[n] = 0;
    if :: n == S -> handover_epoch = 0 :: else fi }
}
inline winner_resumes(n) {
  d_step { up(n) && swap_won[n] && copy[n] == PAUSED && (!RESUME_CHECK || session_valid[n]) ->
    assert(volume[n] >= acked); /* every acknowledged write is here */
    run_guest(n, copy_epoch[n]) }
}
/* The same where the hypervisor's call may hang: asked for, done later, or without effect. */
inline winner_calls_resume(n) {
  d_step { up(n) && swap_won[n] && copy[n] == PAUSED && (!RESUME_CHECK || session_valid[n]) ->
    swap_won[n] = 0; resume_pending[n] = copy_epoch[n] }
}
inline resume_takes_effect(n) {
  d_step { host_up[n] && resume_pending[n] != 0 && copy[n] == PAUSED && copy_epoch[n] == resume_pending[n] ->
    assert(volume[n] >= acked); /* every acknowledged write is here */
    run_guest(n, copy_epoch[n]); resume_pending[n] = 0 }
}
inline resume_comes_to_nothing(n) {
  d_step { host_up[n] && resume_pending[n] != 0 && !(copy[n] == PAUSED && copy_epoch[n] == resume_pending[n]) ->
    resume_pending[n] = 0 }
}

/* ---- boot from disk: takeover of an ended session (21), or restart of an own VM whose memory is gone (22) ---- */
#define may_ask_boot(n) (up(n) && session_valid[n] && boot_asked[n] == 0 && boot_won[n] == 0 && \
    !(boot_swaps[n] & bit_of(lease_epoch)))
inline ask_boot(n) {
  boot_asked[n] = lease_epoch; boot_swaps[n] = boot_swaps[n] | bit_of(lease_epoch)
}
inline takes_over(n) {
  d_step { may_ask_boot(n) && lease_holder != n && holder_session_ended && (!IN_SYNC_ONLY || durable[n] >= flushed) &&
      (n != S || copy[n] == NONE) && (!HEIR || lease_heir == 0 || lease_heir == n + 1 || !session_open[lease_heir - 1]) &&
      (!SWAP_ID || !(n == T && copy[T] == PAUSED)) /* destroys an incoming copy first (5) */ ->
    ask_boot(n) }
}
inline restarts(n) {
  d_step { may_ask_boot(n) && lease_holder == n && copy[n] == NONE && !RESUME_AT_SAME_EPOCH -> ask_boot(n) }
}
inline broken_restarts(n) {
  d_step { up(n) && session_valid[n] && lease_holder == n && copy[n] == NONE && boot_asked[n] == 0 ->
    boot_asked[n] = lease_epoch - 1 }
}
#define boot_swap_won(n) (lease_holder == n && lease_epoch == boot_asked[n] + 1 && \
    (!SWAP_ID || lease_won_by_boot == 1 || RESUME_AT_SAME_EPOCH))
inline learns_that_boot_won(n) {
  d_step { up(n) && boot_asked[n] != 0 && boot_swap_won(n) ->
    boot_asked[n] = 0;
    if :: (!RESUME_CHECK || (session_valid[n] && !holder_session_ended)) -> boot_won[n] = lease_epoch :: else fi }
}
inline boots(n) {
  d_step { up(n) && boot_won[n] != 0 && (!RESUME_CHECK || session_valid[n]) && (!SWAP_ID || copy[n] == NONE) ->
    assert(copy[n] != RUNNING);                          /* not two copies on one node */
    assert(!CHECK_MEMORY || memory_loss_excused);        /* memory is not thrown away without a crash */
    assert(volume[n] >= flushed);                        /* every acknowledged flushed write is here */
    acked = volume[n]; flushed = (flushed < volume[n] -> flushed : volume[n]); memory_loss_excused = 0;
    run_guest(n, boot_won[n]); boot_won[n] = 0 }
}
inline learns_that_boot_lost(n) {
  d_step { up(n) && boot_asked[n] != 0 && lease_epoch > boot_asked[n] && !boot_swap_won(n) -> boot_asked[n] = 0 }
}
inline boot_request_died(n) { /* with its session */
  d_step { up(n) && boot_asked[n] != 0 && lease_epoch == boot_asked[n] && !(boot_swaps[n] & bit_of(lease_epoch)) &&
      !RESUME_AT_SAME_EPOCH ->
    boot_asked[n] = 0 }
}
