/* A move by post-copy (rule 14 of docs/choreography.md; hypercall/hypervisor.h): T executes while some of its memory is on S still. Source and
 * target, the lease record, and the stream between them; what it takes until the pause is in handover.pml. */
#ifndef KEEP_COPY
#define KEEP_COPY 1       /* S keeps its copy until T has all; 0, broken: until it knows that it lost */
#endif
#ifndef NEEDED_STAYS
#define NEEDED_STAYS 1    /* S, which took its machine back, starts it anew from its disk once its memory was half way; 0, broken: it waits */
#endif
#ifndef WAIT_HALF_WAY
#define WAIT_HALF_WAY 1   /* S does not take its machine back while its memory is half way, and may yet come to be at T; 0, broken: it does */
#endif
#ifndef COMPLETE_WHOLE
#define COMPLETE_WHOLE 1  /* completed is said when all is there; 0, broken: when it is resumed */
#endif
#ifndef GIVE_UP
#define GIVE_UP 1         /* a guest whose stream does not come again is given up in time; 0, broken: it waits for ever */
#endif
#ifndef CUTS
#define CUTS 2            /* so often the stream is lost */
#endif
#ifndef LOSSES
#define LOSSES 1          /* so many QEMUs are killed, at any step */
#endif

mtype = { s_holds, t_committed, s_reclaimed, t_anew, s_anew };  /* the record: (S, e), (T, e+1), (S, e+1), and from the disk a swap later */
mtype record = s_holds;
mtype = { paused, needed, done, gone };     /* the copy of S; needed: it can neither be continued nor be taken back */
mtype source = paused;
mtype = { incoming, arrived, runs, lost };  /* the copy of T */
mtype target = incoming;
bit missing, stream, s_runs, completed, s_gave_up;
bit thrown_away;
bit t_from_disk, s_from_disk;
byte cuts, losses;

/* ---- source */
inline hands_over() {
  d_step { record == s_holds && source == paused && target == incoming && !s_gave_up ->
           source = needed; target = arrived; missing = 1; stream = 1 }
}
inline takes_back() {
  d_step { record == s_holds && !s_runs && (!WAIT_HALF_WAY || source != needed || s_gave_up || target == lost) ->
           if :: source == needed && target != lost && !s_gave_up -> thrown_away = 1 :: else fi;
           record = s_reclaimed }
}
inline goes_on() { d_step { record == s_reclaimed && (source == paused || source == done) && !s_runs -> s_runs = 1 } }
inline starts_anew_at_source() {
  d_step { record == s_reclaimed && !s_runs && (source == gone || (NEEDED_STAYS && source == needed)) ->
           source = gone; stream = 0; record = s_anew; s_from_disk = 1; s_runs = 1 }
}
inline source_recovers() {
  d_step { source == needed && !stream && !s_gave_up && (target == arrived || target == runs) -> stream = 1 }
}
inline source_gives_up() { d_step { GIVE_UP && source == needed && !stream && cuts + losses > 0 && !s_gave_up -> s_gave_up = 1 } }
inline source_releases() {
  d_step { source != gone && (record == t_committed || record == t_anew) &&
           (!KEEP_COPY || source == done || source == paused || s_gave_up || record == t_anew) ->
           source = gone; stream = 0 }
}
/* ---- target */
inline commits() { d_step { record == s_holds && target == arrived && stream -> record = t_committed } }
inline resumes() { d_step { record == t_committed && target == arrived -> target = runs } }
inline follows() { d_step { missing && stream && source == needed && (target == arrived || target == runs) -> missing = 0; source = done } }
inline says_completed() {
  d_step { record == t_committed && target == runs && !completed && (!COMPLETE_WHOLE || !missing) -> completed = 1 }
}
inline target_gives_up() {
  d_step { GIVE_UP && missing && !stream && (target == arrived || target == runs) && (cuts + losses > 0 || source == gone) -> target = lost }
}
inline starts_anew_at_target() {
  d_step { record == t_committed && target == lost -> record = t_anew; t_from_disk = 1 }
}
inline drops() { d_step { (record == s_reclaimed || record == s_anew) && target != lost -> target = lost; stream = 0 } }
/* ---- what goes wrong */
inline is_cut() { d_step { stream && cuts < CUTS -> stream = 0; cuts++ } }
inline source_dies() { d_step { losses < LOSSES && source != gone && !s_runs -> source = gone; stream = 0; losses++ } }
inline target_dies() { d_step { losses < LOSSES && target != lost && !t_from_disk -> target = lost; stream = 0; losses++ } }

active proctype Source() {
  do
  :: hands_over()
  :: takes_back()
  :: goes_on()
  :: starts_anew_at_source()
  :: source_recovers()
  :: source_gives_up()
  :: source_releases()
  od
}
active proctype Target() {
  do
  :: commits()
  :: resumes()
  :: follows()
  :: says_completed()
  :: target_gives_up()
  :: starts_anew_at_target()
  :: drops()
  od
}
active proctype Faults() {
  do
  :: is_cut()
  :: source_dies()
  :: target_dies()
  od
}

#define T_EXECUTES ((target == runs && record == t_committed) || t_from_disk)
active proctype Monitor() {
  do
  :: atomic { s_runs && T_EXECUTES -> assert(!(s_runs && T_EXECUTES)) }
  :: atomic { target == lost && record == t_committed && cuts + losses == 0 -> assert(cuts + losses > 0) }
  :: atomic { thrown_away -> assert(!thrown_away) }
  :: atomic { completed && missing -> assert(!(completed && missing)) }
  :: atomic { timeout ->
       assert(s_runs || (target == runs && !missing) || t_from_disk);
       assert(source == gone || s_runs);
       break }
  od
}
