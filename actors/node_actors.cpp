#include "actors/node_actors.h"

#include <utility>

#include "actors/node/log_reader.h"

namespace supercloud {

void spawn_node_actors(Node& node, const NodeActorsSeams& seams, const NodeDescription& description,
                       const NodeActorsOptions& options) {
  // Captured by value: a factory runs again, whenever its actor has failed.
  node.spawn("session", [seams, session = options.session](Context& context) {
    return std::make_unique<SessionActor>(
        context, SessionActor::Seams{seams.leases, seams.hypervisor, seams.volumes, seams.fabric},
        seams.session, session);
  });
  node.spawn("log",
             [seams](Context& context) { return std::make_unique<LogReader>(context, seams.log); });
  node.spawn("replicator", [seams, replicator = options.replicator](Context& context) {
    return std::make_unique<Replicator>(context, ReplicatorSeams{seams.leases, seams.volumes},
                                        replicator);
  });
  node.spawn("network", [seams, network = options.network](Context& context) {
    return std::make_unique<NetworkManager>(context, seams.fabric, seams.leases, network);
  });
  node.spawn("executor", [seams, executor = options.executor](Context& context) {
    return std::make_unique<Executor>(
        context,
        ExecutorSeams{seams.leases, seams.hypervisor, seams.volumes, seams.fabric, seams.session},
        executor);
  });
  node.spawn("orphans", [seams](Context& context) {
    return std::make_unique<OrphanWatch>(context, seams.leases, seams.session);
  });
  node.spawn("policy",
             [seams, policy = options.policy, policies = options.policies](Context& context) {
               return std::make_unique<PolicyActor>(context, seams.leases, policies, policy);
             });
  if (options.market) {
    const NodeActorsOptions::Market market = *options.market;
    node.spawn("watcher", [seams, market](Context& context) {
      return std::make_unique<Watcher>(context, seams.leases, seams.session, market.feed,
                                       market.watcher);
    });
    if (seams.provider != nullptr)
      node.spawn("provider", [seams, market](Context& context) {
        return std::make_unique<ProviderActor>(context, seams.leases, seams.session,
                                               *seams.provider, market.provider);
      });
    node.spawn("ledger", [seams, market](Context& context) {
      return std::make_unique<Ledger>(context, seams.leases, seams.session, market.ledger);
    });
  }
  if (options.observer)
    node.spawn("observer", [observer = *options.observer](Context& context) {
      return std::make_unique<Observer>(context, observer);
    });
  // Last: what it announces is then ready to be asked for.
  node.spawn("agent", [seams, description](Context& context) {
    return std::make_unique<NodeAgent>(context, seams.hypervisor, description);
  });
}

}  // namespace supercloud
