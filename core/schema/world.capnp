@0xc58e21f7d09b3a64;
# What a policy sees, and what it answers. The same bytes in this process, over the C ABI of a shared object, and to another
# process; state exists only here, so a policy is a pure function.

using Cxx = import "/capnp/c++.capnp";
using import "types.capnp".EventId;
using import "types.capnp".Place;
using import "types.capnp".VmSpec;
using import "event.capnp".Billing;
using import "event.capnp".Candidate;
$Cxx.namespace("supercloud::schema");

struct World {
  nowNs @0 :Int64;             # market time
  vm @1 :VmSpec;
  currentPlace @2 :Text;       # id of the place where the VM runs; empty: not known
  currentInstance @3 :Text;
  candidates @4 :List(PlaceView);   # sorted by place id; the current place among them
  recentMoves @5 :List(Move);       # newest first, of this VM
  costs @6 :MeasuredCosts;
  links @7 :List(LinkView);
  noticeDeadlineNs @8 :Int64;  # market time at which the VM's instance goes; 0: no notice
  feedLost @9 :Bool;           # prices are stale
  market @10 :MarketModel;
  noticeEvent @11 :EventId;    # the evidence
  fleet @12 :Fleet;

  struct PlaceView {
    place @0 :Place;
    priceNanoUsdPerHour @1 :Int64;
    priceSinceNs @2 :Int64;
    priceKnown @3 :Bool;
    instances @4 :List(InstanceView);
    priceEvent @5 :EventId;    # the evidence
    allowed @6 :Bool;          # by the VM's labels, node list and the place's capacity
    whyNot @7 :Text;
    onDemandNanoUsdPerHour @8 :Int64;  # of its type and region; 0: not known
    # Prices in force at the last whole hours of market time since 1970, newest first; at most 336.
    hourlyNanoUsd @9 :List(Int64);
    vms @10 :UInt32;           # of this cluster that are there, as far as known, this one too
    arriving @11 :UInt32;      # other VMs on their way there
    bidNanoUsdPerHour @12 :Int64;      # of a spot place: what would be bid for an instance there; 0: not known
  }
  struct InstanceView {
    instance @0 :Text;
    node @1 :Text;
    launchedNs @2 :Int64;
    paidUntilNs @3 :Int64;
    priceNanoUsdPerHour @4 :Int64;    # that this billing hour was started at
    bidNanoUsdPerHour @5 :Int64;
    billing @6 :Billing;
    roomForVm @7 :Bool;
    noticeDeadlineNs @8 :Int64;
  }
  struct Move {
    atNs @0 :Int64;
    from @1 :Text;
    to @2 :Text;
    reason @3 :Text;
    completed @4 :Bool;
    leaving @5 :Bool;          # out of danger: the cloud takes the machine, or a node is drained
  }
  struct MeasuredCosts {
    migrationNs @0 :Int64;     # market time that a move takes, launch not counted
    blackoutNs @1 :Int64;
    launchNs @2 :Int64;
    transferBytes @3 :UInt64;  # per move
    egressNanoUsdPerGib @4 :Int64;
    downtimeNanoUsdPerHour @5 :Int64;  # what the VM's user loses while it does not run
  }
  struct LinkView {
    from @0 :Text;
    to @1 :Text;
    bytesPerSecond @2 :UInt64;
    rttNs @3 :Int64;
  }
  struct MarketModel {
    hourNs @0 :Int64 = 3600000000000;  # length of a billing hour
    noticeNs @1 :Int64;
    leadNs @2 :Int64;          # how long before the end of a billing hour a move has to begin
  }
  struct Fleet {
    # All VMs of the cluster, as far as known: moves share the links, and one place's revocations hit all that are there.
    vms @0 :UInt32;
    moving @1 :UInt32;         # other VMs under way, or proposed to be
    movingMax @2 :UInt32;      # at once, to save money; 0: no limit
    movesOfDay @3 :UInt32;     # of all VMs in the last 24 hours of market time, those that are proposed too
    movesPerDay @4 :UInt32;    # 0: no limit
  }
}

struct Decision {
  choice @0 :Text;             # a place id; empty: stay
  candidates @1 :List(Candidate);
  reason @2 :Text;             # one sentence for a person
  wakeAtNs @3 :Int64;          # market time at which to decide again even if nothing happens; 0: when something changes
  gainNanoUsd @4 :Int64;
  costNanoUsd @5 :Int64;
  evidence @6 :List(EventId);
  # Market time before which prices of other places cannot change this decision: until then it is asked again only for the price
  # where the VM is, notices, nodes, moves, and at wakeAt. 0: every price matters.
  pricesMatterAtNs @7 :Int64;
  # ... and the price where the VM is changes it only if it is above this one. 0: whatever it is.
  priceHereMattersAboveNanoUsd @8 :Int64;
}
