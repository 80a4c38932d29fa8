#include "actors/gateway/http/server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/gateway/http/connection.h"

namespace supercloud {
namespace {

using boost::asio::ip::tcp;

constexpr std::size_t refusals_max =
    64;  // connections under way that are told that there are too many
constexpr std::chrono::milliseconds accept_pause{100};  // where the kernel grants no descriptor

}  // namespace

struct HttpServer::State {
  State(Scheduler& scheduler, GatewayHub& hub, GatewayMetrics& metrics, HttpServerOptions options)
      : shared{scheduler,
               hub,
               metrics,
               std::move(options),
               std::make_shared<boost::asio::io_context>(1),
               {}},
        acceptor(*shared.io),
        pause(*shared.io) {}

  void accept() {
    acceptor.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
      if (!acceptor.is_open()) return;
      if (error) {
        pause.expires_after(accept_pause);
        pause.async_wait([this](const boost::system::error_code& ended) {
          if (!ended) accept();
        });
        return;
      }
      const std::size_t open = shared.connections.size();
      if (open < shared.options.connections_max + refusals_max) {
        const auto connection = std::make_shared<HttpConnection>(shared, std::move(socket));
        shared.connections.insert(connection);
        open < shared.options.connections_max ? connection->start() : connection->refuse();
      }
      accept();
    });
  }

  void stop() {
    boost::asio::post(*shared.io, [this] {
      boost::system::error_code ignored;
      acceptor.close(ignored);
      pause.cancel();
      const std::vector<std::shared_ptr<HttpConnection>> open(shared.connections.begin(),
                                                              shared.connections.end());
      for (const auto& connection : open) connection->close();
    });
    thread.join();
  }

  HttpShared shared;
  tcp::acceptor acceptor;
  boost::asio::steady_timer pause;
  std::string url;
  std::uint16_t port = 0;
  std::thread thread;
};

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() { state_->stop(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::start(Scheduler& scheduler, GatewayHub& hub,
                                                              GatewayMetrics& metrics,
                                                              HttpServerOptions options) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(options.address, error);
  if (error)
    return absl::InvalidArgumentError(
        absl::StrCat("\"", options.address,
                     "\" is no IP address; write 127.0.0.1, 0.0.0.0 or another of this machine"));
  if (!options.tokens && !address.is_loopback())
    return absl::InvalidArgumentError(absl::StrCat(
        "others can reach ", options.address,
        ", and without tokens whoever does may read everything; give --tokens FILE, or "
        "listen on 127.0.0.1"));
  auto state = std::make_unique<State>(scheduler, hub, metrics, std::move(options));
  const tcp::endpoint endpoint(address, state->shared.options.port);
  const auto failed = [&](std::string_view what) {
    return absl::UnavailableError(absl::StrCat(
        std::string(what), " ", state->shared.options.address, ":", state->shared.options.port,
        ": ", error.message(), "; choose another port with --listen"));
  };
  tcp::acceptor& acceptor = state->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (error) return failed("binding");
  acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) return failed("listening at");
  state->port = acceptor.local_endpoint().port();
  state->url = address.is_v6()
                   ? absl::StrCat("http://[", state->shared.options.address, "]:", state->port)
                   : absl::StrCat("http://", state->shared.options.address, ":", state->port);
  state->accept();
  state->thread = std::thread([io = state->shared.io] { io->run(); });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

const std::string& HttpServer::url() const { return state_->url; }
std::uint16_t HttpServer::port() const { return state_->port; }

}  // namespace supercloud
