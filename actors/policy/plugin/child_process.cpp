#include "actors/policy/plugin/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"

extern char** environ;

namespace supercloud {
namespace {

constexpr int reads_per_turn = 20;  // more than a pipe holds

absl::Status no_process(const char* what) {
  return absl::UnavailableError(
      absl::StrCat("the kernel grants no ", what, ": ", strerrordesc_np(errno),
                   "; look at this user's limits of processes and files"));
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

// This process's environment, with what is given on top.
std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> all;
  for (const auto& [name, value] : more) all.push_back(absl::StrCat(name, "=", value));
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line = *entry;
    bool replaced = false;
    for (const auto& [name, value] : more) replaced = replaced || line.starts_with(name + "=");
    if (!replaced) all.emplace_back(line);
  }
  return all;
}

// In the child, between fork and exec: only what a signal handler may do.
[[noreturn]] void become(const char* program, char* const* argv, char* const* envp, int output,
                         pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);  // a program with other rights would outlive this one
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it was gone before the kernel knew
  // Where memory runs out it goes first, not the node.
  const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  [[maybe_unused]] ssize_t written = ::write(score, "1000", 4);
  sigset_t none;
  ::sigemptyset(&none);
  for (const int number : {SIGINT, SIGTERM, SIGPIPE, SIGHUP}) ::signal(number, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int input = ::open("/dev/null", O_RDONLY);
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  ::syscall(SYS_close_range, 3U, ~0U, 0U);
  ::execve(program, argv, envp);
  const char* why = strerrordesc_np(errno);
  constexpr char lead[] = "it cannot be executed: ";
  written = ::write(2, lead, sizeof lead - 1);
  written = ::write(2, why, ::strlen(why));
  ::_exit(127);
}

std::string how_it_ended(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return absl::StrCat("exit code ", info.si_status);
  const char* name = sigabbrev_np(info.si_status);
  return absl::StrCat("signal ", info.si_status, " (", name == nullptr ? "?" : name, ")");
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::start(EventLoop& loop,
                                                                  const ChildCommand& command,
                                                                  Ended ended) {
  std::unique_ptr<ChildProcess> child(new ChildProcess(loop, std::move(ended)));
  std::array<int, 2> pipe{-1, -1};
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) return no_process("pipe");
  child->output_fd_ = pipe[0];
  const int output = pipe[1];
  ::fcntl(output, F_SETFL, 0);  // the child's end waits for room, as programs expect
  const std::vector<std::string> environment = environment_with(command.environment);
  const std::vector<char*> argv = pointers(command.arguments), envp = pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become(command.program.c_str(), argv.data(), envp.data(), output, parent);
  const absl::Status forked = pid < 0 ? no_process("process") : absl::OkStatus();
  ::close(output);
  if (!forked.ok()) return forked;
  child->pid_ = pid;
  ::setpgid(pid, pid);  // whoever comes first
  if (const absl::Status watched = child->watch(); !watched.ok()) return watched;
  return child;
}

absl::Status ChildProcess::watch() {
  pid_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0U));
  if (pid_fd_ < 0) return no_process("descriptor of a process");
  absl::Status watched =
      loop_.watch_fd(output_fd_, EPOLLIN, [this](std::uint32_t) { read_output(); });
  if (watched.ok()) watched = loop_.watch_fd(pid_fd_, EPOLLIN, [this](std::uint32_t) { on_end(); });
  return watched;
}

ChildProcess::~ChildProcess() {
  if (pid_ != 0) reap();
  if (pid_fd_ >= 0) {
    loop_.unwatch_fd(pid_fd_);
    ::close(pid_fd_);
  }
  if (output_fd_ >= 0) {
    loop_.unwatch_fd(output_fd_);
    ::close(output_fd_);
  }
}

void ChildProcess::kill() const {
  if (pid_ != 0) ::kill(-pid_, SIGKILL);
}

// As long as the child is not reaped its number, and so its group's, is nobody else's.
std::string ChildProcess::reap() {
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);  // where it is in no group yet
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
  }
  pid_ = 0;
  return how_it_ended(info);
}

void ChildProcess::read_output() {
  std::array<char, 4096> bytes;
  for (int i = 0; i < reads_per_turn; ++i) {
    const ssize_t got = ::read(output_fd_, bytes.data(), bytes.size());
    if (got < 0) return;  // there is no more yet
    if (got == 0) {
      loop_.unwatch_fd(output_fd_);
      ::close(output_fd_);
      output_fd_ = -1;
      return;
    }
    last_words_.append(bytes.data(), static_cast<std::size_t>(got));
    if (last_words_.size() > last_words_bytes)
      last_words_.erase(0, last_words_.size() - last_words_bytes);
  }
}

void ChildProcess::on_end() {
  const std::string how = reap();
  if (output_fd_ >= 0) read_output();
  loop_.unwatch_fd(pid_fd_);
  ::close(pid_fd_);
  pid_fd_ = -1;
  const Ended ended = std::move(ended_);
  ended(how);  // this object may be gone
}

}  // namespace supercloud
