// The VMs of the cluster, as far as policies know them: where each runs, how it moved, and what moves cost. A part of WorldState, as
// pure as it is.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "actors/recent.h"
#include "core/event.h"
#include "core/schema/world.capnp.h"
#include "core/time.h"

namespace supercloud {

struct WorldOptions;

// So many moves of a VM are remembered, those aside that came to nothing.
inline constexpr std::size_t moves_max = 20;

class Fleet {
 public:
  // The place of a node; empty: not known.
  using PlaceOf = absl::FunctionRef<std::string(const std::string& node)>;

  // Takes note of an event of the domains vm and migration. True if a policy might now decide otherwise.
  bool apply(const Event& event, PlaceOf place_of);

  // The VM's place, by name, among itself and those that are on such a node; empty: on none.
  struct Turn {
    std::size_t before = 0, of = 1;
  };
  Turn turn_of(schema::VmSpec::Reader spec,
               absl::FunctionRef<bool(const std::string& node)> among) const;

  // Fills in what the World of a VM at its current place says of moves, fleet and costs, and of each candidate. `place_of`: empty also for
  // a node that is no more.
  void fill(schema::VmSpec::Reader spec, absl::Time now, const WorldOptions& options,
            PlaceOf place_of, schema::World::Builder world) const;

 private:
  struct Move {
    EventId migration;
    absl::Time
        at;  // of the proposal; of the first that was heard of it, as long as that is not known
    std::string from, to, reason;
    bool proposal_known =
        false;  // logs are not read in the order of time: its end may be known sooner
    bool completed = false;
    bool begun = false;
    bool ended = false;
    bool leaving = false;
  };
  struct Vm {
    std::deque<Move> moves;  // newest first
    Epoch epoch = 0;         // of `node`
    std::string node;        // where it was last seen running; empty: nowhere
    HybridTime seen;         // there, or stopped
  };

  static const Move* open_move(const Vm& vm, absl::Time now, const WorldOptions& options);
  void proposed(const Event& event, PlaceOf place_of);
  bool moved(const Event& event);
  void seen(const Event& event);
  void destroyed(const Event& event);
  // What is known of that migration so far, or nothing; it is not among the VM's moves then.
  static Move take(Vm& vm, const EventId& migration);
  static void keep(Vm& vm, Move move);
  // For the budgets.
  void count(const Move& move);
  // What moves cost.
  void measure(const Event& event);
  void fill_moves(const std::string& vm, const WorldOptions& options,
                  schema::World::Builder world) const;
  void fill_candidates(const std::string& vm, absl::Time now, const WorldOptions& options,
                       PlaceOf place_of, schema::World::Builder world) const;
  void fill_costs(schema::VmSpec::Reader spec, const WorldOptions& options,
                  schema::World::Builder world) const;

  std::map<std::string, Vm> vms_;  // by "tenant/name"
  // When each was destroyed last: what is told of it from before concerns none of today.
  RecentMap<std::string, HybridTime> destroyed_{moves_max * 500};
  // Moves to save money that have begun, by cluster time.
  std::map<std::pair<absl::Time, EventId>, bool> begun_;
  // The last completed move, in cluster time, and when it ended.
  HybridTime measured_;
  Duration total_ = absl::ZeroDuration();
  Duration blackout_ = absl::ZeroDuration();
  std::uint64_t sent_bytes_ = 0;
};

}  // namespace supercloud
