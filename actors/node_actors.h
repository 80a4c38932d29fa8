// All actors of a node, in the order in which they start: the one list for nodes with a machine and without, live, in replay and in
// simulation. Only the lease site (storage/lease_site.h) is its composition root's, beside the table that it serves.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "actors/archive/archive.h"
#include "actors/archive/archived_events.h"
#include "actors/inventory/domain_inventory.h"
#include "actors/latency/latency_watcher.h"
#include "actors/ledger/ledger.h"
#include "actors/migration/executor.h"
#include "actors/migration/orphan_watch.h"
#include "actors/network/manager.h"
#include "actors/node/dirty_rate_watcher.h"
#include "actors/node/node_agent.h"
#include "actors/observer/observer.h"
#include "actors/policy/policy_actor.h"
#include "actors/provider/provider_actor.h"
#include "actors/replication/replicator.h"
#include "actors/resource/resource_stub.h"
#include "actors/session/node_session.h"
#include "actors/spot/watcher.h"
#include "core/event_log.h"
#include "core/node.h"

namespace supercloud {

struct NodeActorsOptions {
  FencePolicy fence;
  SessionActor::Options session;
  ExecutorOptions executor;
  ReplicatorOptions replicator;
  NetworkManagerOptions network;
  PolicyActorOptions policy;
  DirtyRateOptions dirty_rate;
  LatencyOptions latency;
  DomainInventoryOptions inventory;  // its `capacity` is filled in
  OrphanWatchOptions orphans;
  ArchiveOptions archive;
  CustodianOptions custodian;        // its `instance` is filled in
  Duration beat = absl::Seconds(2);  // of the agent: a node says so often that it is there
  PolicyRegistry policies;
  // The market's roles: a node without them takes none.
  struct Market {
    FeedFactory feed;
    WatcherOptions watcher;
    ProviderActorOptions provider;
    LedgerOptions ledger;
  };
  std::optional<Market> market;
  // read-only; what is asked for a fold, at one node at least
  std::optional<ObserverOptions> observer;
};

// Everything here outlives the node.
struct NodeActorsSeams {
  LeaseTable& leases;
  EventLog& log;
  NodeSession& session;
  // empty: a node without a machine, which serves others: the site, the market's roles
  std::optional<GuestSeams> guests;
  Provider* provider = nullptr;  // null: no market, or none that is driven from here
  std::optional<DomainSeams> domains = std::nullopt;  // empty: the node is no Xen host
  EventLog* archive = nullptr;                        // beside the node's own; null: it keeps none
  ArchivedEvents* archived =
      nullptr;  // the node's custody (NodeSeams); null: nobody waits for more than the log
};

// `description`: of the machine. One at a place with resources (actors/resource/resource_stub.h) answers for them.
void spawn_node_actors(Node& node, const NodeActorsSeams& seams, const NodeDescription& description,
                       const NodeActorsOptions& options);

}  // namespace supercloud
