/* Steps of handover.pml: the guest, its volume, its replicas. */

/* The guest executes its first instruction on n at this epoch: resume or boot. Port and volume follow in the same step (11). */
inline run_guest(n, epoch) {
  copy[n] = RUNNING; copy_epoch[n] = epoch; held[n] = 1; swap_won[n] = 0;
  if :: epoch > volume_epoch[n] -> volume_epoch[n] = epoch :: else fi;
  port_open[n] = 1; resumed[epoch] = n + 1;
  if :: n == S -> handover_epoch = 0 :: else fi
}

/* ---- guest I/O; needs no daemon ---- */
inline guest_writes(n) {
  d_step { copy[n] == RUNNING && host_up[n] && write_pending[n] == 0 && writes < WRITES ->
    writes++; write_pending[n] = writes }
}
/* The backend finishes the request. What a paused copy that already lost is told, nobody sees. */
inline volume_writes(n) {
  atomic { host_up[n] && write_pending[n] != 0 && (copy[n] == RUNNING || (copy[n] == PAUSED && held[n])) &&
      (!VOLUME_FENCE || copy_epoch[n] >= volume_epoch[n]) ->
    volume[n] = write_pending[n]; write_pending[n] = 0; block_epoch[volume[n]] = copy_epoch[n];
    if
    :: copy[n] == RUNNING || lease_epoch == copy_epoch[n] || lease_holder == n -> acked = volume[n]
    :: else
    fi }
}
inline guest_flushes(n) {
  d_step { copy[n] == RUNNING && host_up[n] && write_pending[n] == 0 && flushed < volume[n] &&
      (!SYNC_FLUSH || n != S || durable[T] >= volume[n]) ->
    durable[n] = volume[n]; flushed = volume[n] }
}

/* ---- replicas (10) ---- */
inline replica_applies(n, k) {
  d_step { n != S && up(n) && block_epoch[k] != 0 && (!VOLUME_FENCE || block_epoch[k] >= volume_epoch[n]) &&
      (!CLOSE_REPLICA || block_epoch[k] > closed_epoch[n]) &&
      ((VERSION_ORDER && k > volume[n]) || (!VERSION_ORDER && k != volume[n] && stale_applies < 2)) ->
    assert(copy[n] != RUNNING || block_epoch[k] >= copy_epoch[n]); /* no stale write reaches a live volume (11) */
    volume[n] = k;
    if :: !VERSION_ORDER -> stale_applies++ :: else fi }
}
inline replica_flushes(n) {
  d_step { n != S && up(n) && copy[n] != RUNNING && durable[n] != volume[n] && (closed_epoch[n] == 0 || n != T) ->
    durable[n] = volume[n] }
}
/* Only asked for when T's disk is lost: then S is a replica, too. */
inline source_flushes(n) {
  d_step { n == S && up(n) && copy[n] != RUNNING && durable[n] != volume[n] -> durable[n] = volume[n] }
}
