// `supercloud bench`: measurements by whoever trusts none of ours.
#pragma once

#include "cli/program.h"

namespace CLI {
class App;
}

namespace supercloud {

void add_bench_command(CLI::App& root, Program& program);

}  // namespace supercloud
