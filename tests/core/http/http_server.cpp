#include "tests/core/http/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {

std::string http_answer(int status, std::string_view body, std::string_view headers) {
  return absl::StrCat("HTTP/1.1 ", status, " Status\r\nContent-Length: ", body.size(), "\r\n",
                      absl_view(headers), "\r\n", absl_view(body));
}

HttpServer::HttpServer(EventLoop& loop) : loop_(loop) { start(); }
HttpServer::~HttpServer() { stop(); }

std::string HttpServer::host() const { return absl::StrCat("127.0.0.1:", port_); }
std::string HttpServer::url(std::string_view path) const {
  return absl::StrCat("http://", host(), absl_view(path));
}

void HttpServer::start() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ABSL_RAW_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::listen(listener_, 16) == 0 &&
                     ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0,
                 "no port on loopback");
  port_ = ntohs(address.sin_port);
  ABSL_RAW_CHECK(loop_.watch_fd(listener_, EPOLLIN, [this](std::uint32_t) { accept_one(); }).ok(),
                 "the port is not watched");
}

void HttpServer::stop() {
  while (!open_.empty()) drop(open_.begin()->first);
  if (listener_ < 0) return;
  loop_.unwatch_fd(listener_);
  ::close(std::exchange(listener_, -1));
}

void HttpServer::accept_one() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  ++accepted_;
  open_[fd];
  ABSL_RAW_CHECK(
      loop_.watch_fd(fd, EPOLLIN, [this, fd](std::uint32_t events) { ready(fd, events); }).ok(),
      "the connection is not watched");
}

void HttpServer::drop(int fd) {
  loop_.unwatch_fd(fd);
  ::close(fd);
  open_.erase(fd);
}

void HttpServer::ready(int fd, std::uint32_t events) {
  Connection& connection = open_[fd];
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && !read(fd, connection)) return drop(fd);
  if (!write(fd, connection)) drop(fd);
}

bool HttpServer::read(int fd, Connection& connection) {
  std::array<char, 4096> bytes{};
  const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
  if (got <= 0) return false;
  connection.in.append(bytes.data(), static_cast<std::size_t>(got));
  take_request(connection);
  return true;
}

bool HttpServer::write(int fd, Connection& connection) {
  if (!connection.out.empty()) {
    const ssize_t sent =
        ::send(fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) connection.out.erase(0, static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN) return false;
  }
  loop_.change_fd(fd, connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  return !connection.out.empty() || !connection.close;
}

void HttpServer::take_request(Connection& connection) {
  const std::size_t head = connection.in.find("\r\n\r\n");
  if (head == std::string::npos) return;
  SeenRequest request;
  std::string_view lines = std::string_view(connection.in).substr(0, head + 2);
  const auto line = [&lines] {
    const std::size_t end = lines.find("\r\n");
    const std::string_view first = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    return first;
  };
  const std::string_view start = line();
  const std::size_t space = start.find(' ');
  request.method = std::string(start.substr(0, space));
  request.target = std::string(start.substr(space + 1, start.rfind(' ') - space - 1));
  while (!lines.empty()) {
    const std::string_view header = line();
    const std::size_t colon = header.find(':');
    std::string value(header.substr(colon + 1));
    absl::StripAsciiWhitespace(&value);
    request.headers[absl::AsciiStrToLower(absl_view(header.substr(0, colon)))] = value;
  }
  std::size_t length = 0;
  if (const auto found = request.headers.find("content-length"); found != request.headers.end())
    ABSL_RAW_CHECK(absl::SimpleAtoi(found->second, &length), "no length");
  if (connection.in.size() < head + 4 + length) return;
  request.body = connection.in.substr(head + 4, length);
  connection.in.erase(0, head + 4 + length);
  seen_.push_back(std::move(request));
  if (answers_.empty()) return;
  connection.out += answers_.front().bytes;
  connection.close = answers_.front().close;
  answers_.pop_front();
}

}  // namespace supercloud
