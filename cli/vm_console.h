// supercloud vm console: the terminal as the serial console of a guest, which it follows from node to node of this machine.
#pragma once

#include <string>

#include "cli/program.h"

namespace supercloud {

// Returns the exit code: when its user leaves (Ctrl-], or an interrupt where there is no terminal), or the guest is gone.
int vm_console(const std::string& name, const std::string& tenant, const Program& program);

}  // namespace supercloud
