// How a keeper is started so that it is nobody's child: this process forks one that forks the keeper, and ends.
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hypercall/keeper/keeper_client.h"
#include "hypercall/keeper/protocol.h"

namespace supercloud {
namespace {

constexpr Duration start_time_max = absl::Seconds(10);
constexpr Duration look_again = absl::Milliseconds(1);
constexpr std::streamoff last_words_bytes_max = 4096;  // looked at, of an output of any size

std::vector<std::string> command_of(const KeeperOptions& options) {
  std::vector<std::string> words = {options.program, "--socket", options.socket, "--freezer",
                                    options.freezer};
  if (!options.cgroup.empty()) words.insert(words.end(), {"--cgroup", options.cgroup});
  words.emplace_back("--");
  words.insert(words.end(), options.guest.begin(), options.guest.end());
  return words;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// After fork(): nothing here allocates or locks, for another thread may have held the lock.
[[noreturn]] void become(char* const* words, const char* output) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < SIGRTMIN; ++signal) ::signal(signal, SIG_DFL);
  const int in = ::open("/dev/null", O_RDONLY);
  const int out = ::open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  ::execv(words[0], words);
  ::_exit(127);
}

// The keeper's process.
absl::StatusOr<pid_t> launch(const KeeperOptions& options) {
  std::vector<std::string> words = command_of(options);
  const std::vector<char*> pointers = pointers_to(words);
  int told[2] = {-1, -1};
  if (::pipe2(told, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe for a keeper");
  const pid_t between = ::fork();
  if (between == 0) {
    ::setsid();
    const pid_t keeper = ::fork();
    if (keeper == 0) become(pointers.data(), options.output.c_str());
    ::_exit(::write(told[1], &keeper, sizeof keeper) == sizeof keeper ? 0 : 1);
  }
  ::close(told[1]);
  pid_t keeper = -1;
  const bool known = between > 0 && ::read(told[0], &keeper, sizeof keeper) == sizeof keeper;
  ::close(told[0]);
  if (between > 0) ::waitpid(between, nullptr, 0);
  if (!known || keeper < 0)
    return absl::ResourceExhaustedError("no process for a keeper; raise the limit of processes");
  return keeper;
}

// The last line of what was said, if there is one.
std::string last_words(const std::string& output) {
  std::ifstream file(output, std::ios::ate);
  file.seekg(std::max<std::streamoff>(file.tellg() - std::streampos(last_words_bytes_max), 0));
  std::string line;
  std::string last;
  while (std::getline(file, line))
    if (!line.empty()) last = std::move(line);
  return last.empty() ? "" : absl::StrCat(": ", last);
}

// A keeper that was started and has not answered yet. Its own owner: it goes when it has replied.
class Starting {
 public:
  Starting(EventLoop& loop, KeeperOptions options, KeeperClient::Changed changed,
           Reply<std::unique_ptr<KeeperClient>> reply)
      : loop_(loop),
        options_(std::move(options)),
        changed_(std::move(changed)),
        reply_(std::move(reply)),
        end_(loop.clock().now() + start_time_max) {}
  ~Starting() {
    if (process_ >= 0) ::close(process_);
  }
  Starting(const Starting&) = delete;
  Starting& operator=(const Starting&) = delete;

  absl::Status launch_now() {
    absl::StatusOr<pid_t> keeper = launch(options_);
    if (!keeper.ok()) return keeper.status();
    process_ = static_cast<int>(::syscall(SYS_pidfd_open, *keeper, 0));
    if (process_ >= 0 || errno == ESRCH) return absl::OkStatus();  // ESRCH: it has ended already
    // Nobody would know when it ends.
    ::kill(*keeper, SIGKILL);
    return absl::ResourceExhaustedError(
        "no descriptor for a keeper; raise the limit of open files");
  }

  static void look(std::unique_ptr<Starting> self) {
    EventLoop& loop = self->loop_;
    const bool lives =
        self->process_ >= 0 && ::syscall(SYS_pidfd_send_signal, self->process_, 0, nullptr, 0) == 0;
    absl::StatusOr<std::unique_ptr<KeeperClient>> found =
        KeeperClient::find(loop, self->options_.socket, self->changed_);
    const bool late = loop.clock().now() >= self->end_;
    if (found.ok() || !lives || late) {
      // It may not have its lock yet, so that a sweep would take it for dead.
      if (!found.ok() && lives)
        ::syscall(SYS_pidfd_send_signal, self->process_, SIGKILL, nullptr, 0);
      if (!found.ok())
        found = absl::FailedPreconditionError(
            absl::StrCat("the keeper of ", self->options_.guest[0],
                         lives ? " does not answer" : " ended", last_words(self->options_.output)));
      return self->reply_(std::move(found));
    }
    loop.at(loop.clock().now() + look_again,
            [self = std::move(self)]() mutable { look(std::move(self)); });
  }

  Reply<std::unique_ptr<KeeperClient>> take_reply() { return std::move(reply_); }

 private:
  EventLoop& loop_;
  const KeeperOptions options_;
  const KeeperClient::Changed changed_;
  Reply<std::unique_ptr<KeeperClient>> reply_;
  const Instant end_;
  int process_ = -1;  // a pidfd
};

}  // namespace

void KeeperClient::start(EventLoop& loop, const KeeperOptions& options, Changed changed,
                         Reply<std::unique_ptr<KeeperClient>> reply) {
  if (options.guest.empty())
    return reply(absl::InvalidArgumentError("a keeper needs a guest; name its program"));
  if (!absl::IsNotFound(find(loop, options.socket, nullptr).status()))
    return reply(absl::AlreadyExistsError(
        absl::StrCat(options.socket, " has a keeper; kill that first, or give another path")));
  auto starting = std::make_unique<Starting>(loop, options, std::move(changed), std::move(reply));
  if (absl::Status launched = starting->launch_now(); !launched.ok())
    return starting->take_reply()(std::move(launched));
  Starting::look(std::move(starting));
}

void KeeperClient::sweep(EventLoop& loop, KeeperOptions options, Reply<Done> reply) {
  options.guest = {"/bin/true"};
  std::vector<std::string> words = command_of(options);
  const std::vector<char*> pointers = pointers_to(words);
  const pid_t keeper = ::fork();
  if (keeper == 0) become(pointers.data(), options.output.c_str());
  if (keeper < 0)
    return reply(
        absl::ResourceExhaustedError("no process for a keeper; raise the limit of processes"));
  auto ended = [keeper, socket = options.socket, output = options.output,
                reply = std::move(reply)]() mutable {
    int status = -1;
    if (::waitpid(keeper, &status, 0) == keeper && status == 0) return reply(Done{});
    const bool lives = WIFEXITED(status) && WEXITSTATUS(status) == keeper::exit_another_lives;
    reply(
        absl::Status(lives ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kUnavailable,
                     absl::StrCat("what a keeper left at ", socket, " stays", last_words(output))));
  };
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, keeper, 0));
  if (process < 0) return ended();  // no descriptor is left: it is waited for here
  auto shared = std::make_shared<decltype(ended)>(std::move(ended));
  const absl::Status watched =
      loop.watch_fd(process, EPOLLIN, [&loop, process, shared](std::uint32_t) {
        // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): this function goes before what it calls
        const auto now = shared;
        loop.unwatch_fd(process);
        ::close(process);
        (*now)();
      });
  if (watched.ok()) return;
  ::close(process);
  (*shared)();
}

}  // namespace supercloud
