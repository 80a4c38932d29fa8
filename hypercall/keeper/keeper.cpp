// supercloud-keeper: the parent of one guest, which stops it when its deadline passes, whether or not a daemon lives (choreography,
// rules 7 and 8). It depends on nothing, waits for nobody, and never asks the guest. What it is told: protocol.h.
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "hypercall/keeper/freezer.h"
#include "hypercall/keeper/protocol.h"

namespace supercloud::keeper {
namespace {

constexpr std::size_t connections_max = 64;
constexpr std::int64_t never = INT64_MAX;
constexpr std::int64_t seen_within_ns = 150'000'000;  // else it answers "freezing", and looks again

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

[[noreturn]] void fail(const std::string& why, int status = 1) {
  std::fprintf(stderr, "supercloud-keeper: %s\n", why.c_str());
  std::exit(status);
}

class Keeper {
 public:
  // Whoever connects is refused until the guest has started.
  void bind(const std::string& path) {
    path_ = path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
      fail("--socket takes a path of 1 to 107 bytes; give such a one");
    path.copy(address.sun_path, path.size());
    // Of this process alone, for as long as it lives: who gets it knows that no other keeper of this path does. Its file stays.
    lock_ = ::open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct flock whole{};
    whole.l_type = F_WRLCK;
    if (lock_ < 0)
      fail(path + ".lock: " + std::strerror(errno) + "; give a path in a folder of one's own");
    if (::fcntl(lock_, F_SETLK, &whole) != 0)
      fail(path + " has a keeper, by its lock; kill that first, or give another path",
           exit_another_lives);
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    listener_ = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (::connect(listener_, where, sizeof address) == 0)
      fail(path + " has a keeper; kill that first, or give another path", exit_another_lives);
    if (std::error_code error; std::filesystem::is_socket(path, error))
      ::unlink(path.c_str());  // of a keeper that was killed
    const mode_t mask = ::umask(0177);
    const bool bound = ::bind(listener_, where, sizeof address) == 0;
    ::umask(mask);
    if (!bound) fail(path + ": " + std::strerror(errno) + "; give a path in a folder of one's own");
  }

  // The guest becomes one when it is known how to stop it.
  void start(char** program, const std::string& freezer, const std::string& cgroup) {
    // As far as it may: before everyone else, in memory, not killed for its memory. None of this is the guest's.
    const sched_param priority{.sched_priority = 1};
    ::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority);
    ::setsid();  // away from the terminal of who started it
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      fail("no socket pair; raise the limit of open files");
    const pid_t keeper = ::getpid();
    int error = 0;
    const auto make = [&](int into) {
      const pid_t guest = into >= 0 ? fork_into(into) : ::fork();
      if (guest != 0) return guest;
      ::setsid();
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ends[0]);
      // A keeper that died before that is no longer heard of.
      if (::getppid() != keeper || ::read(ends[1], &error, sizeof error) <= 0) ::_exit(127);
      ::execvp(program[0], program);
      error = errno;
      (void)!::write(ends[1], &error, sizeof error);
      ::_exit(127);
    };
    const bool chosen = freezer_.choose(freezer, cgroup, cgroup_name(path_), make, guest_);
    ::close(ends[1]);
    std::string why;
    if (!chosen)
      why =
          "no process, or no cgroup that freezes; name one with --cgroup, or take --freezer signal";
    const bool told = chosen && ::write(ends[0], &error, sizeof error) > 0;
    ::mlockall(MCL_CURRENT);  // while the program is being loaded
    if (told && ::read(ends[0], &error, sizeof error) > 0)
      why = program[0] + std::string(": ") + std::strerror(error) + "; name a program";
    ::close(ends[0]);
    if (!why.empty()) {
      while (guest_ > 0 && !freezer_.kill()) ::waitpid(guest_, nullptr, 0);
      ::unlink(path_.c_str());
      fail(why);
    }
    ::listen(listener_, 64);
  }

  int run() {
    std::ofstream("/proc/self/oom_score_adj") << "-1000";
    timer_ = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    const int guest = static_cast<int>(::syscall(SYS_pidfd_open, guest_, 0));
    for (const int fd : {timer_, guest, listener_}) wait_for(fd);
    while (phase_ != Phase::ended) {
      epoll_event ready{};
      const bool soon = phase_ == Phase::freezing || killing_;
      const int count = ::epoll_wait(epoll_, &ready, 1, soon ? 1 : -1);
      // After any pause, of this process or of the machine: first the deadline, then what others say of it.
      enforce();
      const int fd = count == 1 ? ready.data.fd : -1;
      if (fd == listener_) accept();
      if (fd == timer_) set_timer();
      if (fd == guest) killing_ = true;  // what it has started goes with it
      if (connections_.contains(fd)) receive(fd);
      if (killing_) end_if_gone();
    }
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  }

 private:
  enum class Phase { running, freezing, frozen, ended };

  void enforce() {
    const Phase before = phase_;
    if (phase_ == Phase::running && now() >= deadline_) {
      phase_ = Phase::freezing;
      ++freezes_;
    }
    const std::int64_t end = now() + seen_within_ns;
    while (phase_ == Phase::freezing && !killing_) {
      if (freezer_.freeze())
        phase_ = Phase::frozen;
      else if (now() >= end || ::poll(nullptr, 0, 1) != 0)
        break;
    }
    if (phase_ != before) tell(false);
  }
  void set_timer() const {
    itimerspec time{};
    if (deadline_ != never && phase_ == Phase::running)
      time.it_value = {deadline_ / 1'000'000'000, deadline_ % 1'000'000'000};
    ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &time, nullptr);
  }

  void end_if_gone() {
    const bool none = freezer_.kill();
    int status = 0;
    for (pid_t child = 0; (child = ::waitpid(-1, &status, WNOHANG)) > 0;)
      if (child == guest_) {
        status_ = status;
        guest_ = -1;
      }
    if (!none || guest_ > 0) return;
    phase_ = Phase::ended;
    ::unlink(path_.c_str());
    tell(true);
  }

  void wait_for(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  void accept() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ucred peer{};
    socklen_t size = sizeof peer;
    if (fd < 0) return;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != ::geteuid() ||
        connections_.size() == connections_max)
      return void(::close(fd));
    connections_[fd] = false;
    wait_for(fd);
  }
  void drop(int fd) {
    ::close(fd);
    connections_.erase(fd);
  }
  // Who does not read is cut off.
  void send(int fd, const std::string& packet) {
    if (::send(fd, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) drop(fd);
  }
  void tell(bool everybody) {
    const std::map<int, bool> connections = connections_;
    for (const auto& [fd, watches] : connections)
      if (watches || everybody) send(fd, state());
  }
  void receive(int fd) {
    char packet[packet_bytes_max];  // longer ones are cut, and no command either
    const ssize_t size = ::recv(fd, packet, sizeof packet, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return drop(fd);
    const std::optional<Command> command = parse({packet, static_cast<std::size_t>(size)});
    if (command && command->verb == Command::Verb::watch) connections_[fd] = true;
    if (const std::string answer = answer_to(command); !answer.empty() && connections_.contains(fd))
      send(fd, answer);
  }

  // Empty: end_if_gone() answers.
  std::string answer_to(const std::optional<Command>& command) {
    using Verb = Command::Verb;
    if (!command)
      return "error no such command; say status, arm NS, disarm, thaw NS, kill or watch";
    const Verb verb = command->verb;
    if (verb == Verb::kill) killing_ = true;
    if (verb == Verb::kill) return "";
    if (verb == Verb::watch || verb == Verb::status) return state();
    if (killing_) return "error the guest is being killed; wait for its end";
    if (verb == Verb::disarm && phase_ != Phase::running)
      return "error the guest is frozen; thaw it, or kill it";
    if (verb == Verb::thaw && command->deadline <= now())
      return "error that has passed; give a deadline that lies ahead";
    deadline_ = verb == Verb::disarm ? never : command->deadline;
    if (verb == Verb::thaw && phase_ != Phase::running) {
      freezer_.thaw();
      phase_ = Phase::running;
      tell(false);
    }
    set_timer();
    enforce();
    return state();
  }
  std::string state() const {
    if (phase_ == Phase::ended)
      return WIFEXITED(status_) ? "ended exit=" + std::to_string(WEXITSTATUS(status_))
                                : "ended signal=" + std::to_string(WTERMSIG(status_));
    static const char* const names[] = {"running", "freezing", "frozen"};
    return names[static_cast<int>(phase_)] + std::string(" deadline=") +
           (deadline_ == never ? "none" : std::to_string(deadline_)) +
           " freezes=" + std::to_string(freezes_) + " pid=" + std::to_string(guest_) +
           " freezer=" + freezer_.name();
  }

  std::string path_;
  Freezer freezer_;
  int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  int lock_ = -1, listener_ = -1, timer_ = -1;
  std::map<int, bool> connections_;  // whether each watches
  pid_t guest_ = -1;
  int status_ = 0;
  Phase phase_ = Phase::running;
  bool killing_ = false;  // or it ended, and what it had started is killed
  std::int64_t deadline_ = never;
  std::uint64_t freezes_ = 0;
};

int main(int count, char** words) {
  std::map<std::string, std::string> given = {
      {"--socket", ""}, {"--freezer", "auto"}, {"--cgroup", ""}};
  int at = 1;
  for (; at + 1 < count && given.contains(words[at]); at += 2) given[words[at]] = words[at + 1];
  const std::string& freezer = given["--freezer"];
  if (at + 1 >= count || std::string_view(words[at]) != "--" ||
      (freezer != "auto" && freezer != "cgroup" && freezer != "signal"))
    fail(
        "usage: supercloud-keeper --socket PATH [--freezer auto|cgroup|signal] [--cgroup FOLDER] "
        "-- PROGRAM ARGUMENT...");
  Keeper keeper;
  keeper.bind(given["--socket"]);
  keeper.start(words + at + 1, freezer, given["--cgroup"]);
  return keeper.run();
}

}  // namespace
}  // namespace supercloud::keeper

int main(int count, char** words) { return supercloud::keeper::main(count, words); }
