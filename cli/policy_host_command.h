// `supercloud policy-host`: the process of a policy in a shared object.
#pragma once

#include "cli/program.h"

namespace supercloud {

// `policy-host FILE.so ENDPOINT`: what a node runs a policy in a shared object by. Not in --help: no command of a person's.
void add_policy_host_command(CLI::App& root, Program& program);

}  // namespace supercloud
