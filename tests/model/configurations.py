"""What verify.py runs: (name, model, -D switches, expectation, rule).

Expectation: HOLDS, or the assertion that must fail. The switches are explained in the models. Where no budget of faults is
given it is zero: most rules already fail with one fault, and a run with one explores everything that one can do.
"""

HOLDS = "holds"

# The assertions, by a piece of the text that Spin prints for them.
TWO_RUN = "two copies run"
STALE_PORT = "an old copy's port is open"
ACKNOWLEDGED = "an acknowledged write is lost"
FLUSHED = "a flushed write is lost"
STALE_WRITE = "a stale write reaches a live volume"
SAME_NODE = "two copies on one node"
MEMORY = "memory thrown away without a crash"
BACKWARDS = "an address goes back"
BOTH_ENDS = "a migration completes whose end was said"
UNSETTLED = "ends unsettled"
RUNS_ON = "runs past the end of its session"
INCOMPLETE = "an extent is lost for ever"
GIVEN_UP = "memory is given up without a fault"
WAITS = "a guest waits for its memory for ever"
EARLY = "a migration completes before all of its memory is there"
ASSERTIONS = [  # the first whose text occurs
    (SAME_NODE, "(copy[n]!=1) "),
    (STALE_WRITE, "(copy[n]!=1)||"),
    (ACKNOWLEDGED, "(volume[n]>=acked)"),
    (FLUSHED, "(volume[n]>=flushed)"),
    (MEMORY, "memory_loss_excused"),
    (BACKWARDS, ">=highest_switched"),
    (BOTH_ENDS, "ended_epoch!=lease_epoch"),
    (UNSETTLED, "(lease_heir==0)"),
    (UNSETTLED, "(lease_holder==0)"),
    (UNSETTLED, "(handover_epoch==0)"),
    (STALE_PORT, "!((((port_open[0]"),
    (TWO_RUN, "!((((((copy[0]==1)"),
    (RUNS_ON, "(ended&&running)"),
    (INCOMPLETE, "(fetched==3)"),
    (GIVEN_UP, "((cuts+losses)>0)"),
    (MEMORY, "!(thrown_away)"),
    (WAITS, "(s_runs||"),
    (EARLY, "(completed&&missing)"),
]

BUDGETS = {"handover": {"CRASHES": 0, "DAEMON_KILLS": 0, "SESSION_LOSSES": 0}}

H, C, D, P = "handover", "clock", "ondemand", "postcopy"

# All rules in force.
CLEAN = [
    ("no_fault", H, "", HOLDS, "all"),
    ("fabric_restarts", H, "FABRIC_RESTARTS=1", HOLDS, "11"),
    ("daemon_killed", H, "DAEMON_KILLS=1", HOLDS, "7, 22"),
    ("two_sessions_lost", H, "SESSION_LOSSES=2 WRITES=0", HOLDS, "3, 8"),
    ("two_crashes", H, "CRASHES=2 WRITES=0", HOLDS, "22"),
    ("two_handovers", H, "SESSION_LOSSES=1 WRITES=0 HANDOVERS=2", HOLDS, "4, 6"),
    ("resume_call_hangs", H, "SESSION_LOSSES=1 WRITES=1 LATE_RESUME=1", HOLDS, "7"),
    ("session_and_fabric", H, "SESSION_LOSSES=1 FABRIC_RESTARTS=1 WRITES=1", HOLDS, "11"),
    ("sync_survives_disk_loss", H, "CRASHES=1 DISK_LOST_BY=0 SYNC_FLUSH=1", HOLDS, "13"),
    ("crash", H, "CRASHES=1", HOLDS, "10, 13, 22"),
    ("session_lost", H, "SESSION_LOSSES=1", HOLDS, "3, 8"),
    ("fence_in_time", C, "", HOLDS, "8"),
    ("disk_on_demand", D, "", HOLDS, "12"),
    ("memory_follows", P, "", HOLDS, "14"),
]

# Two guards that the other rules make redundant within these bounds. They stay: they cost nothing, and the table need not
# trust that nodes keep the others.
REDUNDANT = [
    ("session_guard_off", H, "SESSION_GUARD=0 SESSION_LOSSES=2 WRITES=0", HOLDS, "3"),
    ("takeover_guard_off", H, "TAKEOVER_GUARD=0 SESSION_LOSSES=2 WRITES=0", HOLDS, "21"),
]

# What a VM declared: with "wait" it stays down when the only disk with its flushed writes is gone; nothing is lost.
DECLARED = [
    ("wait_source_disk_lost", H, "CRASHES=1 DISK_LOST_BY=0", UNSETTLED, "13"),
    ("wait_target_disk_lost", H, "CRASHES=1 DISK_LOST_BY=1", UNSETTLED, "13"),
    ("on_demand_source_lost", D, "SOURCE_DIES=1", INCOMPLETE, "14"),
]

# Each rule broken, alone. Every one must be caught.
BROKEN = [
    ("resume_before_swap", H, "RESUME_BEFORE_SWAP=1", TWO_RUN, "1"),
    ("resume_without_swap", H, "RESUME_WITHOUT_SWAP=1 CHECK_PROGRESS=0", TWO_RUN, "1"),
    ("resume_at_same_epoch", H, "RESUME_AT_SAME_EPOCH=1 SESSION_LOSSES=1 CHECK_PROGRESS=0 CHECK_MEMORY=0", TWO_RUN, "2"),
    ("no_resume_check", H, "RESUME_CHECK=0 SESSION_LOSSES=1", TWO_RUN, "3"),
    ("no_swap_id", H, "SWAP_ID=0 SESSION_LOSSES=1", SAME_NODE, "4, 5"),
    ("give_up_in_flight", H, "GIVE_UP_IN_FLIGHT=1", MEMORY, "4"),
    ("no_heir", H, "HEIR=0 SESSION_LOSSES=1", MEMORY, "6"),
    ("commit_without_mark", H, "COMMIT_NEEDS_HEIR=0 CRASHES=1 WRITES=0 CHECK_PROGRESS=0", BOTH_ENDS, "6"),
    ("no_keeper", H, "KEEPER=0 DAEMON_KILLS=1", TWO_RUN, "7"),
    ("no_freezer", H, "FREEZER=0 LATE_RESUME=1 SESSION_LOSSES=1 WRITES=1", TWO_RUN, "7"),
    ("no_fence_margin", H, "FENCE_MARGIN=0 SESSION_LOSSES=1", TWO_RUN, "8"),
    ("fence_too_late", C, "F=8", RUNS_ON, "8"),
    ("fence_from_reply", C, "FROM_REPLY=1", RUNS_ON, "8"),
    ("fence_stops_slowly", C, "STOP=2", RUNS_ON, "8"),
    ("seal_before_drain", H, "DRAIN=0", ACKNOWLEDGED, "9"),
    ("no_verify", H, "VERIFY=0", ACKNOWLEDGED, "10"),
    ("verify_in_memory", H, "VERIFY_DURABLE=0 CRASHES=1", FLUSHED, "10"),
    ("replica_left_open", H, "CLOSE_REPLICA=0 VERSION_ORDER=0", ACKNOWLEDGED, "10"),
    ("no_volume_fence", H, "VOLUME_FENCE=0 SESSION_LOSSES=1", STALE_WRITE, "11"),
    ("port_follows_fabric", H, "PORT_WITH_GUEST=0", STALE_PORT, "11"),
    ("no_fabric_fence", H, "FABRIC_FENCE=0 SESSION_LOSSES=1", BACKWARDS, "11"),
    ("fabric_forgets", H, "FABRIC_READS_FIRST=0 FABRIC_RESTARTS=1 SESSION_LOSSES=1 WRITES=1 CHECK_PROGRESS=0", BACKWARDS, "11"),
    ("release_before_knowing", H, "RELEASE_BEFORE_KNOWING=1", MEMORY, "12"),
    ("volume_released_early", D, "KEEP_SEALED=0", INCOMPLETE, "12"),
    ("complete_not_flushed", D, "COMPLETE_DURABLE=0", INCOMPLETE, "12"),
    ("memory_released_early", P, "KEEP_COPY=0 CUTS=0 LOSSES=0", GIVEN_UP, "14"),
    ("taken_back_half_way", P, "WAIT_HALF_WAY=0", MEMORY, "14"),
    ("memory_half_way_waits", P, "NEEDED_STAYS=0", WAITS, "14"),
    ("memory_never_given_up", P, "GIVE_UP=0", WAITS, "14"),
    ("completed_before_whole", P, "COMPLETE_WHOLE=0", EARLY, "14"),
    ("takeover_out_of_sync", H, "IN_SYNC_ONLY=0 CRASHES=1", FLUSHED, "13"),
    ("out_of_sync_disk_lost", H, "IN_SYNC_ONLY=0 CRASHES=1 DISK_LOST_BY=0", FLUSHED, "13"),
]

# Faults that overlap.
OVERLAPPING = [
    ("crash_and_session", H, "CRASHES=1 SESSION_LOSSES=1 WRITES=0", HOLDS, "3, 22"),
    ("crash_and_daemon", H, "CRASHES=1 DAEMON_KILLS=1 WRITES=1", HOLDS, "7, 22"),
    ("session_and_daemon", H, "SESSION_LOSSES=1 DAEMON_KILLS=1 WRITES=1", HOLDS, "7"),
]

# All that fits together into five minutes on two cores.
QUICK = CLEAN + OVERLAPPING + REDUNDANT + DECLARED + BROKEN

# Minutes and gigabytes each.
LONG = [
    ("crash_session_daemon", H, "CRASHES=1 SESSION_LOSSES=1 DAEMON_KILLS=1 WRITES=0", HOLDS, "3, 7, 22"),
    ("slow_stop_fence_in_time", C, "STOP=2 F=6", HOLDS, "8"),
]
