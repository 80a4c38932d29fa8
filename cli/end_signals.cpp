#include "cli/end_signals.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

namespace supercloud {

absl::StatusOr<std::unique_ptr<EndSignals>> EndSignals::open(EventLoop& loop) {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const int fd = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return absl::UnavailableError("the kernel grants no signal descriptor");
  return std::unique_ptr<EndSignals>(new EndSignals(loop, fd));
}

EndSignals::~EndSignals() {
  loop_.unwatch_fd(fd_);
  ::close(fd_);
}

absl::Status EndSignals::watch(std::function<void(int signal)> told) {
  return loop_.watch_fd(fd_, EPOLLIN, [fd = fd_, told = std::move(told)](std::uint32_t) {
    signalfd_siginfo signal{};
    if (::read(fd, &signal, sizeof signal) != sizeof signal) return;
    told(static_cast<int>(signal.ssi_signo));
  });
}

}  // namespace supercloud
