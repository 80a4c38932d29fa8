/* Steps of handover.pml: what all nodes share, the lease table (core/lease_table.h) and the fabric (actors/network/fabric.h). */

/* ---- the table ---- */
inline table_swaps_by_copy(n) {
  d_step { (copy_swaps[n] & bit_of(lease_epoch)) && (!SESSION_GUARD || session_open[n]) &&
      (!COMMIT_NEEDS_HEIR || lease_holder == n || lease_heir == n + 1) ->
    assert(lease_holder == n || ended_epoch != lease_epoch); /* no migration both completes and aborts (6) */
    lease_holder = n; lease_epoch++; lease_won_by_boot = 0; lease_heir = 0; holder_session_ended = !session_open[n] }
}
/* Memory is rightly lost when no verified copy that could have gone on was waiting for this epoch, and still might commit. */
inline table_swaps_by_boot(n) {
  d_step { (boot_swaps[n] & bit_of(lease_epoch)) && (!SESSION_GUARD || session_open[n]) &&
      (!TAKEOVER_GUARD || lease_holder == n || holder_session_ended) &&
      (!HEIR || lease_holder == n || lease_heir == 0 || lease_heir == n + 1 || !session_open[lease_heir - 1]) ->
    if
    :: lease_holder != n && !(incoming(T) && verified_epoch == lease_epoch && copy_epoch[T] == lease_epoch &&
         lease_heir == T + 1 && host_up[T] && session_valid[T]) -> memory_loss_excused = 1
    :: else
    fi;
    lease_holder = n; lease_epoch++; lease_won_by_boot = 1; lease_heir = 0; holder_session_ended = !session_open[n] }
}
#define may_expire(n) (session_open[n] && (!session_valid[n] || !host_up[n] || \
    (!FENCE_MARGIN && session_losses < SESSION_LOSSES && !faults_stopped) || (!KEEPER && !daemon_up[n])))
inline table_ends_session(n) {
  d_step { may_expire(n) ->
    if :: session_valid[n] && host_up[n] && !FENCE_MARGIN -> session_losses++ :: else fi;
    if :: lease_holder == n -> holder_session_ended = 1 :: else fi;
    session_open[n] = 0;
    if :: SESSION_GUARD -> copy_swaps[n] = 0; boot_swaps[n] = 0 :: else fi }
}

/* ---- the fabric ---- */
inline fabric_switches(epoch) {
  d_step { resumed[epoch] != 0 && ((FABRIC_FENCE && epoch > fabric_epoch) ||
      (!FABRIC_FENCE && fabric_epoch != epoch && fabric_restarts < FABRIC_RESTARTS + 2)) ->
    if :: !FABRIC_FENCE -> fabric_restarts++ :: else fi;
    assert(epoch >= highest_switched); /* an address never goes back to a lower epoch (11) */
    highest_switched = epoch; fabric_epoch = epoch; fabric_owner = resumed[epoch];
    if
    :: !PORT_WITH_GUEST ->
      port_open[0] = (fabric_owner == 1); port_open[1] = (fabric_owner == 2); port_open[2] = (fabric_owner == 3)
    :: else
    fi }
}
inline fabric_restarts_and_reads() {
  d_step { fabric_restarts < FABRIC_RESTARTS && FABRIC_FENCE && !faults_stopped ->
    fabric_restarts++;
    if
    :: FABRIC_READS_FIRST ->
      fabric_epoch = lease_epoch; fabric_owner = lease_holder + 1;
      highest_switched = (highest_switched > lease_epoch -> highest_switched : lease_epoch)
    :: else -> fabric_epoch = 0; fabric_owner = 0
    fi }
}
