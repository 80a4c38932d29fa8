@0xa4f1d8c36b2e7905;
# Every event on the bus: one envelope, and one payload of the union below. The schemas are the reference for what the
# choreography's events say. Wire form: one ZeroMQ message of two frames, the topic with a trailing "." and this struct in
# the standard stream framing, one segment.
#
# Fields are only ever added, with the next number: an older reader keeps and forwards what it does not know.

using Cxx = import "/capnp/c++.capnp";
using import "annotations.capnp".topic;
using import "annotations.capnp".delivery;
using import "annotations.capnp".retention;
using import "types.capnp".EventId;
using import "types.capnp".Place;
using import "types.capnp".VmSpec;
$Cxx.namespace("supercloud::schema");

struct Event {
  id @0 :EventId;
  previous0 @1 :UInt64;  # sequence of the origin's previous event, in this incarnation; 0: none
  previous1 @2 :UInt64;  # ... of its previous event that shares the first topic token
  previous2 @3 :UInt64;  # ... the first two
  previous3 @4 :UInt64;  # ... the first three
  topic @5 :Text;        # domain.event.tenant.subject, tokens percent-encoded
  time @6 :UInt64;       # hybrid logical clock: microseconds since 1970 << 12 | counter
  cause @7 :EventId;     # the event that was being handled when this one was published
  root @8 :EventId;      # the first of that chain; of a first event, itself
  epoch @9 :UInt64;      # of the VM's lease, for events about a VM; 0: none
  payload @10 :Payload;
  reconstructed @11 :Bool;  # published again from lease and volume after a crash lost the log of it
  migration @12 :EventId;   # the migration it belongs to: the id of its migration.proposed
}

struct Payload {
  union {
    unknown @0 :Void $topic("");
    spotPriceChanged @1 :PriceChanged $topic("spot.price_changed") $retention(latest);
    spotInterruptionNotice @2 :InterruptionNotice $topic("spot.interruption_notice");
    spotFeedLost @3 :FeedLost $topic("spot.feed_lost");
    spotFeedRestored @4 :FeedRestored $topic("spot.feed_restored");
    instanceRequested @5 :InstanceRequested $topic("instance.requested");
    instanceLaunched @6 :InstanceLaunched $topic("instance.launched") $retention(latest);
    instanceRefused @7 :InstanceRefused $topic("instance.refused");
    instanceReturned @8 :InstanceEnded $topic("instance.returned") $retention(latest);
    instanceRevoked @9 :InstanceEnded $topic("instance.revoked") $retention(latest);
    ledgerCharged @10 :Charged $topic("ledger.charged");
    nodeJoined @11 :NodeJoined $topic("node.joined") $retention(latest);
    nodeLeft @12 :NodeLeft $topic("node.left") $retention(latest);
    nodeHeartbeat @13 :Heartbeat $topic("node.heartbeat") $delivery(volatile);
    nodeCapacity @14 :Capacity $topic("node.capacity") $delivery(volatile);
    vmDefined @15 :VmDefined $topic("vm.defined") $retention(latest);
    vmStarted @16 :VmStarted $topic("vm.started") $retention(latest);
    vmStopped @17 :VmStopped $topic("vm.stopped") $retention(latest);
    vmFailed @18 :VmFailed $topic("vm.failed") $retention(latest);
    vmPaused @19 :VmPaused $topic("vm.paused") $delivery(noted);
    vmResumed @20 :VmResumed $topic("vm.resumed") $delivery(noted) $retention(latest);
    vmReleased @21 :VmReleased $topic("vm.released") $delivery(noted);
    vmDirtyRate @22 :DirtyRate $topic("vm.dirty_rate") $delivery(volatile);
    migrationProposed @23 :Proposed $topic("migration.proposed");
    migrationAccepted @24 :Accepted $topic("migration.accepted");
    migrationRefused @25 :Refused $topic("migration.refused");
    migrationTargetReady @26 :TargetReady $topic("migration.target_ready");
    migrationStarted @27 :Started $topic("migration.started");
    migrationProgress @28 :Progress $topic("migration.progress") $delivery(volatile);
    migrationCompleted @29 :Completed $topic("migration.completed");
    migrationAborted @30 :Aborted $topic("migration.aborted");
    migrationCleaned @31 :Cleaned $topic("migration.cleaned");
    storageReplicaLag @32 :ReplicaLag $topic("storage.replica_lag") $delivery(volatile);
    storageReplicaReady @33 :ReplicaReady $topic("storage.replica_ready");
    storageSealed @34 :Sealed $topic("storage.sealed") $delivery(noted);
    storageVerified @35 :Verified $topic("storage.verified") $delivery(noted);
    networkPathReady @36 :PathReady $topic("network.path_ready");
    networkSwitched @37 :Switched $topic("network.switched") $delivery(noted);
    networkBlackoutMeasured @38 :BlackoutMeasured $topic("network.blackout_measured") $delivery(noted);
    resourceAccessed @39 :ResourceAccessed $topic("resource.accessed");
    latencyMeasured @40 :LatencyMeasured $topic("latency.measured") $delivery(volatile);
    policyConsidered @41 :Considered $topic("policy.considered");
    busGap @42 :Gap $topic("bus.gap");
    busSlowSubscriber @43 :SlowSubscriber $topic("bus.slow_subscriber");
    busActorFailed @44 :ActorFailed $topic("bus.actor_failed");
    busRejected @45 :Rejected $topic("bus.rejected");
    leaseSwapRequested @46 :SwapRequested $topic("lease.swap_requested");
    migrationCancelRequested @47 :CancelRequested $topic("migration.cancel_requested");
    vmDestroyed @48 :VmDestroyed $topic("vm.destroyed") $retention(latest);
    migrationHurried @49 :Hurried $topic("migration.hurried");
    policyFailed @50 :PolicyFailed $topic("policy.failed");
    vmDomainChanged @51 :DomainChanged $topic("vm.domain_changed") $retention(latest);
    subscriptionPosition @52 :SubscriptionPosition $topic("subscription.position") $retention(latest);
    busCheckpoint @53 :Checkpoint $topic("bus.checkpoint");
    nodeDraining @54 :Draining $topic("node.draining") $retention(latest);
    nodeDrained @55 :Drained $topic("node.drained") $retention(latest);
    nodeUndrained @56 :Undrained $topic("node.undrained") $retention(latest);
    migrationPlanned @57 :Planned $topic("migration.planned");
    busHolding @58 :Holding $topic("bus.holding") $delivery(volatile);
  }
}

# ---- spot ----------------------------------------------------------------------------------------------------------

struct PriceChanged {
  place @0 :Place;
  priceNanoUsdPerHour @1 :Int64;
  sinceNs @2 :Int64;      # market time at which the price came into force
  currency @3 :Text = "USD";
  source @4 :Text;        # which feed said so
}

struct InterruptionNotice {
  instance @0 :Text;
  place @1 :Text;
  node @2 :Text;           # the node that runs there; empty: none joined yet
  deadlineNs @3 :Int64;    # market time at which the cloud takes the instance
  noticeNs @4 :Int64;      # how much cluster time is left when the notice is published
  priceNanoUsdPerHour @5 :Int64;
  bidNanoUsdPerHour @6 :Int64;
}

struct FeedLost {
  source @0 :Text;
  sinceNs @1 :Int64;   # market time of the last price that arrived
  why @2 :Text;
}

struct FeedRestored {
  source @0 :Text;
  sinceNs @1 :Int64;
}

# ---- instance, ledger ----------------------------------------------------------------------------------------------

enum Billing {
  hourly @0;
  perSecond @1;
}

struct InstanceRequested {
  place @0 :Text;
  bidNanoUsdPerHour @1 :Int64;
  clientToken @2 :Text;    # retried with the same token, a request never rents twice
  why @3 :Text;
  deadlineNs @4 :Int64;    # cluster time that the account has for its answer; then it is asked again, with the same token
  migration @5 :EventId;   # the decision that needs it: a migration.proposed; empty: a user's wish
}

struct InstanceLaunched {
  instance @0 :Text;
  place @1 :Place;
  bidNanoUsdPerHour @2 :Int64;
  priceNanoUsdPerHour @3 :Int64;  # at the start
  billing @4 :Billing;
  clientToken @5 :Text;
  launchedNs @6 :Int64;           # market time; billing hours count from here
  node @7 :Text;                  # name of the node that will join from it
}

struct InstanceRefused {
  place @0 :Text;
  clientToken @1 :Text;
  why @2 :Text;
}

struct InstanceEnded {
  instance @0 :Text;
  place @1 :Text;
  endedNs @2 :Int64;   # market time
  why @3 :Text;
  node @4 :Text;       # that ran there; empty: by who did not say
}

struct Charged {
  instance @0 :Text;
  place @1 :Text;
  amountNanoUsd @2 :Int64;
  fromNs @3 :Int64;
  toNs @4 :Int64;
  priceNanoUsdPerHour @5 :Int64;
  why @6 :Text;
  priceEvent @7 :EventId;  # the spot.price_changed that said so; empty: the provider, at the launch
  # The migration.proposed that it was rented for, or that sent the data; empty: it was there from the start.
  decision @8 :EventId;
  # Not 0: for so many bytes that a move sent out of the place, and the price is one per GiB.
  sentBytes @9 :UInt64;
}

# ---- node ----------------------------------------------------------------------------------------------------------

struct NodeJoined {
  node @0 :Text;
  place @1 :Place;
  instance @2 :Text;
  hypervisor @3 :Text;       # "simulated", "qemu 10.0.2", ...
  cpus @4 :UInt32;
  memoryBytes @5 :UInt64;
  dataEndpoint @6 :Text;     # where page and block streams connect to
  cpuModel @7 :Text;
  mtu @8 :UInt32;
  devices @9 :List(Text);    # what it offers guests, by names that VMs ask for
  archives @10 :List(Text);  # patterns of what it archives of all nodes' logs; empty: nothing
}

struct NodeLeft {
  node @0 :Text;
  why @1 :Text;
}

struct Heartbeat {
  node @0 :Text;
  beat @1 :UInt64;
  tails @2 :List(Tail);

  struct Tail {
    # The newest event of one origin, and of each topic prefix that it has published under, also before its process started.
    origin @0 :Text;
    incarnation @1 :UInt64;
    sequence @2 :UInt64;
    prefixes @3 :List(PrefixTail);
    # Of an origin that a hub relays: from where on the hub has followed it, and up to where others may have come by before it followed them all.
    since @4 :UInt64;
    unfollowed @5 :UInt64;
  }
  struct PrefixTail {
    prefix @0 :Text;      # one to three whole tokens, each followed by "."; of a hub's tails also "", for all
    sequence @1 :UInt64;
    # Of an origin that a hub relays: from where on it has followed it under the prefix (or since the tail's, if that is greater), and from where on it
    # is owed to who subscribed at an earlier process of the hub and was not told of it.
    since @2 :UInt64;
    begun @3 :UInt64;
  }
}

struct Capacity {
  node @0 :Text;
  memoryFreeBytes @1 :UInt64;
  cpus @2 :UInt32;           # of the machine; 0: it takes no guest any more
  vms @3 :UInt32;
  joined @4 :NodeJoined;     # what node.joined said, for those who came later
  draining @5 :Bool;         # ... and that it is to be empty
}

struct Draining {
  # The node is to be empty: it takes no guest, and moves its own off. Said when that begins, when it is found again after a start,
  # and when what stands in the way changes.
  node @0 :Text;
  why @1 :Text;
  deadlineNs @2 :Int64;      # cluster time left; 0: none was given, or it has passed
  guests @3 :UInt32;         # that are there yet
  stays @4 :List(Check);     # which of them cannot leave as things are, by name, why, and the cure
}

struct Drained {
  # No guest executes there, and none comes until it is undrained, but one that it takes over because nobody else did: then it
  # is draining again.
  node @0 :Text;
  stays @1 :List(Check);     # stopped VMs, whose disks are there
}

struct Undrained {
  node @0 :Text;
  why @1 :Text;
}

# ---- vm ------------------------------------------------------------------------------------------------------------

struct VmDefined {
  spec @0 :VmSpec;
  node @1 :Text;
}

struct VmStarted {
  node @0 :Text;
  why @1 :Text;                # "created", "taken over from node-a", "restarted"
  version @2 :UInt64;          # of the disk that it starts from
  # Taken over: so long before it the lost holder's last word reached this disk. What the guest was promised since is lost,
  # flushed writes too unless they waited for an in-sync replica (flushesKept). 0: nothing can be; -1: nobody here knows since when.
  silentNs @3 :Int64;
  flushesKept @4 :Bool;
}

struct VmStopped {
  node @0 :Text;
  why @1 :Text;
}

struct VmFailed {
  node @0 :Text;
  why @1 :Text;
}

struct VmDestroyed {
  node @0 :Text;
}

struct VmPaused {
  node @0 :Text;
  why @1 :Text;
  deadlineNs @2 :Int64;      # cluster time left until the source wants its machine back; 0: no hand-over
}

struct VmResumed {
  node @0 :Text;
  address @1 :Text;
  why @2 :Text;
}

struct VmReleased {
  node @0 :Text;
}

struct DirtyRate {
  pagesPerSecond @0 :UInt64;
  workingSetPages @1 :UInt64;
}

enum DomainState {
  running @0;
  paused @1;
  shutDown @2;   # ended by itself, not yet taken down
  crashed @3;
  dying @4;      # being taken down
  gone @5;
  suspended @6;  # its memory is kept for a move or a file; whoever suspended it goes on
}

struct DomainChanged {
  # How a Xen domain of a node is, as its hypervisor and its XenStore say: also one that no lease here knows. Sets no VM's state.
  node @0 :Text;
  domain @1 :UInt32;         # its number, on that node; not used again while the node's Xen runs
  uuid @2 :Text;
  name @3 :Text;             # in the XenStore; empty: none yet
  state @4 :DomainState;
  memoryBytes @5 :UInt64;
  cpus @6 :UInt32;
}

# ---- migration -----------------------------------------------------------------------------------------------------

struct Proposed {
  vm @0 :Text;
  targetPlace @1 :Text;      # a place or a node: one of the two is given
  targetNode @2 :Text;
  reason @3 :Text;
  gainNanoUsd @4 :Int64;     # expected, over the horizon that the policy states in the reason
  costNanoUsd @5 :Int64;
  evidence @6 :List(EventId);
  deadlineNs @7 :Int64;      # cluster time left when it is published; 0: the executor's default
  proposer @8 :Text;         # "policy cheapest", "user", "evacuation"
  sourceNode @9 :Text;
  leaving @10 :Bool;         # the source is taken, or shut down, at the deadline: goes before what can wait
  blackoutMaxNs @11 :Int64;  # it may stand still for so long at most; 0: as the VM says
}

struct Accepted {
  source @0 :Text;
  target @1 :Text;
  deadlineNs @2 :Int64;      # cluster time left
}

struct Check {
  name @0 :Text;
  detail @1 :Text;
  cure @2 :Text;
}

struct Refused {
  node @0 :Text;
  target @1 :Text;
  failures @2 :List(Check);  # every failed check, not only the first
}

struct TargetReady {
  node @0 :Text;
  endpoint @1 :Text;
  deadlineNs @2 :Int64;
}

struct Started {
  source @0 :Text;
  target @1 :Text;
  memoryBytes @2 :UInt64;
  deadlineNs @3 :Int64;
}

enum Method {
  preCopy @0;
  throttled @1;  # pre-copy of a guest that is slowed down until it converges
  postCopy @2;   # the guest executes at the target while the rest of its memory follows: the source is needed until then
}

struct Planned {
  # How the source means to bring the guest over within its budgets, and what it foresees by what it has measured. Said again when
  # that changes. Durations are milliseconds.
  method @0 :Method;
  why @1 :Text;
  bytesPerSecond @2 :UInt64;       # that the way carries
  dirtyBytesPerSecond @3 :UInt64;  # that the guest writes
  totalMs @4 :UInt64;              # foreseen, from migration.started on
  blackoutMs @5 :Float64;          # foreseen, of final memory alone
  totalMaxMs @6 :UInt64;           # the budgets
  blackoutMaxMs @7 :Float64;
}

struct Progress {
  percent @0 :UInt32;
  etaLowMs @1 :UInt64;
  etaHighMs @2 :UInt64;
  pass @3 :UInt32;
  sentBytes @4 :UInt64;
  remainingBytes @5 :UInt64;
  bytesPerSecond @6 :UInt64;
  dirtyPagesPerSecond @7 :UInt64;
  stage @8 :Text;
}

struct Completed {
  source @0 :Text;
  target @1 :Text;
  sentBytes @2 :UInt64;
  passes @3 :UInt32;
  totalMs @4 :UInt64;        # accepted to completed
  blackoutMs @5 :Float64;    # paused to resumed
}

struct Aborted {
  node @0 :Text;
  stage @1 :Text;
  why @2 :Text;              # the first cause
  sentBytes @3 :UInt64;      # until then; 0 also where who knew that was lost
}

struct Cleaned {
  node @0 :Text;
}

struct Hurried {
  # The source has to be left while the move is under way: from now on it is a drain.
  node @0 :Text;             # the source
  why @1 :Text;
  deadlineNs @2 :Int64;      # cluster time left until the source is gone
  noReturnNs @3 :Int64;      # ... until it does not take its machine back any more
}

struct CancelRequested {
  migration @0 :EventId;
  vm @1 :Text;
  why @2 :Text;
}

# ---- storage, network ----------------------------------------------------------------------------------------------

struct ReplicaLag {
  node @0 :Text;             # where the replica is
  bytes @1 :UInt64;
  lagMs @2 :UInt64;
}

struct ReplicaReady {
  node @0 :Text;
  version @1 :UInt64;
}

struct Sealed {
  node @0 :Text;
  version @1 :UInt64;
  digest @2 :UInt64;
}

struct Verified {
  node @0 :Text;
  version @1 :UInt64;
  digest @2 :UInt64;
}

struct PathReady {
  node @0 :Text;
}

struct Switched {
  node @0 :Text;             # the new owner of the guest's address
  address @1 :Text;
  by @2 :Text;               # whose fabric switched
}

struct BlackoutMeasured {
  node @0 :Text;
  milliseconds @1 :Float64;  # without traffic
}

# ---- resource, latency, policy -------------------------------------------------------------------------------------

struct ResourceAccessed {
  resource @0 :Text;
  home @1 :Text;             # place where it lives
  vm @2 :Text;
  bytes @3 :UInt64;
}

struct LatencyMeasured {
  client @0 :Text;
  place @1 :Text;
  milliseconds @2 :Float64;
}

struct Candidate {
  place @0 :Text;
  costNanoUsd @1 :Int64;     # over the policy's horizon
  gainNanoUsd @2 :Int64;     # against staying
  excluded @3 :Text;         # why it is not a choice; empty: it is one
}

struct Considered {
  policy @0 :Text;
  choice @1 :Text;           # a place, or "stay"
  reason @2 :Text;
  candidates @3 :List(Candidate);
  unchangedLooks @4 :UInt64; # looks since the last of these events that came to the same
  lastLook @5 :UInt64;       # hybrid time of the last such look
  evidence @6 :List(EventId);
  wakeAtNs @7 :Int64;        # market time of the next look that the policy asked for; 0: none
}

struct PolicyFailed {
  # A policy was late, crashed, or answered nonsense: the VM of the subject stays where it is.
  policy @0 :Text;
  why @1 :Text;
  tookNs @2 :Int64;          # cluster time from the question to the answer, or to its deadline
}

# ---- bus -----------------------------------------------------------------------------------------------------------

struct Gap {
  subscriber @0 :Text;
  origin @1 :Text;
  incarnation @2 :UInt64;
  prefix @3 :Text;           # the subscription's topic prefix; empty: everything, or any of its subscriptions
  after @4 :UInt64;          # the last sequence that arrived under the prefix
  upTo @5 :UInt64;           # the newest that is known to have been published under it and did not; all ones: its log is lost
  done @6 :Text;             # why it could not be repaired
}

struct SlowSubscriber {
  subscriber @0 :Text;
  backlog @1 :UInt64;
  done @2 :Text;
}

struct Holding {
  # Whom publishers wait for on this node: all its subscriptions that hold. Repeated every second, while there are any; empty once behind the last.
  holds @0 :List(Hold);
  struct Hold { actor @0 :Text; pattern @1 :Text; }
}

struct ActorFailed {
  actor @0 :Text;
  why @1 :Text;
  restarts @2 :UInt32;
  done @3 :Text;             # "restarted", "gave up"
}

struct Rejected {
  # Bytes from outside that were not taken; rate-limited.
  from @0 :Text;
  why @1 :Text;
  count @2 :UInt64;
}

struct SubscriptionPosition {
  # How far a durable subscription of an actor has come: it goes on behind that after a restart.
  actor @0 :Text;
  subscription @1 :Text;     # its name, within the actor
  cursor @2 :Text;           # actors/reading/cursor.h
}

struct Checkpoint {
  # What a node's log took in one group commit, signed with the node's key: whoever has that key's public half knows by it whose
  # an event is, wherever he has it from.
  streams @0 :List(Stream);
  signature @1 :Text;        # bus/checkpoint.h says of which bytes; Ed25519, base64url

  struct Stream {
    origin @0 :Text;
    incarnation @1 :UInt64;
    sequences @2 :List(UInt64);
    digests @3 :List(Text);  # of the event's bytes, each BLAKE2b-256, base64url
  }
}

# ---- lease ---------------------------------------------------------------------------------------------------------

enum SwapKind {
  define @0;     # no record -> holder, epoch 1
  accept @1;     # same epoch: heir = target
  clearHeir @2;  # same epoch: the mark names no heir any more; then, its end said, there is none
  commit @3;     # target: (source, e, heir = target) -> (target, e+1)
  reclaim @4;    # a holder's own paused copy: (holder, e) -> (holder, e+1)
  restart @5;    # holder boots from disk: (holder, e) -> (holder, e+1)
  takeover @6;   # after the holder's session ended: (other, e) -> (self, e+1)
  inSync @7;     # same epoch: the in-sync set
  desire @8;     # same epoch: the desired state
  remove @9;     # record -> none
}

struct SwapRequested {
  # Logged before the swap is sent (choreography, rule 4); the commit's before the source may pause.
  kind @0 :SwapKind;
  epoch @1 :UInt64;          # the epoch it compares with
  swapId @2 :Text;
  session @3 :Text;
}
