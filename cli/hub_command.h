// `supercloud hub`: the process that joins a cloud with the others.
#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

void add_hub_command(CLI::App& root, Program& program);

}  // namespace supercloud
