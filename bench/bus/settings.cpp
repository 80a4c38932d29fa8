#include "bench/bus/settings.h"

#include <algorithm>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "bus/zmq_bus.h"

namespace supercloud {

bool BarSettings::wanted(const std::string& row) const {
  return only.empty() || absl::StrContains(row, only);
}

int BarSettings::messages(int most) const { return std::max(1, static_cast<int>(most * length)); }

int burst_max() { return ZmqBusOptions().high_water_mark * 4 / 5; }

void add_settings(CLI::App& app, BarSettings& settings) {
  app.add_flag_callback(
      "--quick", [&settings] { settings.pairs = 9; }, "Fewer pairs: a minute, or less");
  app.add_flag_callback(
      "--tiny",
      [&settings] {
        settings.pairs = 1;
        settings.length = 0.01;
      },
      "Whether it works, and no more");
  app.add_option("--only", settings.only, "Rows whose name has this in it");
  app.add_option("--json", settings.json, "A file for the same as data");
}

}  // namespace supercloud
