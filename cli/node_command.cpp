#include "cli/node_command.h"

#include <CLI/CLI.hpp>

namespace supercloud {

void add_node_command(CLI::App& root, Program&) { root.add_subcommand("node", "Run one node of a cluster"); }

}  // namespace supercloud
