#include "cli/demo_command.h"

#include <CLI/CLI.hpp>

namespace supercloud {

void add_demo_command(CLI::App& root, Program&) { root.add_subcommand("demo", "Watch a cluster for a minute"); }

}  // namespace supercloud
