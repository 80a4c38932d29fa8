// `supercloud gateway`.
#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

void add_gateway_command(CLI::App& root, Program& program);

}  // namespace supercloud
