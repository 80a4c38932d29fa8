// Moves one guest by a cluster and its twin by QEMU alone, in turn, and looks at both with the same eyes (guest_watch.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/bench/migration/migration_result.h"
#include "hypercall/qemu/machine.h"

namespace supercloud {

// A kind of guest, by the arguments of its kernel.
struct MigrationLoad {
  std::string name, what, arguments;
  bool beats = false;  // it is the tiny guest, and can be heard
};

struct MigrationBenchOptions {
  std::string qemu, keeper;  // paths; keeper empty: as a node finds it
  QemuAccelerator accelerator = QemuAccelerator::tcg;
  std::string kernel, initrd;
  std::uint64_t memory_bytes = 128 << 20;
  std::vector<MigrationLoad> loads;
  int pairs = 15;
  bool prepared = true;  // both ways have their target started before their clocks run
  int price_moves = 15;  // with a target that is ready, and as many without
  absl::Duration time_max = absl::InfiniteDuration();  // of all pairs: fewer, if they take longer
  absl::Duration idle = absl::ZeroDuration();  // how long the idle daemon is measured; zero: not
  std::filesystem::path logs, sockets;         // folders of its own
  std::function<bool()> stop;
  std::function<void(const std::string& what, double done)> told;
};

// Blocks. Fills in what was measured, also where it was stopped; result.complete is false then. DataLoss: a guest was not what it was
// before its move; else what a node, QEMU or a move says. Its guests go with the folders' Leftovers.
absl::Status run_migration_bench(const MigrationBenchOptions& options, MigrationResult& result);

}  // namespace supercloud
