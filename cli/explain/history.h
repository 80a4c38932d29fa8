// All events of a cluster, indexed for questions: by id, by migration, by subject, and folded.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/observer/cluster_fold.h"
#include "core/event.h"

namespace supercloud {

class History {
 public:
  // In the order of (time, id), each once. `ended`: of a cluster that runs no more, of which nothing is true now.
  explicit History(std::vector<Event> events, bool ended = false);

  bool ended() const { return ended_; }
  // Whether times need their dates.
  bool dated() const { return dated_; }

  const std::vector<Event>& events() const { return events_; }
  const ClusterFold& fold() const { return fold_; }
  // Null: no log has it.
  const Event* find(const EventId& id) const;
  // In the order of time; and what the ledger charged for what it sent.
  std::vector<const Event*> of_migration(const EventId& migration) const;
  // The newest policy.considered about the VM that was published no later than `when` and, if `choice` is given, came to it.
  const Event* considered(const std::string& vm, HybridTime when, std::string_view choice) const;
  // The cloud's end of the instance that was `node`, no later than `when`. Null: it did not end it, as far as the logs tell.
  const Event* revoked(const std::string& node, HybridTime when) const;
  // As which VM that one was started anew after `when`, as a replay does it ("vm1", then "vm1-again1"); null: it was not.
  const VmHistory* started_anew(const std::string& vm, HybridTime when) const;
  // policy.failed about the VM after `since`, in the order of time.
  std::vector<const Event*> policy_failures(const std::string& vm, HybridTime since) const;

  // Migrations that a person may mean by `id`: by the id of the proposal (short, a prefix of that, or full); else by the short id
  // of any event that belongs to one.
  std::vector<const MigrationState*> migrations_like(std::string_view id) const;
  // VMs by "tenant/name", or by name in all tenants.
  std::vector<const VmHistory*> vms_named(std::string_view name) const;

 private:
  std::vector<Event> events_;
  const bool ended_, dated_;
  std::map<EventId, std::size_t> by_id_;
  std::map<EventId, std::vector<std::size_t>> by_migration_;
  std::map<std::string, std::vector<std::size_t>> considered_, policy_failed_;  // by VM
  ClusterFold fold_;
};

}  // namespace supercloud
