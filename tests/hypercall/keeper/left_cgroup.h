// What a keeper's guest may leave behind where no folder of the test's is.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "hypercall/keeper/protocol.h"

namespace supercloud {

// Whether a cgroup of the keeper at `socket` is there, in whichever hierarchy.
inline bool cgroup_is_left_of(const std::string& socket) {
  namespace fs = std::filesystem;
  const std::string name = keeper::cgroup_name(socket);
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(
           "/sys/fs/cgroup", fs::directory_options::skip_permission_denied, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error))
    if (at->path().filename() == name) return true;
  return false;
}

}  // namespace supercloud
