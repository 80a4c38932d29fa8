// What a run of `supercloud bench migration` found. docs/program.md has every field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/measure/paired.h"

namespace supercloud {

// One figure of one kind of guest, pair by pair, in seconds: as the cluster moved it, and as QEMU alone did.
struct MigrationRow {
  std::string guest;         // "idle", "dirtying", "own"
  std::string name;          // "blackout", "total", "gap"
  bool ratio = false;        // what is asked is a ratio; else a difference, in seconds
  double bar = 0, goal = 0;  // at most
  std::vector<double> ours, bare;
};

// From a price's event, which a policy answers, until memory begins to move: a figure for each move.
struct PriceRow {
  bool prepared = false;  // a target was ready
  std::vector<double> seconds;
};
inline constexpr double price_bar = 0.100, price_goal = 0.020;  // with a target that is ready

// When it was said on the way: by nodes ("accepted"), or by one of the two QEMUs ("source STOP").
struct MigrationStep {
  std::string guest;
  std::string way;  // "supercloud", "bare"
  std::string name;
  double seconds = 0;  // from the request, median
};

// Of a node's daemon with guests that do nothing.
struct IdleCost {
  int guests = 0;
  double seconds = 0;  // in which it was measured
  double resident_bytes = 0, proportional_bytes = 0;
  double cpu = 0;  // of one core; 1: all of it
};
inline constexpr double idle_resident_goal = 40e6;
inline constexpr double idle_cpu_goal = 0.01;

struct MigrationResult {
  std::string started;             // RFC 3339
  std::string qemu, accelerator;   // "10.0.2", "tcg" or "kvm"
  std::uint64_t memory_bytes = 0;  // of the guest
  int pairs = 0;                   // that were asked for
  bool prepared = true;            // the targets of all pairs were ready
  double load = 0;                 // of the machine over the last minute, at the end
  bool complete = false;           // not interrupted
  std::vector<MigrationRow> rows;
  std::vector<MigrationStep> steps;
  std::vector<PriceRow> prices;
  std::optional<IdleCost> idle;
};

std::string migration_json(const MigrationResult& result);
std::string migration_text(const MigrationResult& result);

}  // namespace supercloud
