// A small HTTP server on loopback, on the test's own event loop: it answers from a list, and keeps what it was asked.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/event_loop.h"

namespace supercloud {

struct SeenRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// The bytes of an answer with Content-Length; `headers` are whole lines that end with CRLF.
std::string http_answer(int status, std::string_view body, std::string_view headers = "");

// Thread-bound to its loop.
class HttpServer {
 public:
  explicit HttpServer(EventLoop& loop);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url(std::string_view path = "/") const;
  std::string host() const;  // with its port
  // What the next request gets, byte for byte. A request for which there is nothing waits, for good.
  void answer(std::string bytes) { answers_.push_back({std::move(bytes), false}); }
  // The same, and then the connection ends.
  void answer_and_close(std::string bytes) { answers_.push_back({std::move(bytes), true}); }
  // Nobody listens, all connections end; then it is there again, at the same port.
  void stop();
  void start();

  const std::vector<SeenRequest>& seen() const { return seen_; }
  int connections() const { return accepted_; }
  std::size_t open_connections() const { return open_.size(); }

 private:
  struct Answer {
    std::string bytes;
    bool close = false;
  };
  struct Connection {
    std::string in, out;
    bool close = false;
  };
  void accept_one();
  void ready(int fd, std::uint32_t events);
  // False: the connection is gone.
  bool read(int fd, Connection& connection);
  bool write(int fd, Connection& connection);
  void take_request(Connection& connection);
  void drop(int fd);

  EventLoop& loop_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  int accepted_ = 0;
  std::map<int, Connection> open_;
  std::deque<Answer> answers_;
  std::vector<SeenRequest> seen_;
};

}  // namespace supercloud
