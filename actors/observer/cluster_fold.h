// All that an observer knows: every migration, where each VM is and why, what nodes and prices were known when.
//
// Pure and insensitive to order and repetition, as the fold of one migration is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "actors/observer/migration_fold.h"
#include "core/event.h"

namespace supercloud {

struct ConsideredCandidate {
  std::string place, excluded;
  std::int64_t cost_nano_usd = 0, gain_nano_usd = 0;
};

// A policy.considered, as values.
struct ConsideredFact {
  HybridTime time;
  EventId event;
  std::string policy, choice, reason;
  std::vector<ConsideredCandidate> candidates;
  std::vector<EventId> evidence;
  std::uint64_t unchanged_looks = 0;  // since the one before
  HybridTime last_look;
  std::int64_t wake_at_ns = 0;  // market time
};
ConsideredFact considered_fact(const Event& event);

struct VmHistory {
  struct Running {
    Epoch epoch = 0;
    HybridTime since;
    EventId event, migration;  // migration: by which it came; empty: started otherwise
    std::string node, why;
  };
  struct Halt {
    HybridTime time;
    EventId event;
    std::string node, what, why;  // what: "stopped", "failed", "destroyed", "paused"
  };
  std::string vm;  // "tenant/name"
  // every migration, by the time of its first known event
  std::set<std::pair<HybridTime, EventId>> moves;
  std::optional<Running> running;            // at the highest epoch
  std::optional<Halt> halt;                  // the newest
  std::optional<ConsideredFact> considered;  // the newest
};

// Where it executes as far as the events tell; null: it does not.
const VmHistory::Running* running_now(const VmHistory& vm);

struct NodeFact {
  std::string place, instance;
  HybridTime joined;
};

struct PriceFact {
  HybridTime time;
  EventId event;
  std::int64_t nano_usd_per_hour = 0;
  std::int64_t since_ns = 0;  // market time
};

class ClusterFold {
 public:
  void apply(const Event& event);

  const std::map<EventId, MigrationState>& migrations() const { return migrations_; }
  const std::map<std::string, VmHistory>& vms() const { return vms_; }  // by "tenant/name"
  const std::map<std::string, NodeFact>& nodes() const { return nodes_; }

  const MigrationState* migration(const EventId& id) const;
  // Migrations whose short id begins so, or whose id is written so in full.
  std::vector<const MigrationState*> migrations_like(std::string_view id) const;
  // The id of the place where a node is; empty: not known.
  std::string place_of(const std::string& node) const;
  // The newest price that had been told of by then; null: none.
  const PriceFact* price_at(const std::string& place, HybridTime when) const;

  // Forgets the migrations that were quiet longest, and old prices: for those who fold for ever.
  void keep(std::size_t migrations_max, std::size_t prices_per_place_max);

 private:
  VmHistory& vm_of(const Event& event);
  void apply_migration(const Event& event, const EventId& id);
  void apply_vm(const Event& event);
  void halted(const Event& event, std::string what, std::string node, std::string why);
  void joined(const Event& event, schema::NodeJoined::Reader node);

  std::map<EventId, MigrationState> migrations_;
  std::map<EventId, HybridTime> first_;  // of each migration
  std::map<std::string, VmHistory> vms_;
  std::map<std::string, NodeFact> nodes_;
  std::map<std::string, std::map<std::pair<HybridTime, EventId>, PriceFact>> prices_;
};

}  // namespace supercloud
