#include "tests/hypercall/keeper/guest_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace supercloud {
namespace {

namespace fs = std::filesystem;

constexpr int look_again_ms = 20;
constexpr int quiet_looks = 10;     // a keeper that was just started takes its lock in that
constexpr int patient_looks = 150;  // then a keeper that does not do it is killed itself
constexpr std::string_view lock_suffix = ".lock";

// Who holds this lock; 0: nobody.
pid_t holder_of(const fs::path& lock) {
  const int fd = ::open(lock.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return 0;
  struct flock whole{};
  whole.l_type = F_WRLCK;
  const bool held = ::fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
  ::close(fd);
  return held ? whole.l_pid : 0;
}

void tell_to_kill(const std::string& keeper) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (keeper.size() >= sizeof address.sun_path) return;
  keeper.copy(address.sun_path, keeper.size());
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    (void)::send(fd, "kill", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(fd);
}

// Whether a keeper is left there.
bool end_guests(const fs::path& folder, bool patient) {
  bool left = false;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(folder, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const std::string lock = at->path().string();
    if (!lock.ends_with(lock_suffix)) continue;
    const pid_t keeper = holder_of(lock);
    if (keeper <= 1) continue;
    left = true;
    if (!patient) ::kill(keeper, SIGKILL);
    ::kill(keeper, SIGCONT);  // a test may have stopped it
    tell_to_kill(lock.substr(0, lock.size() - lock_suffix.size()));
  }
  return left;
}

// Away from the group that is ended with the program, and without its descriptors.
[[noreturn]] void stand_guard(int program, const fs::path& folder) {
  ::setsid();
  const int none = ::open("/dev/null", O_RDWR);
  ::dup2(program, 0);
  ::dup2(none, 1);
  ::dup2(none, 2);
  ::syscall(SYS_close_range, 3U, ~0U, 0U);
  char byte = 0;
  while (::read(0, &byte, 1) < 0 && errno == EINTR) {
  }
  int looks = 0;
  std::error_code error;
  for (int quiet = 0; quiet < quiet_looks && fs::exists(folder, error); ++looks) {
    quiet = end_guests(folder, looks < patient_looks) ? 0 : quiet + 1;
    ::poll(nullptr, 0, look_again_ms);
  }
  fs::remove_all(folder, error);
  ::_exit(0);
}

}  // namespace

GuestGuard::GuestGuard(const fs::path& folder) { watch(folder); }

void GuestGuard::watch(const fs::path& folder) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  guard_ = ::fork();
  if (guard_ == 0) stand_guard(ends[0], folder);
  ::close(ends[0]);
  program_ = ends[1];
  EXPECT_GT(guard_, 0);
}

void GuestGuard::release() {
  if (program_ >= 0) ::close(program_);
  if (guard_ > 0) ::waitpid(guard_, nullptr, 0);
}

}  // namespace supercloud
