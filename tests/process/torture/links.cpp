#include "tests/process/torture/links.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace supercloud::torture {
namespace {

constexpr std::size_t bytes_max = 64 << 10;  // on their way in one direction

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress address_of(const std::string& endpoint) {
  SocketAddress address;
  if (endpoint.starts_with("ipc://")) {
    auto* unix_address = reinterpret_cast<sockaddr_un*>(&address.storage);
    const std::string path = endpoint.substr(6);
    unix_address->sun_family = AF_UNIX;
    if (path.size() >= sizeof unix_address->sun_path) std::abort();
    std::memcpy(unix_address->sun_path, path.c_str(), path.size() + 1);
    address.size = sizeof *unix_address;
    return address;
  }
  auto* tcp = reinterpret_cast<sockaddr_in*>(&address.storage);
  const std::size_t colon = endpoint.rfind(':');
  tcp->sin_family = AF_INET;
  tcp->sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(colon + 1))));
  if (::inet_pton(AF_INET, endpoint.substr(6, colon - 6).c_str(), &tcp->sin_addr) != 1)
    std::abort();
  address.size = sizeof *tcp;
  return address;
}

int new_socket(const SocketAddress& address, int flags) {
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  const int on = 1;
  if (fd >= 0) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

}  // namespace

Links::Links() : wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

Links::~Links() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
  for (Connection& connection : connections_) close(connection);
  for (const Link& link : links_) ::close(link.listener);
  ::close(wake_fd_);
}

void Links::add(const std::string& from, const std::string& to) {
  const SocketAddress address = address_of(from);
  const int fd = new_socket(address, SOCK_NONBLOCK);
  if (fd < 0 || ::bind(fd, address.get(), address.size) != 0 || ::listen(fd, 64) != 0) {
    std::perror(from.c_str());
    std::abort();
  }
  links_.push_back({.to = to, .listener = fd});
}

void Links::start() {
  thread_ = std::thread([this] { run(); });
}

void Links::cut(std::size_t link, double probability, unsigned seed) {
  std::mt19937 random(seed);
  {
    const std::lock_guard lock(mutex_);
    for (auto next = connections_.begin(); next != connections_.end();) {
      const bool spared =
          next->link != link || std::generate_canonical<double, 32>(random) >= probability;
      if (spared) {
        ++next;
        continue;
      }
      close(*next);
      next = connections_.erase(next);
      ++broken_;
    }
  }
  wake();
}

void Links::refuse(std::size_t link, bool refused) {
  const std::lock_guard lock(mutex_);
  links_[link].refused = refused;
}

void Links::stall(std::size_t link, bool stalled) {
  {
    const std::lock_guard lock(mutex_);
    links_[link].stalled = stalled;
  }
  wake();
}

std::size_t Links::broken() const {
  const std::lock_guard lock(mutex_);
  return broken_;
}

void Links::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
}

void Links::close(Connection& connection) {
  for (const int fd : {connection.ways[0].from, connection.ways[0].to}) {
    const linger now{.l_onoff = 1, .l_linger = 0};  // a reset, where that is known
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd);
  }
}

// False: the connection has ended.
bool Links::pass(Way& way) const {
  char bytes[16 << 10];
  while (!way.ended && way.bytes.size() < bytes_max) {
    const ssize_t got = ::recv(way.from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (got < 0) return false;
    if (got == 0) way.ended = true;
    way.bytes.append(bytes, static_cast<std::size_t>(got));
  }
  while (!way.bytes.empty()) {
    const ssize_t sent =
        ::send(way.to, way.bytes.data(), way.bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (sent < 0) return false;
    way.bytes.erase(0, static_cast<std::size_t>(sent));
  }
  return !way.ended || !way.bytes.empty();
}

void Links::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    std::vector<pollfd> waited{{.fd = wake_fd_, .events = POLLIN, .revents = 0}};
    for (const Link& link : links_)
      waited.push_back({.fd = link.listener, .events = POLLIN, .revents = 0});
    for (const Connection& connection : connections_) {
      if (links_[connection.link].stalled) continue;
      for (const Way& way : connection.ways) {
        if (!way.ended && way.bytes.size() < bytes_max)
          waited.push_back({.fd = way.from, .events = POLLIN, .revents = 0});
        if (!way.bytes.empty()) waited.push_back({.fd = way.to, .events = POLLOUT, .revents = 0});
      }
    }
    lock.unlock();
    ::poll(waited.data(), waited.size(), -1);
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t read = ::read(wake_fd_, &count, sizeof count);
    lock.lock();
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const int from =
          ::accept4(links_[i].listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (from < 0) continue;
      const SocketAddress address = address_of(links_[i].to);
      // On one machine a connection is there at once, or refused.
      const int to = links_[i].refused ? -1 : new_socket(address, 0);
      if (to < 0 || ::connect(to, address.get(), address.size) != 0) {
        if (to >= 0) ::close(to);
        ::close(from);
        continue;
      }
      connections_.push_back({.link = i, .ways = {{from, to, {}, false}, {to, from, {}, false}}});
    }
    for (auto next = connections_.begin(); next != connections_.end();) {
      if (links_[next->link].stalled || (pass(next->ways[0]) && pass(next->ways[1]))) {
        ++next;
        continue;
      }
      close(*next);
      next = connections_.erase(next);
    }
  }
}

}  // namespace supercloud::torture
