// What a keeper's guest may leave behind where no folder of the test's is.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "hypercall/keeper/protocol.h"

namespace supercloud {

// Whether a cgroup of that name is there, in whichever hierarchy.
inline bool cgroup_is_left(const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(
           "/sys/fs/cgroup", fs::directory_options::skip_permission_denied, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error))
    if (at->path().filename() == name) return true;
  return false;
}
// ... of the keeper at `socket`.
inline bool cgroup_is_left_of(const std::string& socket) {
  return cgroup_is_left(keeper::cgroup_name(socket));
}

}  // namespace supercloud
