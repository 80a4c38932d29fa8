/* After the commit with the disk on demand (rules 12 and 14 of docs/choreography.md; storage/volume.h): the guest runs on T,
 * two extents are still on S. */
#ifndef KEEP_SEALED
#define KEEP_SEALED 1      /* 12: S keeps its sealed volume until T has every extent; 0, broken: until it knows that it lost */
#endif
#ifndef COMPLETE_DURABLE
#define COMPLETE_DURABLE 1 /* 12: complete only when the extents are flushed on T */
#endif
#ifndef SOURCE_DIES
#define SOURCE_DIES 0      /* 14: S is lost with its disk, once, at any step: why on-demand is refused when S is under notice */
#endif
#ifndef TARGET_CRASHES
#define TARGET_CRASHES 1   /* T crashes once, and comes back with what it had flushed */
#endif

#define ALL 3
byte fetched, durable;     /* extents on T, one bit each */
bit source_volume = 1, source_up = 1, target_runs = 1;
bit complete, crashed, died;

inline fetches(extent) {
  d_step { target_runs && source_up && source_volume && !(fetched & extent) -> fetched = fetched | extent }
}
inline flushes() {
  d_step { target_runs && durable != fetched -> durable = fetched }
}
inline says_complete() {
  d_step { target_runs && !complete && fetched == ALL && (!COMPLETE_DURABLE || durable == ALL) -> complete = 1 }
}
inline target_crashes() {
  d_step { TARGET_CRASHES && !crashed -> crashed = 1; target_runs = 0; fetched = durable }
}
inline target_returns() {
  d_step { !target_runs -> target_runs = 1 }
}
inline source_releases() {
  d_step { source_up && source_volume && (!KEEP_SEALED || complete) -> source_volume = 0 }
}
inline source_dies() {
  d_step { SOURCE_DIES && !died -> died = 1; source_up = 0; source_volume = 0 }
}

active proctype Target() {
  do
  :: fetches(1)
  :: fetches(2)
  :: flushes()
  :: says_complete()
  :: target_crashes()
  :: target_returns()
  od
}
active proctype Source() {
  do
  :: source_releases()
  :: source_dies()
  od
}
active proctype Monitor() {
  do
  :: atomic { timeout -> assert(fetched == ALL && durable == ALL); break }
  od
}
