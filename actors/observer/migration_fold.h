// The events of one migration, folded into one state: what `explain`, progress bars and the simulator's checks look at.
//
// Pure, and made for a bus that promises little: events of different origins come in any order, twice, or not at all. Every
// fact is kept from the earliest event (by hybrid time, then id) that tells it, so the same set of events makes the same state
// in whatever order and however often they are applied.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/time.h"

namespace supercloud {

enum class MigrationStage : std::uint8_t {
  proposed,
  accepted,
  preparing,  // some of target, replica and network path are ready
  copying,
  paused,
  switching_over,  // sealed, or handed over
  resumed,         // at the target: committed
  completed,
  aborted,
  refused,
};
std::string_view to_string(MigrationStage stage);  // "switching over"

struct MigrationState {
  // That something happened: when, by which event, on which node.
  struct Fact {
    HybridTime time;
    EventId event;
    std::string node;
    friend auto operator<=>(const Fact&, const Fact&) = default;
  };
  struct Check {
    std::string name, detail, cure;
    friend auto operator<=>(const Check&, const Check&) = default;
  };
  struct Progress {
    HybridTime time;
    std::uint32_t percent = 0, pass = 0;
    std::uint64_t sent_bytes = 0, remaining_bytes = 0, bytes_per_second = 0;
    std::uint64_t eta_low_ms = 0, eta_high_ms = 0;
    std::string stage;
    friend auto operator<=>(const Progress&, const Progress&) = default;
  };
  // How it ended. The first end wins.
  struct End {
    Fact fact;
    MigrationStage stage = MigrationStage::aborted;  // completed, aborted or refused
    std::string at_stage;                            // aborted: what was under way
    std::string why;                                 // aborted: the first cause
    std::vector<Check> failures;                     // refused: every failed check
    std::uint64_t sent_bytes = 0, total_ms = 0;
    std::uint32_t passes = 0;
    double blackout_ms = 0;
    friend bool operator==(const End&, const End&) = default;
  };

  EventId id;      // of its migration.proposed
  std::string vm;  // "tenant/name"
  // From the proposal; empty as long as it has not been seen.
  std::string wanted_place, wanted_node, reason, proposer, proposed_source;
  std::int64_t gain_nano_usd = 0, cost_nano_usd = 0;
  std::vector<EventId> evidence;
  // From the executors.
  std::string source, target;
  std::uint64_t memory_bytes = 0;

  std::optional<Fact> proposed, accepted, target_ready, replica_ready, path_ready, started, paused,
      sealed, verified, resumed, switched, released, cancel_requested;
  std::string cancel_why;
  std::map<std::string, Fact> cleaned;       // by node
  std::optional<Progress> progress;          // the newest
  std::optional<double> without_traffic_ms;  // as the network measured it
  std::optional<End> end;
  HybridTime last;  // of the newest event about it

  friend bool operator==(const MigrationState&, const MigrationState&) = default;
};

// The migration that an event belongs to; empty: to none.
EventId migration_of(const Event& event);

// What `state` becomes by `event`; a state without an id takes the event's. Events of other migrations, and of none, change nothing.
MigrationState fold(MigrationState state, const Event& event);

MigrationStage stage(const MigrationState& state);
bool ended(const MigrationState& state);
// From where and to where, as far as known: the target may still be a place.
std::string source_of(const MigrationState& state);
std::string target_of(const MigrationState& state);
// From vm.paused to the next first instruction, wherever it was.
std::optional<Duration> blackout(const MigrationState& state);
// 0..100; the last percent is for the switch.
std::uint32_t percent(const MigrationState& state);

}  // namespace supercloud
