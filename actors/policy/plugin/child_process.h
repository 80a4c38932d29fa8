// A program that runs under this one: started, watched through its pidfd, and surely ended with all that it started.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/event_loop.h"

namespace supercloud {

struct ChildCommand {
  std::string program;                 // a path
  std::vector<std::string> arguments;  // the first is what it is called by
  std::vector<std::pair<std::string, std::string>> environment;  // beside this process's own
};

// Thread-bound to its loop. The child leads a process group of its own, which is killed as a whole when it ends and when this object
// does. The kernel kills the child when the thread that started it ends, however it ends, and takes its memory first where there is
// too little; it cannot gain rights. Its standard input is empty; of what it writes to its standard output and error, the last bytes
// are kept.
class ChildProcess {
 public:
  static constexpr std::size_t last_words_bytes = 1000;

  // `ended`, called once from the loop, may destroy this object: "exit code 1", "signal 11 (SEGV)".
  using Ended = std::function<void(const std::string& how)>;
  // Unavailable: the kernel grants no process or no descriptor. What cannot be executed starts, says so and ends with 127.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> start(EventLoop& loop,
                                                             const ChildCommand& command,
                                                             Ended ended);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // At once; `ended` follows.
  void kill() const;
  pid_t pid() const { return pid_; }
  // What it wrote last.
  const std::string& last_words() const { return last_words_; }

 private:
  explicit ChildProcess(EventLoop& loop, Ended ended) : loop_(loop), ended_(std::move(ended)) {}
  absl::Status watch();
  void read_output();
  std::string reap();
  void on_end();

  EventLoop& loop_;
  Ended ended_;
  pid_t pid_ = 0;  // 0: none that is not reaped
  int pid_fd_ = -1;
  int output_fd_ = -1;
  std::string last_words_;
};

}  // namespace supercloud
