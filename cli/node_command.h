// `supercloud node`: one node of a cluster, in the foreground; `node drain` and `undrain` one that runs.
#pragma once

#include "cli/program.h"

namespace supercloud {

void add_node_command(CLI::App& root, Program& program);

}  // namespace supercloud
