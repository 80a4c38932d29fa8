@0xe90d3b7c6f18a245;
# Request and answer, point to point over the bus. A request addressed to an actor that does not know it is answered with
# status "unimplemented".

using Cxx = import "/capnp/c++.capnp";
using import "types.capnp".EventId;
using import "types.capnp".Place;
using import "types.capnp".VmSpec;
using import "event.capnp".SwapKind;
using import "event.capnp".Check;
using import "event.capnp".Proposed;
$Cxx.namespace("supercloud::schema");

struct Request {
  union {
    ping @0 :Void;
    # lease table (storage/lease_site.h answers)
    openSession @1 :OpenSession;
    renewSession @2 :Text;
    endSession @3 :Text;
    swap @4 :Swap;
    readLease @5 :Text;
    listLeases @6 :ListLeases;
    # a person or a service, to the migration actor of any node; the node that holds the VM answers, others say who it is
    createVm @7 :VmSpec;
    destroyVm @8 :VmRef;
    startVm @9 :VmRef;
    stopVm @10 :VmRef;
    pauseVm @11 :VmRef;
    resumeVm @12 :VmRef;
    migrateVm @13 :MigrateVm;
    cancelMigration @14 :CancelMigration;
    listVms @15 :Void;
    showVm @16 :VmRef;
    # between the migration actors of source and target
    prepareIncoming @17 :PrepareIncoming;
    # policy: what would be decided now
    explainPolicy @18 :VmRef;
    # provider: rent (idempotent by client token) and return
    rent @19 :Rent;
    returnInstance @20 :Text;
    # node
    drainNode @21 :DrainNode;
    # the log of another node
    readLog @22 :ReadLog;
    # replicator: what is where
    volumeState @23 :VmRef;
    # from the source's migration actor: the guest is paused and sealed; answered when the target has committed
    switchOver @24 :SwitchOver;
    # resource stub of the place where it lives: a VM reached for it
    accessResource @25 :AccessResource;
    # observer: migrations whose id begins so, as JSON; empty: all that are under way
    migrationState @26 :Text;
    # price watcher that holds the feed's role: the newest price of every place, and those at the last whole hours
    priceHistory @27 :Void;
    # provider that holds its account's role: the events that tell of each instance that runs and of each notice, as one log page
    runningInstances @28 :Void;
    # archive: answered with done when it has these events, all of one node, on its disk; FailedPrecondition: it does not keep them
    awaitArchived @29 :List(EventId);
    # ends a drain: the node takes guests again
    undrainNode @30 :DrainNode;
    # node: answered with those that an actor of it, whose subscription holds them, has taken; as soon as there is one, or in vain after a moment
    awaitTaken @31 :AwaitTaken;
  }

  struct OpenSession { node @0 :Text; identity @1 :Text; }
  struct ListLeases { prefix @0 :Text; node @1 :Text; after @2 :Text; }  # after: only keys that follow it
  struct VmRef { name @0 :Text; tenant @1 :Text = "main"; }
  struct MigrateVm { vm @0 :VmRef; target @1 :Text; reason @2 :Text; dryRun @3 :Bool; deadlineNs @4 :Int64; blackoutMaxNs @5 :Int64; }
  struct CancelMigration { vm @0 :VmRef; why @1 :Text; }
  struct PrepareIncoming {
    vm @0 :VmSpec;
    migration @1 :EventId;   # empty: none comes yet; a target is kept ready for holdNs
    source @2 :Text;
    epoch @3 :UInt64;
    deadlineNs @4 :Int64;    # cluster time left
    checkOnly @5 :Bool;      # preflight at the target: room, labels, versions
    # With checkOnly, where all is well: for so long (cluster time) the room is this VM's, and no other check finds it.
    holdNs @6 :Int64;
  }
  struct SwitchOver {
    vm @0 :VmRef;
    migration @1 :EventId;
    epoch @2 :UInt64;        # of the seal
    version @3 :UInt64;
    digest @4 :UInt64;
    fromDisk @5 :Bool;       # memory will not come: start from the sealed disk
    acceptedTime @6 :UInt64; # hybrid times, for the figures in migration.completed
    pausedTime @7 :UInt64;
    sentBytes @8 :UInt64;
    passes @9 :UInt32;
  }
  struct Rent { place @0 :Text; bidNanoUsdPerHour @1 :Int64; clientToken @2 :Text; why @3 :Text; migration @4 :EventId; }
  struct DrainNode { node @0 :Text; deadlineNs @1 :Int64; why @2 :Text; }  # deadline: cluster time left; 0: none
  struct AwaitTaken { actor @0 :Text; events @1 :List(EventId); }
  struct AccessResource { resource @0 :Text; vm @1 :VmRef; bytes @2 :UInt64; }
  struct ReadLog {
    from @0 :UInt64;
    pattern @1 :Text;
    limit @2 :UInt32;
    # With from = 0, what the asker can do without: of the origins of these events all up to them, of others what is older than
    # `since` (hybrid time). The answer may begin behind what the log has of that alone; one that does not know of it begins with the log.
    behind @3 :List(EventId);
    since @4 :UInt64;
  }
}

struct Swap {
  key @0 :Text;
  kind @1 :SwapKind;
  session @2 :Text;
  swapId @3 :Text;
  epoch @4 :UInt64;
  revision @5 :UInt64;
  heirNode @6 :Text;
  heirMigration @7 :EventId;
  inSync @8 :List(Text);
  lossAllowed @9 :Bool;
  value @10 :Data;
  claim @11 :Text;
}

struct Lease {
  key @0 :Text;
  holder @1 :Text;
  session @2 :Text;
  swapId @3 :Text;
  swapKind @4 :SwapKind;
  epoch @5 :UInt64;
  heirNode @6 :Text;
  heirMigration @7 :EventId;
  inSync @8 :List(Text);
  lossAllowed @9 :Bool;
  value @10 :Data;
  revision @11 :UInt64;
  sessionAlive @12 :Bool;
  heirAlive @13 :Bool;
  claim @14 :Text;
}

struct Response {
  code @0 :UInt16;     # absl::StatusCode; 0: OK
  message @1 :Text;    # for a person, with the cure; set when code is not 0
  union {
    done @2 :Void;
    session @3 :Session;
    swapResult @4 :SwapResult;
    lease @5 :Lease;
    leases @6 :List(Lease);
    vms @7 :List(VmView);
    accepted @8 :Accepted;       # a migration was proposed; what became of it is told by events
    checks @9 :List(Check);      # failed preflight checks; empty: none
    endpoint @10 :Text;
    instance @11 :Text;
    json @12 :Text;
    log @13 :LogPage;
    redirect @14 :Text;          # ask this node
    prices @17 :List(KnownPrices);
    taken @18 :List(EventId);
  }
  more @15 :Bool;      # leases: a message holds no more of them; ask again, after the last key
  wouldRent @16 :Bool; # checks of a dry run: no node with room is at that place, an instance would be rented there first

  struct Session { id @0 :Text; ttlNs @1 :Int64; wentOn @2 :Bool; }
  struct SwapResult { won @0 :Bool; why @1 :Text; lease @2 :Lease; hasLease @3 :Bool; claimedBy @4 :Text; }
  struct VmView {
    spec @0 :VmSpec;
    node @1 :Text;
    place @2 :Text;
    epoch @3 :UInt64;
    state @4 :Text;            # running, paused, migrating, stopping, stopped, starting, fenced, failed, lost
    migration @5 :EventId;
    heir @6 :Text;
    inSync @7 :List(Text);
  }
  struct KnownPrices {
    place @0 :Place;
    priceNanoUsdPerHour @1 :Int64;
    sinceNs @2 :Int64;         # market time
    event @3 :EventId;         # that said so
    hour @4 :Int64;            # of the newest mark below: whole hours of market time since 1970
    hourlyNanoUsd @5 :List(Int64);  # in force at that mark and those before it, newest first
  }
  struct Accepted { migration @0 :EventId; vm @1 :Text; node @2 :Text; }
  struct LogPage {
    events @0 :List(Data);
    next @1 :UInt64;
    end @2 :Bool;
    begins @3 :UInt64;  # below this position only the newest of some topics are kept; 0: all is
  }
}
