// supercloud vm migrate: proposes a move and follows it to its end.
#pragma once

#include <string>

#include "cli/program.h"

namespace supercloud {

struct MigrateOptions {
  std::string vm, tenant, target, reason, deadline, blackout_max;
  bool dry_run = false;
  bool wait = true;
};

// Returns the exit code. Ctrl-C stops following, never the migration.
int migrate_vm(const MigrateOptions& options, const Program& program);

}  // namespace supercloud
