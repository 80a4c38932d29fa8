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

// --quick, --tiny, --only TEXT and --json FILE. `settings` outlives the app's parsing.
void add_settings(CLI::App& app, BarSettings& settings);

}  // namespace supercloud
