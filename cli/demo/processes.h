// The node processes of a demo: started from this very program, and surely ended.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace supercloud {

// Thread-bound. A process ends with this object, and, by the kernel's hand, with this process.
class NodeProcesses {
 public:
  // Every node's configuration and output go below `directory`.
  explicit NodeProcesses(std::filesystem::path directory) : directory_(std::move(directory)) {}
  ~NodeProcesses() { stop_all(); }
  NodeProcesses(const NodeProcesses&) = delete;
  NodeProcesses& operator=(const NodeProcesses&) = delete;

  // `toml`: what `supercloud node --config` gets.
  absl::Status start(const std::string& node, const std::string& toml);
  // Kill: at any instruction, as a cloud takes a machine. Stop: cleanly.
  void kill(const std::string& node);
  void stop(const std::string& node);
  // Processes that have ended since the last call without kill() or stop(), with a few words how.
  std::vector<std::pair<std::string, std::string>> reap();
  void stop_all();

  bool running(const std::string& node) const { return children_.contains(node); }
  std::size_t size() const { return children_.size(); }
  // The last lines that the node wrote.
  std::string last_words(const std::string& node) const;

 private:
  struct Child {
    pid_t pid = 0;
    bool told_to_end = false;
  };
  void signal(const std::string& node, int number);

  const std::filesystem::path directory_;
  std::map<std::string, Child> children_;
};

}  // namespace supercloud
