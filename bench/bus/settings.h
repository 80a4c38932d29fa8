// What the programs that measure the bus beside others are told on their command line.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace supercloud {

struct BarSettings {
  int pairs = 41;
  double length = 1;  // of a burst, by the row's own
  std::string only;
  std::string json;  // a file; empty: none

  bool wanted(const std::string& row) const;
  int messages(int most) const;  // one at least
};

// Messages of a burst of 1 to 1. A queue of ours has room for all of them, each in a message of its own: nothing is lost, however late the
// subscriber is given a processor.
int burst_max();

// --quick, --tiny, --only TEXT and --json FILE. `settings` outlives the app's parsing.
void add_settings(CLI::App& app, BarSettings& settings);

}  // namespace supercloud
