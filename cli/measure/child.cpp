#include "cli/measure/child.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <ctime>
#include <fstream>

namespace supercloud {
namespace {

double seconds_of(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

Child::Child(const std::function<void(const std::function<std::string()>& line)>& body) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return;
  pid_ = fork();
  if (pid_ != 0) {
    close(ends[0]);
    pipe_ = ends[1];
    return;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
  close(ends[1]);
  body([in = ends[0]] {
    std::string line;
    char letter = 0;
    while (read(in, &letter, 1) == 1 && letter != '\n') line += letter;
    return line;
  });
  _exit(0);
}

Child::~Child() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (pipe_ >= 0) close(pipe_);
}

void Child::tell(const std::string& line) const {
  const std::string ended = line + "\n";
  if (write(pipe_, ended.data(), ended.size()) != static_cast<ssize_t>(ended.size()))
    kill(pid_, SIGKILL);  // what it is to hear does not fit: it would wait for ever
}

double Child::cpu_seconds() const {
  clockid_t clock = 0;
  return clock_getcpuclockid(pid_, &clock) == 0 ? seconds_of(clock) : 0;
}

double Child::resident_bytes() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
  double total_pages = 0, resident_pages = 0;
  file >> total_pages >> resident_pages;
  return file ? resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE)) : 0;
}

double own_cpu_seconds() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace supercloud
