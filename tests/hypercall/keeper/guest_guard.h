// Keepers and their guests outlive the program that started them: also a test's, that is ended in the midst of it.
#pragma once

#include <sys/types.h>

#include <filesystem>

namespace supercloud {

// Thread-bound. A process of its own which, however this program ends, ends the guests whose keepers' locks are under a folder, each by
// its keeper, and removes the folder. It does so too when this object goes: it is the last of what uses the folder.
class GuestGuard {
 public:
  GuestGuard() = default;
  explicit GuestGuard(const std::filesystem::path& folder);
  ~GuestGuard() { release(); }
  GuestGuard(const GuestGuard&) = delete;
  GuestGuard& operator=(const GuestGuard&) = delete;

  void watch(const std::filesystem::path& folder);  // once

 private:
  void release();

  int program_ = -1;  // what the guard reads the end of
  pid_t guard_ = -1;
};

}  // namespace supercloud
