// `supercloud replay`: the policy that will run in production over a trace of real prices.
#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

void add_replay_command(CLI::App& root, Program& program);

}  // namespace supercloud
