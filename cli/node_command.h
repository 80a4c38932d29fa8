// `supercloud node`: one node of a cluster, in the foreground.
#pragma once

#include "cli/program.h"

namespace supercloud {

void add_node_command(CLI::App& root, Program& program);

}  // namespace supercloud
