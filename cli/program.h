// What all commands of the program share.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace supercloud {

// Documented in --help.
enum ExitCode : int {
  exit_ok = 0,
  exit_failed = 1,       // what was asked for did not happen; stderr says why
  exit_usage = 2,        // the command line or a file it names is wrong
  exit_unreachable = 3,  // no such cluster, or none of its nodes answers
  exit_no_match = 4,     // nothing matches; stderr has near names
};

struct Program {
  bool json = false;                   // --json
  std::string cluster;                 // --cluster or SUPERCLOUD_CLUSTER; empty: see find_cluster()
  std::string invoked = "supercloud";  // as its user called it: what to type again
  int exit_code = exit_ok;
  bool terminal = false;   // stdout is one
  std::string key, trust;  // --key, --trust: files, for a cluster whose bus has keys
};

// "supercloud: why" on stderr; gives `code` back.
int complain(const absl::Status& why, int code);

}  // namespace supercloud
