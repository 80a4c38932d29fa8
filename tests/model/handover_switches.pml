/* What a run of handover.pml is asked: budgets of faults, rules switched off, actors broken. All are set with -D.
 * The numbers are the rules of docs/choreography.md; the file is where the code keeps the rule. */

/* ---- how much happens ---- */
#ifndef HANDOVERS
#define HANDOVERS 1          /* attempts to move the VM from S to T */
#endif
#ifndef WRITES
#define WRITES 2             /* guest writes */
#endif
#ifndef CRASHES
#define CRASHES 1            /* hosts that lose power; they come back, unless DISK_LOST_BY */
#endif
#ifndef DAEMON_KILLS
#define DAEMON_KILLS 1       /* the daemon dies, the guest goes on */
#endif
#ifndef SESSION_LOSSES
#define SESSION_LOSSES 1     /* a node's own clock passes its session's deadline */
#endif
#ifndef FABRIC_RESTARTS
#define FABRIC_RESTARTS 0
#endif
#ifndef DISK_LOST_BY
#define DISK_LOST_BY 9       /* only this node crashes, and never comes back; 9: any may crash, all return */
#endif
#ifndef LATE_RESUME
#define LATE_RESUME 0        /* 1: the hypervisor's resume call may hang and take effect later */
#endif

/* ---- what is checked besides the assertions that always hold ---- */
#ifndef CHECK_PROGRESS
#define CHECK_PROGRESS 1     /* every run ends with one copy that runs, reachable, and no open hand-over (20, 22) */
#endif
#ifndef CHECK_MEMORY
#define CHECK_MEMORY 1       /* guest memory is thrown away only after a crash of its holder (12, 22) */
#endif

/* ---- the rules; 0 switches one off, and a run must then fail ---- */
#ifndef FENCE_MARGIN
#define FENCE_MARGIN 1       /* 8: a session ends for others only after its node stopped its guests: hypercall/keeper.h */
#endif
#ifndef KEEPER
#define KEEPER 1             /* 7: the fence needs no living daemon: hypercall/keeper.h */
#endif
#ifndef FREEZER
#define FREEZER 1            /* 7: the fence beats an outstanding resume call: hypercall/keeper.h */
#endif
#ifndef SESSION_GUARD
#define SESSION_GUARD 1      /* 3: a swap is applied only while the session it was sent under lives: core/lease_table.h */
#endif
#ifndef TAKEOVER_GUARD
#define TAKEOVER_GUARD 1     /* 21: a takeover compares "the holder's session ended" in the same step: core/lease_table.h */
#endif
#ifndef RESUME_CHECK
#define RESUME_CHECK 1       /* 3: the session's deadline is checked in the step that lets the guest run: actors/migration/vm_worker_execution.cpp */
#endif
#ifndef SWAP_ID
#define SWAP_ID 1            /* 4, 5: the record says which swap won; one actor per node swaps: core/lease_table.h */
#endif
#ifndef HEIR
#define HEIR 1               /* 6: while a hand-over is open its target comes before a spare: core/lease_table.h */
#endif
#ifndef COMMIT_NEEDS_HEIR
#define COMMIT_NEEDS_HEIR 1  /* 6: only whom the mark names commits: core/lease_table.h */
#endif
#ifndef IN_SYNC_ONLY
#define IN_SYNC_ONLY 1       /* 13: only a node with every flushed write takes over: core/lease_table.h */
#endif
#ifndef SYNC_FLUSH
#define SYNC_FLUSH 0         /* 13: 1: the VM declared "sync", FLUSH waits for the replica: storage/volume.h */
#endif
#ifndef VOLUME_FENCE
#define VOLUME_FENCE 1       /* 11: the volume rejects lower epochs: storage/volume.h */
#endif
#ifndef VERSION_ORDER
#define VERSION_ORDER 1      /* 10: replicas apply by version, never older over newer: storage/volume.h */
#endif
#ifndef CLOSE_REPLICA
#define CLOSE_REPLICA 1      /* 10: verified closes the replica to its epoch: storage/volume.h */
#endif
#ifndef VERIFY
#define VERIFY 1             /* 10: the target has the sealed version before it commits: storage/volume.h */
#endif
#ifndef VERIFY_DURABLE
#define VERIFY_DURABLE 1     /* 10: verified means on stable storage: storage/volume.h */
#endif
#ifndef DRAIN
#define DRAIN 1              /* 9: requests under way are done before the seal: actors/migration/vm_worker_source.cpp */
#endif
#ifndef PORT_WITH_GUEST
#define PORT_WITH_GUEST 1    /* 11: the port closes with the pause and opens with the resume: actors/migration/vm_worker_execution.cpp */
#endif
#ifndef FABRIC_FENCE
#define FABRIC_FENCE 1       /* 11: the fabric rejects lower epochs: actors/network/fabric.h */
#endif
#ifndef FABRIC_READS_FIRST
#define FABRIC_READS_FIRST 1 /* 11: a restarted fabric reads the lease table first: actors/network/fabric.h */
#endif

/* ---- broken actors; 1 breaks one, and a run must then fail ---- */
#ifndef RESUME_BEFORE_SWAP
#define RESUME_BEFORE_SWAP 0       /* against 1: the target resumes, its swap still under way */
#endif
#ifndef RESUME_WITHOUT_SWAP
#define RESUME_WITHOUT_SWAP 0      /* against 1: the source resumes on a timeout */
#endif
#ifndef RESUME_AT_SAME_EPOCH
#define RESUME_AT_SAME_EPOCH 0     /* against 2: the holder runs again after a fence or a restart, without a swap */
#endif
#ifndef GIVE_UP_IN_FLIGHT
#define GIVE_UP_IN_FLIGHT 0        /* against 4: the target gives up, having read (source, e), its swap in flight */
#endif
#ifndef RELEASE_BEFORE_KNOWING
#define RELEASE_BEFORE_KNOWING 0   /* against 12: the source destroys its copy before it knows who won */
#endif
