/* The fence's clock (rule 8 of docs/choreography.md; hypercall/keeper.h): a node's guests must be stopped before the lease
 * table lets its session end, though the node's clock is slow and the table's is fast.
 *
 * Time passes in whole steps. A clock may have one step of drift saved up, so the largest F that holds here is a little below
 * the rule's F < TTL(1-r)/(1+r) - (1-r)d: 7 instead of 8 with the values below (r = 1/DRIFT, d = STOP). */
#ifndef TTL
#define TTL 12          /* the table ends the session this long after the last renewal that reached it */
#endif
#ifndef F
#define F 7             /* the keeper stops the guests this long after the node SENT its last answered renewal */
#endif
#ifndef DRIFT
#define DRIFT 8         /* the node's clock may lose, the table's may gain one step in this many */
#endif
#ifndef STOP
#define STOP 1          /* stopping takes up to this many steps */
#endif
#ifndef FROM_REPLY
#define FROM_REPLY 0    /* 1, broken: counts from the arrival of the answer */
#endif
#define DELAY_MAX 2     /* a renewal without an answer for longer is lost */
#define RENEWALS 2
#define STEPS_MAX 40

byte node_clock, table_clock;  /* since the renewal each of them counts from */
byte node_drift, table_drift;  /* steps since each clock last was wrong */
bit running = 1, stopping, ended;
byte stop_time;
bit under_way, received;       /* a renewal: sent and not answered; taken by the table */
byte pending, since_sent, renewals, steps;

inline time_passes() {
  atomic { !ended && steps < STEPS_MAX && (!stopping || stop_time < STOP || !running) &&
      !(running && !stopping && node_clock >= F) ->
    steps++;
    if
    :: node_drift < DRIFT - 1 -> node_clock++; node_drift++
    :: node_drift >= DRIFT - 1 -> node_clock++
    :: node_drift >= DRIFT - 1 -> node_drift = 0
    fi;
    table_clock++;
    if :: table_drift < DRIFT -> table_drift++ :: else fi;
    if
    :: table_drift >= DRIFT -> table_clock++; table_drift = 0
    :: table_drift >= DRIFT -> skip
    :: else
    fi;
    if :: under_way -> pending++ :: else fi;
    if :: stopping && running -> stop_time++ :: else fi;
    if :: table_clock >= TTL -> ended = 1 :: else fi }
}
inline node_sends_renewal() {
  atomic { !under_way && !stopping && running && renewals < RENEWALS ->
    renewals++; under_way = 1; pending = 0; received = 0; since_sent = node_clock }
}
inline table_takes_renewal() {
  atomic { under_way && !received && !ended -> received = 1; table_clock = 0 }
}
inline node_hears_answer() {
  atomic { under_way && received && !stopping && running ->
    under_way = 0;
    if :: FROM_REPLY -> node_clock = 0 :: else -> node_clock = node_clock - since_sent fi }
}
inline renewal_is_lost() {
  atomic { under_way && pending > DELAY_MAX -> under_way = 0 }
}
inline keeper_begins_to_stop() {
  atomic { running && !stopping && node_clock >= F -> stopping = 1; stop_time = 0 }
}
inline guest_has_stopped() {
  atomic { stopping && running -> running = 0 }
}

active proctype World() {
  do
  :: time_passes()
  :: node_sends_renewal()
  :: table_takes_renewal()
  :: node_hears_answer()
  :: renewal_is_lost()
  :: keeper_begins_to_stop()
  :: guest_has_stopped()
  :: ended || steps >= STEPS_MAX -> break
  od;
  assert(!(ended && running))
}
