// What a command that follows something tells on stderr: lines with the time since it began, and on a terminal, below them, how far it is.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "core/call.h"
#include "core/time.h"

namespace supercloud {

// Thread-bound.
class LiveLines {
 public:
  // What fits into so many columns.
  using Status = std::function<std::string(std::size_t width)>;

  LiveLines(Instant start, bool quiet) : start_(start), quiet_(quiet) {}

  void line(Instant now, const std::string& words);
  // Where there is no terminal, a line each second.
  void status(Instant now, Status status);
  void end();

  static bool on_terminal();

 private:
  void clear();
  void draw();

  const Instant start_;
  const bool quiet_;
  const bool live_ = on_terminal();
  Status shown_;
  Instant next_line_{};
};

// "2 of 3: measuring the way of memory to c": `width` columns at most.
std::string progress_line(const Progress& progress, std::size_t width);

}  // namespace supercloud
