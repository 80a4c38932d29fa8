// The other side, for tests: this very program as the process of a policy that behaves well or badly, or as a node that has one.
#pragma once

#include <string>

namespace supercloud {

// Of `argv`, for main(): -1, this is no such process; else its exit code.
int behave(int argc, char** argv);

}  // namespace supercloud
