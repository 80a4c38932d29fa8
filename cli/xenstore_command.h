// supercloud xenstore: the XenStore of this machine, for a person to look at.
#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;
void add_xenstore_command(CLI::App& root, Program& program);

}  // namespace supercloud
