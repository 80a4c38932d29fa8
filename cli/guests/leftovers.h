// Guests outlive who started them; those of a measurement are not to.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <vector>

namespace supercloud {

// Kills every process whose command line names something in one of the folders; whether there was one. Not this process.
bool kill_all_of(const std::vector<std::filesystem::path>& folders);

// Thread-bound. A process of its own that, when this object goes or its process has ended however, kills every process whose command line
// names one of the folders, until there is none, and removes the folders. The names are new with each run, so it is nobody else's.
class Leftovers {
 public:
  // Forks: the caller has no threads yet.
  explicit Leftovers(const std::vector<std::filesystem::path>& folders);
  ~Leftovers();
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;

 private:
  int life_ = -1;  // its other end is closed with this process
  pid_t guard_ = -1;
};

}  // namespace supercloud
