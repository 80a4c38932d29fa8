// Ctrl-C, as a flag: what runs long looks at it, ends cleanly and says how far it came.
#pragma once

namespace supercloud {

// While one of these lives, the first SIGINT or SIGTERM sets the flag and a second one ends the process as usual. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Thread-safe.
  bool requested() const;
};

}  // namespace supercloud
