// A process that a measurement has started: it ends with the measuring one and not before (Ctrl-C is that one's affair), reads one line of it, and its
// processor time and memory can be asked for.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace supercloud {

class Child {
 public:
  // `body` gets a function that waits for the line.
  explicit Child(const std::function<void(const std::function<std::string()>& line)>& body);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void tell(const std::string& line) const;
  // User and system time of all its threads so far, in seconds.
  double cpu_seconds() const;
  double resident_bytes() const;  // of its memory; 0: it is gone

 private:
  pid_t pid_ = -1;
  int pipe_ = -1;
};

// ... of this process.
double own_cpu_seconds();

}  // namespace supercloud
