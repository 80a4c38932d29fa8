#include "cli/guests/leftovers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr int look_again_ms = 20;
constexpr int quiet_looks = 5;  // what was being started meanwhile is found

bool mentions(const std::string& command, const std::vector<files::path>& folders) {
  for (const files::path& folder : folders)
    if (command.find(folder.string() + "/") != std::string::npos) return true;
  return false;
}

// Away from the group that a terminal ends, and without the descriptors of whoever waits for the measurement.
[[noreturn]] void stand_guard(int life, const std::vector<files::path>& folders) {
  ::setsid();
  const int none = ::open("/dev/null", O_RDWR);
  ::dup2(life, 0);
  ::dup2(none, 1);
  ::dup2(none, 2);
  ::syscall(SYS_close_range, 3U, ~0U, 0U);
  char byte = 0;
  while (::read(0, &byte, 1) < 0 && errno == EINTR) {
  }
  for (int quiet = 0; quiet < quiet_looks;) {
    quiet = kill_all_of(folders) ? 0 : quiet + 1;
    ::poll(nullptr, 0, look_again_ms);
  }
  std::error_code error;
  for (const files::path& folder : folders) files::remove_all(folder, error);
  ::_exit(0);
}

}  // namespace

bool kill_all_of(const std::vector<files::path>& folders) {
  bool found = false;
  std::error_code error;
  for (const auto& entry : files::directory_iterator("/proc", error)) {
    const auto process = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
    if (process <= 1 || process == ::getpid()) continue;
    std::ifstream file(entry.path() / "cmdline");
    const std::string command((std::istreambuf_iterator<char>(file)),
                              std::istreambuf_iterator<char>());
    if (!mentions(command, folders)) continue;
    found = true;
    ::kill(process, SIGKILL);
  }
  return found;
}

Leftovers::Leftovers(const std::vector<files::path>& folders) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  guard_ = ::fork();
  if (guard_ == 0) {
    ::close(ends[1]);
    stand_guard(ends[0], folders);
  }
  ::close(ends[0]);
  life_ = ends[1];
}

Leftovers::~Leftovers() {
  if (life_ >= 0) ::close(life_);
  if (guard_ > 0) ::waitpid(guard_, nullptr, 0);
}

}  // namespace supercloud
