#include "actors/node_actors.h"

#include <utility>

#include "actors/node/log_reader.h"

namespace supercloud {
namespace {

// Those that have to do with guests.
void spawn_guest_actors(Node& node, const NodeActorsSeams& seams,
                        const NodeDescription& description, const NodeActorsOptions& options) {
  const GuestSeams guests = *seams.guests;
  node.spawn("replicator", [seams, guests, replicator = options.replicator](Context& context) {
    return std::make_unique<Replicator>(context, ReplicatorSeams{seams.leases, guests.volumes},
                                        replicator);
  });
  node.spawn("network", [seams, guests, network = options.network](Context& context) {
    return std::make_unique<NetworkManager>(context, guests.fabric, seams.leases, network);
  });
  node.spawn("executor", [seams, guests, executor = options.executor](Context& context) {
    return std::make_unique<Executor>(context,
                                      ExecutorSeams{seams.leases, guests.hypervisor, guests.volumes,
                                                    guests.fabric, seams.session},
                                      executor);
  });
  node.spawn("orphans", [seams, orphans = options.orphans](Context& context) {
    return std::make_unique<OrphanWatch>(context, seams.leases, seams.session, orphans);
  });
  node.spawn("policy",
             [seams, policy = options.policy, policies = options.policies](Context& context) {
               return std::make_unique<PolicyActor>(context, seams.leases, policies, policy);
             });
  node.spawn("dirty_rate", [guests, options = options.dirty_rate](Context& context) {
    return std::make_unique<DirtyRateWatcher>(context, guests.hypervisor, options);
  });
  node.spawn(latency_actor, [options = options.latency](Context& context) {
    return std::make_unique<LatencyWatcher>(context, options);
  });
  const std::set<std::string> resources = resources_of(description.labels);
  if (!resources.empty())
    node.spawn(resource_actor, [home = description.place.id(), resources](Context& context) {
      return std::make_unique<ResourceStub>(context, home, resources);
    });
}

void spawn_market_actors(Node& node, const NodeActorsSeams& seams,
                         const NodeActorsOptions::Market& market) {
  node.spawn(watcher_actor, [seams, market](Context& context) {
    return std::make_unique<Watcher>(context, seams.leases, seams.session, market.feed,
                                     market.watcher);
  });
  if (seams.provider != nullptr)
    node.spawn(provider_actor, [seams, market](Context& context) {
      return std::make_unique<ProviderActor>(context, seams.leases, seams.session, *seams.provider,
                                             market.provider);
    });
  node.spawn("ledger", [seams, market](Context& context) {
    return std::make_unique<Ledger>(context, seams.leases, seams.session, market.ledger);
  });
}

}  // namespace

// Captured by value throughout: a factory runs again, whenever its actor has failed.
void spawn_node_actors(Node& node, const NodeActorsSeams& seams, const NodeDescription& description,
                       const NodeActorsOptions& options) {
  node.spawn("session", [seams, session = options.session](Context& context) {
    return std::make_unique<SessionActor>(context, seams.leases, seams.session, seams.guests,
                                          session);
  });
  node.spawn("log",
             [seams](Context& context) { return std::make_unique<LogReader>(context, seams.log); });
  if (seams.archive != nullptr)
    node.spawn(archive_actor, [seams, archive = options.archive](Context& context) {
      return std::make_unique<Archive>(context, *seams.archive, archive);
    });
  if (seams.archived != nullptr) {
    CustodianOptions custodian = options.custodian;
    custodian.instance = description.instance;
    node.spawn(custodian_actor, [seams, custodian](Context& context) {
      return std::make_unique<Custodian>(context, *seams.archived, custodian);
    });
  }
  if (seams.guests) spawn_guest_actors(node, seams, description, options);
  if (options.market) spawn_market_actors(node, seams, *options.market);
  if (options.observer)
    node.spawn("observer", [observer = *options.observer](Context& context) {
      return std::make_unique<Observer>(context, observer);
    });
  // Last: what is announced is then ready to be asked for. One of the two says what room the node has.
  NodeDescription described = description;
  if (seams.archive != nullptr) described.archives = options.archive.patterns;
  if (seams.guests || !seams.domains)
    node.spawn("agent", [seams, described, beat = options.beat](Context& context) {
      return std::make_unique<NodeAgent>(
          context, seams.guests ? &seams.guests->hypervisor : nullptr, described, beat);
    });
  if (seams.domains) {
    DomainInventoryOptions inventory = options.inventory;
    inventory.capacity = !seams.guests;
    inventory.archives = described.archives;
    node.spawn(inventory_actor, [domains = *seams.domains, inventory](Context& context) {
      return std::make_unique<DomainInventory>(context, domains, inventory);
    });
  }
}

}  // namespace supercloud
