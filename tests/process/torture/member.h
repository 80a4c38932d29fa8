// One process of a torture run: a node as it is live, with log, bus and runtime, and one actor that publishes or one that subscribes. It ends
// when its standard input does, or with the process that started it.
#pragma once

#include <string>
#include <vector>

namespace supercloud::torture {

// What is told a publisher over its standard input: no more events.
inline constexpr char finish_byte = 'f';

// The exit code.
int run_member(const std::vector<std::string>& arguments);

}  // namespace supercloud::torture
