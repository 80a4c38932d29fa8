@0xb2d7e09a4c5f1863;
# Values that events, requests and decisions share. Money is nano-dollars, memory is bytes, market time is nanoseconds
# since 1970, durations are nanoseconds; the field's name says which.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("supercloud::schema");

struct EventId {
  origin @0 :Text;         # "node/actor"; empty: no event
  incarnation @1 :UInt64;  # grows at each start of the origin without an intact log
  sequence @2 :UInt64;     # 1, 2, 3 ... within an incarnation
}

struct Label {
  name @0 :Text;
  value @1 :Text;
}

struct Place {
  # Somewhere a VM could run, and what it would cost. The id is "cloud/region/zone/type/spot" or ".../on-demand".
  id @0 :Text;
  cloud @1 :Text;
  region @2 :Text;
  zone @3 :Text;
  instanceType @4 :Text;
  spot @5 :Bool;
  labels @6 :List(Label);
}

enum DiskLoss {
  # What a VM declares for the loss of a disk (choreography, rule 13).
  wait @0;         # only nodes of the in-sync set take over; may stay down
  sync @1;         # a guest's flush waits for an in-sync replica
  boundedLoss @2;  # takeover with what is there, within the bound; the loss is published
}

struct VmSpec {
  # What a user wants: the desired state, stored beside the VM's lease.
  name @0 :Text;
  tenant @1 :Text = "main";
  memoryBytes @2 :UInt64;
  diskBytes @3 :UInt64;
  cpus @4 :UInt32 = 1;
  address @5 :Text;             # the guest's own address, kept across moves
  policy @6 :Text = "stay";
  requires @7 :List(Label);     # labels a place must carry, with that value
  refuses @8 :List(Label);      # labels a place must not carry with that value
  diskLoss @9 :DiskLoss;
  lossBoundNs @10 :UInt64;      # boundedLoss: greatest age of what a takeover may lose
  replicas @11 :UInt32 = 1;     # how many nodes besides the holder keep the disk
  running @12 :Bool = true;     # false: defined, but stopped by its user
  dirtyPagesPerSecond @13 :UInt32 = 200;  # workload of a simulated guest
  writesPerSecond @14 :UInt32 = 20;       # disk writes of a simulated guest
  paused @15 :Bool;             # held by its user: copy kept, not executing
  nodes @16 :List(Text);        # the only nodes it may run on; empty: any
  reads @19 :Text;              # what a simulated guest reads of: "node/resource", where it lives; empty: nothing
  destroyed @17 :Bool;          # its user wants it gone, with its disks; the record is removed when its copy is
  devices @18 :List(Text);      # names of devices that its node must offer, as "gpu/t4"
  downtimeNanoUsdPerHour @20 :UInt64;  # what its user loses while it does not run
  movesPerDay @21 :UInt32;      # as many moves to save money, at most; moves out of danger are not counted; 0: no limit
  image @22 :Text;              # what a real guest is made of, by the name that its nodes give it; empty: their usual one
  arguments @23 :Text;          # for the image's kernel, after those that the image has
  blackoutMaxNs @24 :UInt64;    # a move may stop it for so long at most; 0: as its nodes are set
  prepared @25 :List(Text);     # nodes that keep a target for it ready, so that a move there begins at once; where it is, none is kept
  postCopy @26 :Bool;           # it may be moved before all of its memory is; the source is needed until that has followed
}
