// Why a VM is where it is, what became of a migration, or what an instance is for and cost: one plain sentence, and the tree of causes behind it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/explain/history.h"

namespace supercloud {

struct StoryLine {
  int depth = 0;
  HybridTime time;  // 0: none of its own (a candidate, a failed check)
  EventId event;    // empty: none
  std::string text;
  int weight = 0;  // lines of small weight are folded away first
};

struct Story {
  // "web1 runs on node-c at us-east-1c/spot since 14:03:07 because ..."
  std::string sentence;
  std::string vm;                             // "tenant/name"; empty: it is about an instance
  const MigrationState* migration = nullptr;  // that the tree is about; null: none
  const VmHistory* history = nullptr;
  std::vector<StoryLine> lines;
  std::vector<const MigrationState*> others;  // of the same VM, newest first
  bool dated = false;                         // times with their dates
};

// Both point into `history`, which outlives what is returned.
Story explain_migration(const History& history, const MigrationState& migration);
Story explain_vm(const History& history, const VmHistory& vm);
// Why it was rented, and what it cost hour by hour, at which price. Nothing: no log has its launch.
std::optional<Story> explain_instance(const History& history, const std::string& instance);

inline constexpr std::size_t folded_lines = 20;

// The sentence, and below it at most `folded_lines` lines; `full`: all of them, with the ids of their events.
std::string render(const Story& story, bool full);
std::string to_json(const Story& story);

// "3f2a91bc  completed  14:03:07  node-a to node-c": for lists of migrations.
std::string migration_line(const MigrationState& migration, bool dated);

}  // namespace supercloud
