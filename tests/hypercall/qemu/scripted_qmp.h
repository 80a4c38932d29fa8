// The other end of a QMP socket, played by the test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "core/event_loop.h"
#include "hypercall/qemu/qmp_message.h"

namespace supercloud {

inline constexpr std::string_view test_greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}})";

class ScriptedQmp {
 public:
  explicit ScriptedQmp(EventLoop& loop) : loop_(loop) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0);
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  ~ScriptedQmp() { hang_up(); }
  ScriptedQmp(const ScriptedQmp&) = delete;
  ScriptedQmp& operator=(const ScriptedQmp&) = delete;

  int client_end() { return std::exchange(ends_[1], -1); }
  void hang_up() {
    if (ends_[0] >= 0) ::close(std::exchange(ends_[0], -1));
  }

  void say_bytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(ends_[0], bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) {
        loop_.run_until([] { return false; }, absl::Milliseconds(1));
        continue;
      }
      if (sent < 0) return;  // the client has hung up
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void say(std::string_view line) { say_bytes(std::string(line) + "\r\n"); }
  void answer(const QmpValue& id, const QmpValue& value = QmpValue::object()) {
    say(QmpValue{{"return", value}, {"id", id}}.dump());
  }
  void fail(const QmpValue& id, const std::string& why,
            const std::string& error_class = "GenericError") {
    say(QmpValue{{"error", {{"class", error_class}, {"desc", why}}}, {"id", id}}.dump());
  }

  // Whether a command is here, or comes soon.
  bool has_command() {
    return loop_.run_until(
        [this] {
          receive();
          return in_.find('\n') != std::string::npos;
        },
        absl::Seconds(5));
  }
  // The next command; null: none came.
  QmpValue command() {
    if (!has_command()) return nullptr;
    const std::size_t end = in_.find('\n');
    QmpValue command = QmpValue::parse(in_.substr(0, end), nullptr, false);
    in_.erase(0, end + 1);
    return command;
  }
  // A descriptor that came along; -1: none.
  int take_fd() { return std::exchange(fd_, -1); }

  // Greets, and agrees on capabilities.
  void greet() {
    say(test_greeting);
    const QmpValue first = command();
    EXPECT_EQ(qmp_text(first, "execute"), "qmp_capabilities");
    answer(qmp_member(first, "id"));
  }

 private:
  void receive() {
    for (;;) {
      std::array<char, 4096> bytes{};
      iovec part{bytes.data(), bytes.size()};
      alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t got = ::recvmsg(ends_[0], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (got <= 0) return;
      if (const cmsghdr* header = CMSG_FIRSTHDR(&message);
          header != nullptr && header->cmsg_type == SCM_RIGHTS) {
        std::memcpy(&fd_, CMSG_DATA(header), sizeof fd_);
      }
      in_.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }

  EventLoop& loop_;
  std::array<int, 2> ends_{-1, -1};
  int fd_ = -1;
  std::string in_;
};

}  // namespace supercloud
