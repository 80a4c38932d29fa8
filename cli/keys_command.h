#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

// Keys of nodes and people, and the trust file that says whose they are.
void add_keys_command(CLI::App& root, Program& program);

}  // namespace supercloud
