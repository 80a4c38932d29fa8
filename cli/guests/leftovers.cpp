#include "cli/guests/leftovers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "hypercall/keeper/protocol.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr int look_again_ms = 20;
constexpr int quiet_looks = 5;                      // what was being started meanwhile is found
constexpr std::chrono::seconds guard_patience(20);  // then what is left cannot be killed
constexpr int guard_ms = 30'000;                    // longer than that

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
  GuestKiller killer(folders);
  const auto end = std::chrono::steady_clock::now() + guard_patience;
  for (int quiet = 0; quiet < quiet_looks && std::chrono::steady_clock::now() < end;) {
    quiet = killer.kill() ? 0 : quiet + 1;
    ::poll(nullptr, 0, look_again_ms);
  }
  std::error_code error;
  for (const files::path& folder : folders) files::remove_all(folder, error);
  ::_exit(0);
}

std::string content(const files::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Those that a keeper made, of what /proc/PID/cgroup lists: "0::/path" or "6:freezer:/path".
void add_cgroups(const files::path& process, std::set<files::path>& cgroups) {
  std::ifstream file(process / "cgroup");
  for (std::string line; std::getline(file, line);) {
    const files::path path = line.substr(std::min(line.find('/'), line.size()));
    if (!path.filename().string().starts_with(keeper::cgroup_name_begin)) continue;
    if (line.find(":freezer:") != std::string::npos)
      cgroups.insert("/sys/fs/cgroup/freezer" + path.string());
    if (!line.starts_with("0::")) continue;
    for (const char* mount : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"})
      if (files::exists(mount + path.string())) cgroups.insert(mount + path.string());
  }
}

// Of a file that is there.
void tell(const files::path& file, const char* text) {
  std::ofstream(file, std::ios::in | std::ios::out) << text << std::flush;
}

// Whether it is gone.
bool remove_cgroup(const files::path& cgroup) {
  std::ifstream members(cgroup / "cgroup.procs");
  for (pid_t member = 0; members >> member;) ::kill(member, SIGKILL);
  tell(cgroup / "cgroup.freeze", "0");
  tell(cgroup / "freezer.state", "THAWED");
  return ::rmdir(cgroup.c_str()) == 0 || errno == ENOENT;
}

}  // namespace

bool GuestKiller::kill() {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : files::directory_iterator("/proc", error)) {
    const auto process = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
    if (process <= 1 || process == ::getpid()) continue;
    if (!mentions(content(entry.path() / "cmdline"), folders_)) continue;
    found.push_back(process);
    add_cgroups(entry.path(), cgroups_);
  }
  // All are known before the first one dies: a guest may go with its keeper, and its cgroup would be known to nobody.
  for (const pid_t process : found) ::kill(process, SIGKILL);
  std::erase_if(cgroups_, remove_cgroup);
  return !found.empty() || !cgroups_.empty();
}

Leftovers::Leftovers(const std::vector<files::path>& folders) {
  const auto failed = [this](const char* what) {
    status_ = absl::ResourceExhaustedError(
        absl::StrCat("nobody would end the guests if this program were killed: ", what, ": ",
                     std::strerror(errno), "; raise the limits of processes and open files"));
  };
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    failed("no pipe");
    return;
  }
  guard_ = ::fork();
  if (guard_ == 0) {
    ::close(ends[1]);
    stand_guard(ends[0], folders);
  }
  if (guard_ < 0) failed("no process");
  ::close(ends[0]);
  life_ = ends[1];
}

Leftovers::~Leftovers() {
  if (life_ >= 0) ::close(life_);
  if (guard_ <= 0) return;
  // A guard that hangs is left to itself; the kernel has no such descriptors before Linux 5.3.
  const int ended = static_cast<int>(::syscall(SYS_pidfd_open, guard_, 0));
  struct pollfd wait{ended, POLLIN, 0};
  const bool late = ended >= 0 && ::poll(&wait, 1, guard_ms) == 0;
  if (ended >= 0) ::close(ended);
  ::waitpid(guard_, nullptr, late ? WNOHANG : 0);
}

}  // namespace supercloud
