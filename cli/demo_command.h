// `supercloud demo`: a whole cluster on this machine, for a minute.
#pragma once

#include "cli/program.h"

namespace supercloud {

void add_demo_command(CLI::App& root, Program& program);

}  // namespace supercloud
