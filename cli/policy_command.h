// `supercloud policy`: which policies there are, what they are worth on real prices, and what one would do now.
#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

void add_policy_command(CLI::App& root, Program& program);

}  // namespace supercloud
