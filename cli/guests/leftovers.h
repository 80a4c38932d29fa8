// Guests outlive who started them; those of a measurement are not to.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace supercloud {

// Not thread-safe.
class GuestKiller {
 public:
  explicit GuestKiller(std::vector<std::filesystem::path> folders) : folders_(std::move(folders)) {}

  // Kills every process whose command line names something in one of the folders, other than this one, and removes the cgroups that its
  // keeper has made for it, thawed: what is frozen does not die. To be called until false: then there is nothing of them.
  bool kill();

 private:
  std::vector<std::filesystem::path> folders_;
  std::set<std::filesystem::path> cgroups_;  // of what was killed, that are still there
};

// Thread-bound. A process of its own that, when this object goes or its process has ended however, kills every process whose command line
// names one of the folders, until there is none, and removes the folders. The names are new with each run, so it is nobody else's.
// What cannot be killed is given up after a while.
class Leftovers {
 public:
  // Forks: the caller has no threads yet.
  explicit Leftovers(const std::vector<std::filesystem::path>& folders);
  ~Leftovers();
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;

  // ResourceExhausted: nobody stands guard, for want of a process or a pipe.
  const absl::Status& status() const { return status_; }

 private:
  int life_ = -1;  // its other end is closed with this process
  pid_t guard_ = -1;
  absl::Status status_;
};

}  // namespace supercloud
