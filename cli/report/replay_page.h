// The page of `supercloud replay --report FILE.html`: one HTML file that needs no network and no other file, with the prices,
// where each VM was and why, and what each strategy paid. docs/program.md says how to read it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "simulation/replay/result.h"

namespace supercloud {

// Pure: the same result is the same page, byte for byte. Names of places, VMs and reasons may be any bytes.
std::string replay_page(const ReplayResult& result);

// Replaces the file at `path` as a whole: whoever opens it sees the old page or the new one; after an error, the old one. A link
// is followed. NotFound: its folder is missing. InvalidArgument: it is a folder or a device. PermissionDenied; ResourceExhausted:
// the disk is full; Unavailable: any other failure of the file system. Each message names path and cure.
absl::Status write_page(const std::filesystem::path& path, std::string_view page);

}  // namespace supercloud
