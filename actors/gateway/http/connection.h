// One connection: requests one after another, and at last perhaps a stream, which ends with it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "actors/gateway/http/server.h"
#include "actors/gateway/hub.h"
#include "actors/gateway/outlet.h"
#include "actors/gateway/request.h"

namespace supercloud {

class HttpConnection;

// What the connections of a server share. Thread-bound to the server's thread.
struct HttpShared {
  Scheduler& scheduler;  // the hub's
  GatewayHub& hub;
  GatewayMetrics& metrics;
  const HttpServerOptions options;
  std::shared_ptr<boost::asio::io_context> io;
  std::set<std::shared_ptr<HttpConnection>> connections;
};

// Thread-bound to the server's thread.
class HttpConnection final : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(HttpShared& shared, boost::asio::ip::tcp::socket socket);

  void start();
  // There are too many.
  void refuse();
  void close();

 private:
  using Error = boost::beast::error_code;
  using Request = boost::beast::http::request<boost::beast::http::empty_body>;
  using Answer = boost::beast::http::response<boost::beast::http::string_body>;

  void read();
  void dispatch(const Request& request);
  void events(const Request& request, const RequestTarget& target);
  void answer(int status, std::string_view type, std::string body, std::string_view next = "");
  void problem(const Problem& problem);
  void send(std::shared_ptr<Answer> message);
  // What refuses the request, if anything does.
  std::optional<Problem> authorize(const Request& request, const Pattern* pattern) const;

  void batch(EventsRequest events, std::string path);
  void stream(EventsRequest events);
  void watch_reader();
  void pump();
  void write(std::string bytes, bool of_outlet);
  void pulse();

  HttpShared& shared_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::empty_body>> parser_;
  bool keep_alive_ = false;
  unsigned version_ = 11;
  bool closed_ = false;

  // of a stream or a page that is read
  GatewayHub::ReadingId reading_ = 0;
  std::shared_ptr<StreamOutlet> outlet_;
  boost::asio::steady_timer timer_;
  std::string out_;
  bool writing_ = false;
  std::chrono::steady_clock::time_point
      wrote_;         // began the write that is under way, or ended the last
  char unread_[256];  // what a reader still says means nothing
};

}  // namespace supercloud
