// The live view of a demo: one screen, drawn anew a few times a second.
#pragma once

#include <map>
#include <string>

#include "cli/demo/story.h"

namespace supercloud {

// In place of a count: it was not unbroken.
inline constexpr const char* counts_broken = "broken";

struct ViewFrame {
  absl::Time market;      // now
  Duration until_market;  // before it opens
  Duration elapsed;       // since then
  Duration duration;
  std::int64_t speed = 1;
  std::size_t processes = 0;
  std::string prices;  // "generated market, seed 7", or the file
  std::string guests;  // whose they are: "QEMU 10.0.2 (tcg)"; empty: they are simulated
  std::map<std::string, std::string> counts;  // of real guests, by VM
  std::string directory;
  int columns = 80;
  int rows = 24;
};

// Pure. Lines end with "\n" and fit into the columns; ANSI colours.
std::string draw(const DemoStory& story, const ViewFrame& frame);

}  // namespace supercloud
