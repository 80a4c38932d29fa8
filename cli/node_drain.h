// supercloud node drain, undrain: empties a node and follows that to its end; lets guests on it again.
#pragma once

#include <string>

#include "cli/program.h"

namespace supercloud {

struct DrainOptions {
  std::string node, why, deadline;
  bool wait = true;
};

// Both return the exit code. Ctrl-C stops following, never the drain.
int drain_node(const DrainOptions& options, const Program& program);
int undrain_node(const DrainOptions& options, const Program& program);

}  // namespace supercloud
