#include "hypercall/qemu/qmp_client.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t qmp_read_bytes = 64 << 10;
constexpr int qmp_reads_max = 16;  // of one turn: others have theirs

std::string seconds_of(Duration duration) { return absl::FormatDuration(duration); }

}  // namespace

QmpClient::QmpClient(EventLoop& loop, int fd, QmpClientOptions options, QmpHandler handler)
    : loop_(loop), fd_(fd), options_(std::move(options)), handler_(std::move(handler)) {
  const int flags = ::fcntl(fd_, F_GETFL);
  ::fcntl(fd_, F_SETFL, flags | O_NONBLOCK);
  const absl::Status watched =
      loop_.watch_fd(fd_, EPOLLIN, [this](std::uint32_t events) { on_ready(events); });
  if (!watched.ok()) {
    later([this, watched] { lose(std::string(watched.message())); });
    return;
  }
  greeting_timer_ = loop_.at(loop_.clock().now() + options_.greeting_max, [this] {
    greeting_timer_ = 0;
    lose(absl::StrCat("has not greeted within ", seconds_of(options_.greeting_max)));
  });
}

absl::StatusOr<std::unique_ptr<QmpClient>> QmpClient::connect(EventLoop& loop,
                                                              const std::string& path,
                                                              QmpClientOptions options,
                                                              QmpHandler handler) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("the path of a QMP socket is too long, use a shorter run folder: ", path));
  }
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  // One whose queue is full, for it is frozen, keeps nobody waiting.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (fd >= 0) ::close(fd);
    return absl::UnavailableError(absl::StrCat("QEMU of ", options.vm, " is not reached at ", path,
                                               ": ", std::strerror(error)));
  }
  return std::make_unique<QmpClient>(loop, fd, std::move(options), std::move(handler));
}

QmpClient::~QmpClient() {
  *alive_ = false;
  loop_.cancel(greeting_timer_);
  loop_.cancel(obituary_timer_);
  for (auto& [id, command] : commands_) {
    loop_.cancel(command.deadline);
    if (command.line.fd >= 0) ::close(command.line.fd);
  }
  if (line_ && line_->fd >= 0) ::close(line_->fd);
  if (fd_ >= 0) {
    loop_.unwatch_fd(fd_);
    ::close(fd_);
  }
  // What goes with a reply may ask for something as it goes: it is not taken any more.
  const auto commands = std::exchange(commands_, {});
}

void QmpClient::later(Task task) {
  loop_.post([alive = alive_, task = std::move(task)]() mutable {
    if (*alive) std::move(task)();
  });
}

// ---- commands --------------------------------------------------------------------------------------------------------

void QmpClient::execute(std::string command, QmpValue arguments, Reply<QmpValue> reply, int fd) {
  if (!*alive_) return;
  const auto refuse = [&](absl::Status why) {
    later([reply = std::move(reply), why = std::move(why)]() mutable { reply(std::move(why)); });
  };
  if (state_ == State::lost)
    return refuse(
        absl::UnavailableError(absl::StrCat(command, ": QEMU of ", options_.vm, " ", why_)));
  if (commands_.size() >= options_.commands_max)
    return refuse(absl::ResourceExhaustedError(absl::StrCat(
        command, ": ", options_.commands_max, " commands for ", options_.vm, " are under way")));
  const std::uint64_t id = add(std::move(command), arguments, std::move(reply), fd);
  waiting_.push_back(id);
  send_some();
}

std::uint64_t QmpClient::add(std::string command, const QmpValue& arguments, Reply<QmpValue> reply,
                             int fd) {
  const std::uint64_t id = ++last_id_;
  Command& added = commands_[id];
  added.line.text = qmp_command(command, arguments, id, false);
  added.line.fd = fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  added.name = std::move(command);
  added.reply = std::move(reply);
  const Instant patience = loop_.clock().now() + options_.answer_max +
                           (state_ == State::ready ? Duration() : options_.greeting_max);
  added.deadline = loop_.at(std::min(added.reply.deadline(), patience), [this, id] { expire(id); });
  return id;
}

void QmpClient::expire(std::uint64_t id) {
  const auto found = commands_.find(id);
  if (found == commands_.end()) return;
  Command command = std::move(found->second);
  commands_.erase(found);
  const auto waiting = std::find(waiting_.begin(), waiting_.end(), id);
  const bool sent = waiting == waiting_.end();
  if (!sent) waiting_.erase(waiting);
  if (command.line.fd >= 0) ::close(command.line.fd);
  command.reply(absl::DeadlineExceededError(
      absl::StrCat(command.name, ": QEMU of ", options_.vm,
                   sent ? " has not answered in time" : " took no command in time")));
}

void QmpClient::send_some() {
  if (state_ == State::lost || state_ == State::greeting) return;
  for (;;) {
    if (!line_) {
      const bool may =
          state_ == State::ready || (!waiting_.empty() && waiting_.front() == negotiation_);
      if (waiting_.empty() || !may || in_flight_ >= in_flight_max) break;
      const std::uint64_t id = waiting_.front();
      waiting_.pop_front();
      line_ = std::exchange(commands_.at(id).line, {});
      ++in_flight_;
    }
    if (!write_line()) break;
  }
  if (state_ != State::lost) loop_.change_fd(fd_, line_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

bool QmpClient::write_line() {
  iovec part{line_->text.data() + line_->written, line_->text.size() - line_->written};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (line_->fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &line_->fd, sizeof(int));
  }
  const ssize_t written = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (written < 0) {
    if (errno == EINTR) return true;
    // An end that QEMU's last words may stand before: reading finds it.
    if (errno != EAGAIN && errno != EPIPE && errno != ECONNRESET) {
      later([this, error = errno] {
        lose(absl::StrCat("takes no commands: ", std::strerror(error)));
      });
    }
    return false;
  }
  if (line_->fd >= 0) ::close(std::exchange(line_->fd, -1));
  line_->written += static_cast<std::size_t>(written);
  if (line_->written == line_->text.size()) line_.reset();
  return true;
}

// ---- what arrives ----------------------------------------------------------------------------------------------------

void QmpClient::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) send_some();
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_some();
}

void QmpClient::read_some() {
  const std::shared_ptr<bool> alive = alive_;
  for (int i = 0; i < qmp_reads_max; ++i) {
    const std::size_t had = in_.size();
    in_.resize(had + qmp_read_bytes);
    const ssize_t got = ::recv(fd_, in_.data() + had, qmp_read_bytes, MSG_DONTWAIT);
    const int error = errno;
    in_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    // A reset: it ended without having read all.
    if (got == 0 || (got < 0 && error == ECONNRESET)) return lose("closed its QMP socket");
    if (got < 0) {
      if (error == EINTR) continue;
      if (error != EAGAIN) lose(absl::StrCat("is lost: ", std::strerror(error)));
      return;
    }
    if (!take_lines() || !*alive || state_ == State::lost) return;
  }
}

bool QmpClient::take_lines() {
  const std::shared_ptr<bool> alive = alive_;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = in_.find('\n', begin);
    if (end == std::string::npos) break;
    std::string_view line(in_.data() + begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !take(line)) return false;
    if (!*alive || state_ == State::lost) return false;
    begin = end + 1;
  }
  in_.erase(0, begin);
  if (in_.size() > qmp_line_bytes_max) {
    lose(absl::StrCat("sent a line of more than ", qmp_line_bytes_max, " bytes"));
    return false;
  }
  return true;
}

bool QmpClient::take(std::string_view line) {
  absl::StatusOr<QmpMessage> message = parse_qmp(line);
  if (!message.ok()) {
    lose(absl::StrCat("sent ", std::string(message.status().message())));
    return false;
  }
  if (const auto* greeting = std::get_if<QmpGreeting>(&*message)) {
    if (state_ != State::greeting) {
      lose("greeted twice");
      return false;
    }
    negotiate(*greeting);
  } else if (state_ == State::greeting) {
    lose("did not begin with a greeting");
    return false;
  } else if (auto* answer = std::get_if<QmpAnswer>(&*message)) {
    if (answer->id == 0 || answer->id > last_id_) {
      lose(absl::StrCat("answered a command that it never got, number ", answer->id));
      return false;
    }
    take_answer(std::move(*answer));
  } else if (const auto* complaint = std::get_if<QmpComplaint>(&*message)) {
    lose(absl::StrCat("could not read a command: ", complaint->error));
    return false;
  } else if (const auto* event = std::get_if<QmpEvent>(&*message)) {
    if (handler_.on_event) handler_.on_event(*event);
  }
  return true;
}

void QmpClient::negotiate(const QmpGreeting& greeting) {
  version_ = greeting.version;
  state_ = State::negotiating;
  QmpValue arguments = QmpValue::object();
  if (greeting.oob) arguments["enable"] = QmpValue::array({"oob"});
  negotiation_ = add("qmp_capabilities", arguments,
                     Reply<QmpValue>(far_future,
                                     [this](absl::StatusOr<QmpValue> done) {
                                       if (!done.ok())
                                         return lose(std::string(done.status().message()));
                                       loop_.cancel(std::exchange(greeting_timer_, 0));
                                       state_ = State::ready;
                                     }),
                     -1);
  waiting_.push_front(negotiation_);
  send_some();
}

void QmpClient::take_answer(QmpAnswer answer) {
  if (in_flight_ > 0) --in_flight_;
  const auto found = commands_.find(answer.id);
  const bool sent = std::find(waiting_.begin(), waiting_.end(), answer.id) == waiting_.end();
  if (!sent) return lose(absl::StrCat("answered a command before it got it, number ", answer.id));
  const std::shared_ptr<bool> alive = alive_;
  if (found != commands_.end()) {  // else it comes too late
    Command command = std::move(found->second);
    commands_.erase(found);
    loop_.cancel(command.deadline);
    if (answer.failed) {
      command.reply(error_of(command.name, answer));
    } else {
      command.reply(std::move(answer.value));
    }
  }
  if (*alive) send_some();
}

absl::Status QmpClient::error_of(const std::string& command, const QmpAnswer& answer) const {
  const std::string text =
      absl::StrCat(command, " for ", options_.vm, ": QEMU says: ", answer.error);
  if (answer.error_class == "CommandNotFound") return absl::NotFoundError(text);
  return absl::UnknownError(text);
}

// ---- the end ---------------------------------------------------------------------------------------------------------

void QmpClient::lose(std::string why) {
  if (state_ == State::lost) return;
  state_ = State::lost;
  why_ = std::move(why);
  loop_.cancel(std::exchange(greeting_timer_, 0));
  loop_.unwatch_fd(fd_);
  ::close(std::exchange(fd_, -1));
  if (!handler_.obituary) return later([this] { bury(""); });
  obituary_timer_ = loop_.at(loop_.clock().now() + obituary_max, [this] {
    obituary_timer_ = 0;
    bury("");
  });
  later([this] {
    handler_.obituary(Reply<std::string>(
        far_future, [this, alive = std::weak_ptr<bool>(alive_)](absl::StatusOr<std::string> said) {
          if (!alive.expired() && obituary_timer_ != 0) {
            loop_.cancel(std::exchange(obituary_timer_, 0));
            bury(said.ok() ? *said : "");
          }
        }));
  });
}

void QmpClient::bury(const std::string& obituary) {
  why_ += obituary;
  const absl::Status why = absl::UnavailableError(absl::StrCat("QEMU of ", options_.vm, " ", why_));
  const std::shared_ptr<bool> alive = alive_;
  waiting_.clear();
  std::map<std::uint64_t, Command> commands = std::exchange(commands_, {});
  for (auto& [id, command] : commands) {
    loop_.cancel(command.deadline);
    if (command.line.fd >= 0) ::close(command.line.fd);
  }
  for (auto& [id, command] : commands) {
    command.reply(absl::UnavailableError(absl::StrCat(command.name, ": ", why.message())));
  }
  if (*alive && handler_.on_lost) handler_.on_lost(why);
}

}  // namespace supercloud
