// The page of `supercloud replay --report FILE.html`: one HTML file that needs no network and no other file, with the prices,
// where each VM was and why, and what each strategy paid. docs/program.md says how to read it.
#pragma once

#include <string>
#include <string_view>

#include "simulation/replay/result.h"

namespace supercloud {

// Pure: the same result is the same page, byte for byte. Names of places, VMs and reasons may be any bytes.
std::string replay_page(const ReplayResult& result);

}  // namespace supercloud
