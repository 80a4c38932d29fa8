/* Steps of handover.pml: sessions, fences, crashes, restarts. */

/* The keeper: the deadline passed on the node's own clock (7, 8). */
inline keeper_fences(n) {
  d_step { host_up[n] && session_valid[n] && session_losses < SESSION_LOSSES && !faults_stopped &&
      (daemon_up[n] || KEEPER) ->
    session_losses++; session_valid[n] = 0;
    if
    :: RESUME_CHECK ->
      swap_won[n] = 0; boot_won[n] = 0;
      if :: FREEZER -> resume_pending[n] = 0 :: else fi
    :: else
    fi;
    if
    :: copy[n] == RUNNING -> copy[n] = PAUSED; if :: PORT_WITH_GUEST -> port_open[n] = 0 :: else fi
    :: else
    fi }
}
/* Renewed in time, or a new session; a rebooted host revokes its old one first (5). */
inline session_renewed(n) {
  d_step { up(n) && !session_valid[n] && (session_open[n] || boot_asked[n] == 0) ->
    if
    :: revoke_first[n] ->
      copy_swaps[n] = 0; boot_swaps[n] = 0; revoke_first[n] = 0;
      if :: lease_holder == n -> holder_session_ended = 1 :: else fi
    :: else
    fi;
    session_valid[n] = 1; session_open[n] = 1 }
}
inline told_that_session_ended(n) {
  d_step { up(n) && session_valid[n] && !session_open[n] ->
    session_valid[n] = 0;
    if :: copy[n] == RUNNING -> copy[n] = PAUSED; port_open[n] = 0 :: else fi }
}

/* Blocks under way die with a source whose disk is lost, and so do, for T, those that it sent itself. */
inline forget_blocks_of_lost_disk(n) {
  if
  :: n == DISK_LOST_BY && n == S -> block_epoch[1] = 0; block_epoch[WRITES] = 0
#if DISK_LOST_BY == 1
  :: n == DISK_LOST_BY ->
    if :: block_epoch[1] >= 2 -> block_epoch[1] = 0 :: else fi;
    if :: block_epoch[WRITES] >= 2 -> block_epoch[WRITES] = 0 :: else fi
#endif
  :: else
  fi
}
inline host_crashes(n) {
  d_step { host_up[n] && crashes < CRASHES && !faults_stopped && (DISK_LOST_BY > 2 || n == DISK_LOST_BY) ->
    crashes++; host_up[n] = 0;
    if
    :: (lease_holder == n && copy[n] != NONE) || (copy_swaps[n] & bit_of(lease_epoch)) -> memory_loss_excused = 1
    :: else
    fi;
    revoke_first[n] = 1;
    forget_blocks_of_lost_disk(n);
    copy[n] = NONE; held[n] = 0; swap_won[n] = 0; session_valid[n] = 0; port_open[n] = 0; write_pending[n] = 0;
    boot_asked[n] = 0; boot_won[n] = 0; resume_pending[n] = 0; volume[n] = durable[n];
    if :: n == T -> verified_epoch = 0 :: n == S -> handover_epoch = 0 :: else fi }
}
inline host_returns(n) {
  d_step { !host_up[n] && n != DISK_LOST_BY -> host_up[n] = 1; daemon_up[n] = 1 }
}
inline daemon_killed(n) { /* boot_asked and copy_swaps_logged survive: they are logged before they are sent (4) */
  d_step { up(n) && daemon_kills < DAEMON_KILLS && !faults_stopped ->
    daemon_kills++; daemon_up[n] = 0; swap_won[n] = 0; boot_won[n] = 0 }
}
inline daemon_restarts(n) {
  d_step { host_up[n] && !daemon_up[n] -> daemon_up[n] = 1 }
}
