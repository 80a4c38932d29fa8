// A client of the gateway as bare as can be: what it sends and gets is seen byte by byte.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace supercloud {

class HttpClient {
 public:
  // `receive_bytes`: of the kernel's buffer; 0: as usual.
  explicit HttpClient(std::uint16_t port, int receive_bytes = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_bytes != 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~HttpClient() { ::close(fd_); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void send(std::string_view bytes) const {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void get(const std::string& target, const std::string& headers = "") const {
    send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
  }
  // Reads until all that came has `words`; false after 30 s, or when the connection ends before.
  bool reads(const std::string& words) {
    while (got_.find(words) == std::string::npos)
      if (!read_some()) return false;
    return true;
  }
  // Until the other side ends it.
  bool ends() {
    while (read_some()) {
    }
    return ended_;
  }
  // The answer to one request, head and body. The body's length is said.
  std::string answer() {
    if (!reads("\r\n\r\n")) return "";
    const std::size_t body = got_.find("\r\n\r\n") + 4;
    const std::size_t said = got_.find("Content-Length: ");
    const std::size_t length = said < body ? std::stoul(got_.substr(said + 16)) : 0;
    while (got_.size() < body + length)
      if (!read_some()) break;
    std::string whole = got_.substr(0, body + length);
    got_.erase(0, body + length);
    return whole;
  }
  const std::string& got() const { return got_; }

 private:
  bool read_some() {
    pollfd waited{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&waited, 1, 30'000) != 1) return false;
    char bytes[16384];
    const ssize_t read = ::recv(fd_, bytes, sizeof bytes, 0);
    ended_ = read <= 0;
    if (read > 0) got_.append(bytes, static_cast<std::size_t>(read));
    return !ended_;
  }

  const int fd_;
  bool ended_ = false;
  std::string got_;
};

struct StreamMessage {
  std::string id, event, data;
};

// The whole messages of a stream, as a browser takes it apart.
inline std::vector<StreamMessage> stream_messages(const std::string& stream) {
  std::vector<StreamMessage> messages;
  StreamMessage message;
  std::size_t at = stream.find("\r\n\r\n") + 4;
  for (std::size_t end = 0; (end = stream.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = stream.substr(at, end - at);
    if (line.empty() && !message.data.empty()) messages.push_back(std::exchange(message, {}));
    if (line.starts_with("id: ")) message.id = line.substr(4);
    if (line.starts_with("event: ")) message.event = line.substr(7);
    if (line.starts_with("data: ")) message.data = line.substr(6);
  }
  return messages;
}

}  // namespace supercloud
