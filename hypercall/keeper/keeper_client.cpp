#include "hypercall/keeper/keeper_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/text.h"
#include "hypercall/keeper/protocol.h"

namespace supercloud {
namespace {

template <class Number>
bool read_number(absl::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && parsed == end;
}

// NotFound: nobody listens.
absl::StatusOr<int> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(
        absl::StrCat("a keeper's socket has a path of 1 to 107 bytes, not ", path));
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket of a keeper");
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  ::close(fd);
  if (error == ENOENT || error == ECONNREFUSED)
    return absl::NotFoundError(absl::StrCat("no keeper at ", path));
  return absl::UnavailableError(
      absl::StrCat("keeper at ", path, ": ", std::strerror(error)));  // EAGAIN: a full queue
}

absl::StatusOr<KeeperState> receive(int fd) {
  char packet[keeper::packet_bytes_max];
  const ssize_t size = ::recv(fd, packet, sizeof packet, MSG_DONTWAIT);
  if (size > 0) return parse_keeper_answer({packet, static_cast<std::size_t>(size)});
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return absl::UnavailableError("no answer");
  return absl::NotFoundError("the keeper is gone");
}

// What it said before it was gone can still be read.
absl::Status send_to(int fd, const std::string& command) {
  if (::send(fd, command.data(), command.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
      errno == EAGAIN)
    return absl::UnavailableError("the keeper reads nothing; it may be stopped");
  return absl::OkStatus();
}

absl::StatusOr<KeeperState> wait_for_answer(int fd, const std::string& command) {
  const LiveClock clock;
  const Instant end = clock.now() + KeeperClient::answer_time_max;
  while (true) {
    const Duration left = end - clock.now();
    if (left <= absl::ZeroDuration())
      return absl::UnavailableError(
          absl::StrCat("the keeper does not answer ", command, "; it may be stopped"));
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) > 0)
      return receive(fd);
  }
}

}  // namespace

absl::StatusOr<KeeperState> parse_keeper_answer(std::string_view packet) {
  const absl::string_view text = absl_view(packet);
  const auto nonsense = [&] {
    return absl::InvalidArgumentError(absl::StrCat("no answer of a keeper: ", text.substr(0, 128)));
  };
  std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  KeeperState state;
  if (words[0] == "error" && words.size() > 1)
    return absl::FailedPreconditionError(absl::StrCat("keeper: ", text.substr(6)));
  if (words[0] == "ended") {
    int code = 0;
    if (words.size() != 2) return nonsense();
    for (const absl::string_view kind : {"exit=", "signal="})
      if (words[1].substr(0, kind.size()) == kind &&
          read_number(words[1].substr(kind.size()), code)) {
        state.end = std::string(words[1]);
        return state;
      }
    return nonsense();
  }
  if (words[0] == "running")
    state.phase = KeeperState::Phase::running;
  else if (words[0] == "freezing")
    state.phase = KeeperState::Phase::freezing;
  else if (words[0] == "frozen")
    state.phase = KeeperState::Phase::frozen;
  else
    return nonsense();
  bool good = words.size() == 5;
  const auto field = [&](std::size_t index, absl::string_view name) {
    if (good && words[index].substr(0, name.size()) == name)
      return words[index].substr(name.size());
    good = false;
    return absl::string_view();
  };
  if (const absl::string_view deadline = field(1, "deadline="); deadline != "none") {
    state.deadline = Instant{};
    good = good && read_number(deadline, state.deadline->ns);
  }
  good = good && read_number(field(2, "freezes="), state.freezes) &&
         read_number(field(3, "pid="), state.guest);
  state.freezer = std::string(field(4, "freezer="));
  if (!good) return nonsense();
  return state;
}

KeeperClient::KeeperClient(EventLoop& loop, std::string socket, Changed changed)
    : loop_(loop), socket_(std::move(socket)), changed_(std::move(changed)) {}

KeeperClient::~KeeperClient() {
  if (watched_ >= 0) loop_.unwatch_fd(watched_);
  for (const int fd : {commands_, watched_})
    if (fd >= 0) ::close(fd);
}

absl::StatusOr<std::unique_ptr<KeeperClient>> KeeperClient::find(EventLoop& loop,
                                                                 std::string socket,
                                                                 Changed changed) {
  std::unique_ptr<KeeperClient> client(
      new KeeperClient(loop, std::move(socket), std::move(changed)));
  if (absl::Status connected = client->connect(); !connected.ok()) return connected;
  return client;
}

// A client whose keeper has not answered yet.
struct KeeperClient::Finding {
  std::unique_ptr<KeeperClient> client;
  Reply<std::unique_ptr<KeeperClient>> reply;
  TimerId timer = 0;

  // Its loop may end first, and watches nothing then.
  ~Finding() {
    if (client != nullptr && client->watched_ >= 0) ::close(std::exchange(client->watched_, -1));
  }
  static void end(const std::shared_ptr<Finding>& self, absl::StatusOr<KeeperState> state) {
    EventLoop& loop = self->client->loop_;
    loop.cancel(self->timer);
    loop.unwatch_fd(self->client->watched_);
    const absl::Status status = self->client->begin(std::move(state));
    if (!status.ok()) return self->reply(status);
    self->reply(std::move(self->client));
  }
};

void KeeperClient::find(EventLoop& loop, std::string socket, Changed changed,
                        Reply<std::unique_ptr<KeeperClient>> reply) {
  std::unique_ptr<KeeperClient> client(
      new KeeperClient(loop, std::move(socket), std::move(changed)));
  absl::StatusOr<int> watched = connect_to(client->socket_);
  if (!watched.ok()) return reply(watched.status());
  const int fd = client->watched_ = *watched;
  absl::Status status = send_to(fd, "watch");
  const auto finding = std::make_shared<Finding>();
  finding->client = std::move(client);
  finding->reply = std::move(reply);
  if (status.ok())
    status = loop.watch_fd(fd, EPOLLIN, [finding, fd](std::uint32_t) {
      // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): this function goes before what it calls
      const std::shared_ptr<Finding> self = finding;
      absl::StatusOr<KeeperState> state = receive(fd);
      if (!absl::IsUnavailable(state.status())) Finding::end(self, std::move(state));
    });
  if (!status.ok()) return Finding::end(finding, status);
  finding->timer = loop.at(loop.clock().now() + answer_time_max, [finding] {
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): as above
    const std::shared_ptr<Finding> self = finding;
    self->timer = 0;
    Finding::end(self, absl::UnavailableError(absl::StrCat("the keeper at ", self->client->socket_,
                                                           " does not answer; it may be stopped")));
  });
}

absl::Status KeeperClient::connect() {
  absl::StatusOr<int> watched = connect_to(socket_);
  if (!watched.ok()) return watched.status();
  watched_ = *watched;
  if (const absl::Status sent = send_to(watched_, "watch"); !sent.ok()) return begin(sent);
  return begin(wait_for_answer(watched_, "watch"));
}

absl::Status KeeperClient::begin(absl::StatusOr<KeeperState> state) {
  absl::Status status = state.status();
  if (status.ok() && state->phase == KeeperState::Phase::ended)
    status = absl::NotFoundError(absl::StrCat("the guest ended: ", state->end));
  if (status.ok())
    status = loop_.watch_fd(watched_, EPOLLIN, [this](std::uint32_t) { on_watched(); });
  if (!status.ok()) {
    ::close(std::exchange(watched_, -1));
    return status;
  }
  last_ = *std::move(state);
  return absl::OkStatus();
}

absl::StatusOr<KeeperState> KeeperClient::ask(const std::string& command) {
  if (watched_ < 0) return absl::NotFoundError(absl::StrCat("the guest ended: ", last_.end));
  if (commands_ < 0) {
    absl::StatusOr<int> made = connect_to(socket_);
    if (!made.ok()) return made.status();
    commands_ = *made;
    owed_ = 0;
  }
  absl::StatusOr<KeeperState> state = KeeperState{};
  const auto is_answer = [&] { return state.ok() || absl::IsFailedPrecondition(state.status()); };
  // Answers come in the order of their commands.
  while (owed_ > 0 && is_answer()) {
    state = receive(commands_);
    if (is_answer()) --owed_;
  }
  if (is_answer() || absl::IsUnavailable(state.status())) {
    if (const absl::Status sent = send_to(commands_, command); !sent.ok()) return sent;
    if (owed_++ > 0)
      return absl::UnavailableError(
          "the keeper has not answered what it was asked before; it may be stopped");
    state = wait_for_answer(commands_, command);
    if (is_answer()) --owed_;
    if (absl::IsUnavailable(state.status())) return state;
  }
  if (!is_answer()) ::close(std::exchange(commands_, -1));
  if (state.ok() && state->phase == KeeperState::Phase::ended)
    return absl::NotFoundError(absl::StrCat("the guest ended: ", state->end));
  return state;
}

absl::StatusOr<KeeperState> KeeperClient::arm(Instant deadline) {
  return ask(absl::StrCat("arm ", std::max<std::int64_t>(deadline.ns, 0)));
}
absl::StatusOr<KeeperState> KeeperClient::thaw(Instant deadline) {
  return ask(absl::StrCat("thaw ", std::max<std::int64_t>(deadline.ns, 0)));
}

void KeeperClient::kill(Reply<KeeperState> reply) {
  if (watched_ < 0) return reply(last_);
  // The answer is what everybody is told.
  if (::send(watched_, "kill", 4, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN)
    return reply(absl::UnavailableError("the keeper reads nothing; it may be stopped"));
  killed_.push_back(std::move(reply));
}

void KeeperClient::on_watched() {
  absl::StatusOr<KeeperState> state = receive(watched_);
  if (absl::IsUnavailable(state.status())) return;
  if (!state.ok()) return end(lost);
  if (state->phase == KeeperState::Phase::ended) return end(state->end);
  last_ = *std::move(state);
  if (changed_) changed_(KeeperState(last_));
}

void KeeperClient::end(std::string how) {
  loop_.unwatch_fd(watched_);
  ::close(std::exchange(watched_, -1));
  last_.phase = KeeperState::Phase::ended;
  last_.deadline.reset();
  last_.guest = 0;
  last_.end = std::move(how);
  // Whoever is told may destroy this object.
  const KeeperState last = last_;
  std::vector<Reply<KeeperState>> killed = std::exchange(killed_, {});
  Changed changed = std::exchange(changed_, nullptr);
  for (Reply<KeeperState>& reply : killed) reply(last);
  if (changed) changed(last);
}

}  // namespace supercloud
