// Ctrl-C, as a flag: what runs long looks at it, ends cleanly and says how far it came.
#pragma once

namespace supercloud {

// Exit code of a command that ended early because of it, as shells have it: 128 + SIGINT.
inline constexpr int exit_interrupted = 130;

// While one of these lives, the first SIGINT, SIGTERM or SIGHUP (the terminal was closed; ignored where nohup ignores it) sets the
// flag and a second one ends the process as usual. One at a time.
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
