/* The state of handover.pml. Fields indexed by node are kept by that node; "soup" fields are messages under way, which
 * stay receivable for ever; "ghost" fields exist for the assertions alone. */

#define S 0 /* source */
#define T 1 /* target */
#define X 2 /* spare */
#define bit_of(epoch) (1 << (epoch))
#define EPOCH_MAX 10

/* ---- the copy of the guest on each node ---- */
#define NONE 0
#define RUNNING 1
#define PAUSED 2
byte copy[3];
byte copy_epoch[3];
bit held[3];              /* it belongs to a holding of this node; else it is an incoming one */
bit swap_won[3];          /* a swap for this copy won: it may resume */
byte resume_pending[3];   /* epoch of a resume call that has not come back */
bit port_open[3];         /* the guest's switch port on this node */

/* ---- the node: host, daemon, session ---- */
bit host_up[3];
bit daemon_up[3];
bit session_valid[3];     /* by the node's own clock */
bit session_open[3];      /* by the lease table */
bit revoke_first[3];      /* rebooted: the old session must be revoked before a new one is used (5) */

/* ---- swaps: one bit for each epoch they expect ---- */
short copy_swaps[3];      /* soup: by a copy (commit, reclaim) */
short boot_swaps[3];      /* soup: by a boot from disk (takeover, restart) */
short copy_swaps_logged[3]; /* what the node remembers to have asked for by copy: logged before it is sent (4) */
byte boot_asked[3];       /* a boot was asked for at this epoch */
byte boot_won[3];         /* it won: the node may boot at this epoch */

/* ---- the lease record ---- */
byte lease_holder, lease_epoch = 1;
byte lease_heir;              /* node + 1; 0: nobody, as in a record whose mark names nobody: then an end is only still to be said (6) */
byte lease_won_by_boot;       /* which swap won: 0 of a copy, 1 of a boot */
bit holder_session_ended;     /* the record's session; a newer one of the same node does not revive it */

/* ---- volumes, as the number of the newest write ---- */
byte volume[3];
byte durable[3];          /* of these, on stable storage */
byte write_pending[3];    /* a guest's request that its backend has not done */
byte volume_epoch[3];     /* lower epochs are rejected */
byte closed_epoch[3];     /* replica: closed to this epoch and lower */
byte block_epoch[WRITES + 2]; /* soup: write i was sent to the replicas at this epoch */
byte stale_applies;       /* budget of applying old blocks again, when VERSION_ORDER is off */

/* ---- the hand-over ---- */
byte handover_epoch;      /* S: epoch whose hand-over is open */
byte sealed[EPOCH_MAX + 1]; /* soup: sealed at this epoch: version + 1 */
short memory_sent;        /* soup: final memory of an epoch, one bit each */
byte memory_taken;        /* T: newest epoch whose memory it took */
byte verified_epoch;      /* T */
byte handovers;

/* ---- the fabric ---- */
byte resumed[EPOCH_MAX + 1]; /* soup: vm.resumed of an epoch, by node + 1 */
byte fabric_epoch, fabric_owner; /* owner: node + 1 */

/* ---- ghosts and budgets ---- */
byte writes, acked, flushed;
byte highest_switched;
byte ended_epoch;         /* newest epoch at which the end of a migration was said, its mark cleared */
bit memory_loss_excused;  /* a crash, or a takeover where nothing could be verified, explains that memory is lost */
byte crashes, daemon_kills, session_losses, fabric_restarts;
bit faults_stopped;

#define up(n) (host_up[n] && daemon_up[n])
#define incoming(n) (copy[n] == PAUSED && !held[n])
#define running(n) (copy[n] == RUNNING && host_up[n])
