// What is no daemon of the XenStore, but speaks its protocol: each test says what it answers.
#pragma once

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "core/event_loop.h"
#include "hypercall/xen/wire.h"

namespace supercloud {

// Listens, and does with each request what the test says: what it gives is sent as it is.
class FakeDaemon {
 public:
  using Answer = std::function<std::string(const xen_wire::Message& request)>;

  FakeDaemon(EventLoop& loop, const std::string& path, Answer answer)
      : loop_(loop), answer_(std::move(answer)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    EXPECT_TRUE(loop_.watch_fd(listener_, EPOLLIN, [this](std::uint32_t) { accept(); }).ok());
  }
  ~FakeDaemon() {
    hang_up();
    loop_.unwatch_fd(listener_);
    ::close(listener_);
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  void hang_up() {
    if (client_ < 0) return;
    loop_.unwatch_fd(client_);
    ::close(std::exchange(client_, -1));
  }
  void send(const std::string& bytes) const {
    EXPECT_EQ(::send(client_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  int connections = 0;

 private:
  void accept() {
    hang_up();
    client_ = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ++connections;
    in_.clear();
    EXPECT_TRUE(loop_.watch_fd(client_, EPOLLIN, [this](std::uint32_t) { receive(); }).ok());
  }
  void receive() {
    char bytes[65536];
    const ssize_t count = ::read(client_, bytes, sizeof bytes);
    if (count <= 0) return hang_up();
    in_.append(bytes, static_cast<std::size_t>(count));
    std::string_view rest = in_;
    while (client_ >= 0) {
      const auto request = xen_wire::decode(rest);
      ASSERT_TRUE(request.ok()) << "the client itself speaks nonsense: " << request.status();
      if (!*request) break;
      const std::string answer = answer_(**request);
      if (client_ >= 0 && !answer.empty())
        ::send(client_, answer.data(), answer.size(), MSG_NOSIGNAL);  // it may have hung up
    }
    in_.erase(0, in_.size() - rest.size());
  }

  EventLoop& loop_;
  Answer answer_;
  int listener_ = -1;
  int client_ = -1;
  std::string in_;
};

inline std::string message(xen_wire::Type type, std::uint32_t request, std::string_view body) {
  std::string bytes;
  xen_wire::encode({type, request, 0, body}, bytes);
  return bytes;
}
inline std::string ok(const xen_wire::Message& request) {
  return message(request.type, request.request, std::string_view("OK\0", 3));
}

}  // namespace supercloud
