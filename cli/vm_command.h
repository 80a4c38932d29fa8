// supercloud vm: create, list, show, start, stop, pause, resume, migrate, cancel, destroy, wait.
#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

void add_vm_command(CLI::App& root, Program& program);

}  // namespace supercloud
