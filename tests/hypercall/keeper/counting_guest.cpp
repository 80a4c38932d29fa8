// counting_guest FILE [family] [exit=CODE] [fifo=PATH]: counts in FILE (counting_guest.h), as long as it executes.
//
// family: also in a second thread, in a child, and in a grandchild with a session of its own, whose parent has ended.
// exit=CODE: ends at once, and leaves a child. fifo=PATH: reads bytes there.
#include "tests/hypercall/keeper/counting_guest.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace {

using supercloud::CountingPage;

[[noreturn]] void count(CountingPage& page, int fifo = -1) {
  const int index = page.threads++;
  if (index >= CountingPage::threads_max) std::abort();
  supercloud::CountedThread& own = page.thread[index];
  own.process = ::getpid();
  while (true) {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    own.last_ns = std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    ++own.count;
    char byte = 0;
    if (fifo >= 0 && ::read(fifo, &byte, 1) == 1) ++page.bytes;
    const timespec quarter = {0, 250'000};
    ::nanosleep(&quarter, nullptr);
  }
}

}  // namespace

int main(int arguments, char** words) {
  if (arguments < 2) return 2;
  const int fd = ::open(words[1], O_RDWR | O_CLOEXEC);
  void* mapped = ::mmap(nullptr, sizeof(CountingPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || mapped == MAP_FAILED) return 2;
  auto& page = *static_cast<CountingPage*>(mapped);
  int fifo = -1;
  for (int i = 2; i < arguments; ++i) {
    const std::string word = words[i];
    if (word == "family") {
      if (::fork() == 0) count(page);
      if (::fork() == 0) {
        ::setsid();
        if (::fork() == 0) count(page);
        ::_exit(0);
      }
      ::wait(nullptr);
      std::thread([&page] { count(page); }).detach();
    } else if (word.starts_with("exit=")) {
      if (::fork() == 0) count(page);
      return std::atoi(word.c_str() + std::strlen("exit="));
    } else if (word.starts_with("fifo=")) {
      fifo = ::open(word.c_str() + std::strlen("fifo="), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
  }
  count(page, fifo);
}
