// All commands of the program.
#pragma once

#include "cli/program.h"

namespace supercloud {

void add_commands(CLI::App& root, Program& program);

}  // namespace supercloud
