#include "hypercall/qemu/stream_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/lost_peer.h"
#include "hypercall/qemu/handshake.h"

namespace supercloud {
namespace {

struct StreamAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

absl::StatusOr<StreamAddress> stream_address(const std::string& endpoint) {
  StreamAddress address;
  if (endpoint.starts_with("unix:")) {
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    const std::string path = endpoint.substr(5);
    if (path.empty() || path.size() >= sizeof un.sun_path) {
      return absl::InvalidArgumentError(
          absl::StrCat(endpoint, ": a socket's path has 1 to 107 bytes; use a shorter folder"));
    }
    path.copy(un.sun_path, sizeof un.sun_path - 1);
    std::memcpy(&address.storage, &un, sizeof un);
    address.size = sizeof un;
    return address;
  }
  sockaddr_in in{};
  in.sin_family = AF_INET;
  const std::size_t colon = endpoint.rfind(':');
  std::uint32_t port = 0;
  if (!endpoint.starts_with("tcp:") || colon < 4 ||
      ::inet_pton(AF_INET, endpoint.substr(4, colon - 4).c_str(), &in.sin_addr) != 1 ||
      !absl::SimpleAtoi(endpoint.substr(colon + 1), &port) || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", endpoint, "\" is no endpoint: write unix:/path or tcp:1.2.3.4:port"));
  }
  in.sin_port = htons(static_cast<std::uint16_t>(port));
  std::memcpy(&address.storage, &in, sizeof in);
  address.size = sizeof in;
  return address;
}

absl::Status stream_error(const std::string& what, const std::string& endpoint, int error) {
  return absl::UnavailableError(absl::StrCat(what, " ", endpoint, ": ", std::strerror(error)));
}

absl::Status no_stream(const std::string& endpoint, int error) {
  constexpr std::array said_there = {ECONNREFUSED, ECONNRESET,  EPIPE,
                                     EHOSTUNREACH, ENETUNREACH, ENOENT};
  const auto code = std::ranges::find(said_there, error) != said_there.end()
                        ? absl::StatusCode::kUnavailable
                    : error == ETIMEDOUT ? absl::StatusCode::kDeadlineExceeded
                                         : absl::StatusCode::kResourceExhausted;
  return {code, absl::StrCat("no stream to ", endpoint, ": ", std::strerror(error))};
}

void send_at_once(int fd) {
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // no matter on unix
  notice_lost_peer(fd);                                          // QEMU has the socket as it is
}

// A connection that is being made.
struct Connecting {
  EventLoop& loop;
  OwnFd fd;
  std::string endpoint;
  std::string token;
  Reply<OwnFd> reply;
  TimerId timer = 0;
  std::shared_ptr<Connecting> self = nullptr;  // until it is done

  void end(absl::StatusOr<OwnFd> result) {
    const std::shared_ptr<Connecting> alive = give_up();
    reply(std::move(result));
  }
  std::shared_ptr<Connecting> give_up() {
    loop.unwatch_fd(fd.get());
    loop.cancel(timer);
    return std::move(self);
  }
  void ready() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return end(no_stream(endpoint, error));
    // So few bytes fit into any socket that is new.
    if (::send(fd.get(), token.data(), token.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(token.size())) {
      return end(no_stream(endpoint, errno));
    }
    loop.unwatch_fd(fd.get());
    OwnFd done(fd.release());
    const std::shared_ptr<Connecting> alive = std::move(self);
    loop.cancel(timer);
    reply(std::move(done));
  }
};

}  // namespace

OwnFd& OwnFd::operator=(OwnFd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}
OwnFd::~OwnFd() {
  if (fd_ >= 0) ::close(fd_);
}
int OwnFd::release() { return std::exchange(fd_, -1); }

struct StreamListener::Unknown {
  OwnFd fd;
  std::string token;
  TimerId timer = 0;
};

absl::StatusOr<std::unique_ptr<StreamListener>> StreamListener::open(EventLoop& loop,
                                                                     const std::string& endpoint,
                                                                     OnStream on_stream) {
  auto address = stream_address(endpoint);
  if (!address.ok()) return address.status();
  const bool local = endpoint.starts_with("unix:");
  if (local) ::unlink(endpoint.c_str() + 5);  // of one that was killed
  OwnFd fd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd.get() < 0 || ::bind(fd.get(), address->get(), address->size) != 0 ||
      ::listen(fd.get(), static_cast<int>(unknown_max)) != 0) {
    return stream_error("cannot listen for QEMU's streams at", endpoint, errno);
  }
  std::string bound = endpoint;
  if (!local) {
    sockaddr_in in{};
    socklen_t size = sizeof in;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&in), &size);
    bound = absl::StrCat(endpoint.substr(0, endpoint.rfind(':') + 1), ntohs(in.sin_port));
  }
  std::unique_ptr<StreamListener> listener(
      new StreamListener(loop, std::move(fd), std::move(bound), std::move(on_stream)));
  auto* raw = listener.get();
  const absl::Status watched =
      loop.watch_fd(raw->fd_.get(), EPOLLIN, [raw](std::uint32_t) { raw->accept(); });
  if (!watched.ok()) return watched;
  return listener;
}

StreamListener::StreamListener(EventLoop& loop, OwnFd fd, std::string endpoint, OnStream on_stream)
    : loop_(loop),
      fd_(std::move(fd)),
      endpoint_(std::move(endpoint)),
      on_stream_(std::move(on_stream)) {}

StreamListener::~StreamListener() {
  for (const auto& [fd, unknown] : unknown_) {
    loop_.unwatch_fd(fd);
    loop_.cancel(unknown->timer);
  }
  loop_.unwatch_fd(fd_.get());
  if (endpoint_.starts_with("unix:")) ::unlink(endpoint_.c_str() + 5);
}

void StreamListener::accept() {
  const int fd = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  auto unknown = std::make_shared<Unknown>();
  unknown->fd = OwnFd(fd);
  if (unknown_.size() >= unknown_max) return;  // closed
  send_at_once(fd);
  if (!loop_.watch_fd(fd, EPOLLIN, [this, fd](std::uint32_t) { read(fd); }).ok()) return;
  unknown->timer = loop_.at(loop_.clock().now() + qemu_handshake::token_max, [this, fd] {
    loop_.unwatch_fd(fd);
    unknown_.erase(fd);
  });
  unknown_[fd] = std::move(unknown);
}

void StreamListener::read(int fd) {
  const std::shared_ptr<Unknown> unknown = unknown_.at(fd);
  std::array<char, qemu_handshake::token_bytes> bytes{};
  const std::size_t wanted = bytes.size() - unknown->token.size();
  const ssize_t got = ::recv(fd, bytes.data(), wanted, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) unknown->token.append(bytes.data(), static_cast<std::size_t>(got));
  if (got > 0 && unknown->token.size() < qemu_handshake::token_bytes) return;
  loop_.unwatch_fd(fd);
  loop_.cancel(unknown->timer);
  unknown_.erase(fd);
  if (got > 0) on_stream_(unknown->token, std::move(unknown->fd));
}

std::function<void()> connect_stream(EventLoop& loop, const std::string& endpoint,
                                     const std::string& token, Reply<OwnFd> reply) {
  const auto failed = [&](absl::Status why) {
    reply(std::move(why));
    return [] {};
  };
  auto address = stream_address(endpoint);
  if (!address.ok()) return failed(address.status());
  OwnFd fd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return failed(no_stream(endpoint, errno));
  send_at_once(fd.get());
  const int connected = ::connect(fd.get(), address->get(), address->size);
  if (connected != 0 && errno != EINPROGRESS) return failed(no_stream(endpoint, errno));
  auto connecting = std::make_shared<Connecting>(
      Connecting{loop, std::move(fd), endpoint, token, std::move(reply)});
  connecting->self = connecting;
  auto* raw = connecting.get();
  raw->timer = loop.at(loop.clock().now() + qemu_handshake::token_max, [raw] {
    raw->timer = 0;
    raw->end(no_stream(raw->endpoint, ETIMEDOUT));
  });
  const absl::Status watched =
      loop.watch_fd(raw->fd.get(), EPOLLOUT, [raw](std::uint32_t) { raw->ready(); });
  if (!watched.ok()) raw->end(watched);
  return [weak = std::weak_ptr<Connecting>(connecting)] {
    if (const auto alive = weak.lock(); alive != nullptr && alive->self != nullptr)
      (void)alive->give_up();
  };
}

}  // namespace supercloud
