// A server that a measurement starts for itself, in a temporary folder, and that goes with it: no port and no file is anyone else's.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/measure/child.h"
#include "cli/measure/temporary_folder.h"

namespace supercloud {

struct ServerProgram {
  std::filesystem::path file;
  std::string
      libraries;  // folders, as LD_LIBRARY_PATH has them; empty: those of the system will do
};

// By its name, among packages that were unpacked below `unpacked`, or among the programs of this machine. NotFound.
absl::StatusOr<ServerProgram> find_server(const std::string& name,
                                          const std::filesystem::path& unpacked);

// What is told to a server, and where it is found. The folder is its own.
struct ServerPlan {
  std::vector<std::string> arguments;  // before the name of the file with its settings
  std::function<std::string(const std::filesystem::path& folder)> settings;
  // Where it listens. Unavailable: it does not yet.
  std::function<absl::StatusOr<std::string>(const std::filesystem::path& folder)> address;
};

// Thread-bound.
class PeerServer {
 public:
  // Forks, and whatever threads the caller has do not matter. A server that does not start is found out by `reach`.
  PeerServer(const ServerProgram& program, const ServerPlan& plan);

  // Until `connect` succeeds where it listens. Unavailable: it has ended; DeadlineExceeded. Both with the last line that it has said.
  absl::Status reach(const std::function<absl::Status(const std::string& address)>& connect) const;
  // User and system time of all its threads so far, in seconds.
  double cpu_seconds() const { return process_.cpu_seconds(); }

 private:
  absl::Status with_last_words(absl::Status why) const;

  const TemporaryFolder folder_;
  const ServerPlan plan_;
  const std::string name_;
  const Child process_;
};

}  // namespace supercloud
