// A file that is replaced as a whole.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string_view>

#include "absl/status/status.h"

namespace supercloud {

// Whoever opens the file sees what was there or `bytes`, also after a loss of power; after an error, what was there. `mode` is that of the
// new one, less the umask. A link is followed. NotFound: its folder is missing. InvalidArgument: it is a folder or a device.
// PermissionDenied; ResourceExhausted: the disk is full; Unavailable: any other failure of the file system. Each message names path
// and cure. Blocks.
absl::Status replace_file(const std::filesystem::path& path, std::string_view bytes,
                          mode_t mode = 0666);

}  // namespace supercloud
