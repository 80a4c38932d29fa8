#include "tests/hypercall/qemu/stream_relay.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <utility>
#include <vector>

namespace supercloud {
namespace {

sockaddr_un relay_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  EXPECT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// False: it has ended.
bool pump(int from, int to) {
  std::array<char, 65536> bytes{};
  const ssize_t got = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0) return true;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t now =
        ::send(to, bytes.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
    if (now < 0) return false;
    sent += now;
  }
  return got > 0;
}

}  // namespace

StreamRelay::StreamRelay(std::string from, std::string to)
    : from_(std::move(from)), to_(std::move(to)) {
  const sockaddr_un address = relay_address(from_);
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener_, 8), 0);
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, orders_), 0);
  thread_ = std::thread([this] { run(); });
}

StreamRelay::~StreamRelay() {
  tell(end);
  thread_.join();
  for (const int fd : {listener_, orders_[0], orders_[1]}) ::close(fd);
  ::unlink(from_.c_str());
}

void StreamRelay::cut() { tell(cut_all); }
void StreamRelay::hold() { tell(hold_all); }

void StreamRelay::tell(Order order) {
  char answer = order;
  EXPECT_EQ(::send(orders_[0], &answer, 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(::recv(orders_[0], &answer, 1, 0), 1);
}

void StreamRelay::run() {
  std::vector<std::pair<int, int>> connections;
  const auto close_at = [&](std::size_t at) {
    ::close(connections[at].first);
    ::close(connections[at].second);
    connections.erase(connections.begin() + static_cast<std::ptrdiff_t>(at));
  };
  bool held = false;
  for (char order = 0; order != end;) {
    std::vector<pollfd> ready = {{orders_[1], POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const auto& [one, other] : connections) {
      ready.push_back({held ? -1 : one, POLLIN, 0});
      ready.push_back({held ? -1 : other, POLLIN, 0});
    }
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;
    for (std::size_t i = connections.size(); i-- > 0;) {
      const auto [one, other] = connections[i];
      bool open = ready[2 + 2 * i].revents == 0 || pump(one, other);
      open = (ready[3 + 2 * i].revents == 0 || pump(other, one)) && open;
      if (!open) close_at(i);
    }
    if (ready[1].revents != 0) {
      const int one = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const int other = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_un address = relay_address(to_);
      connections.emplace_back(one, other);
      if (::connect(other, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        close_at(connections.size() - 1);
    }
    if (ready[0].revents != 0) {
      if (::recv(orders_[1], &order, 1, 0) != 1) order = end;
      held = order == hold_all;
      while (!held && !connections.empty()) close_at(0);
      (void)::send(orders_[1], &order, 1, MSG_NOSIGNAL);
    }
  }
}

}  // namespace supercloud
