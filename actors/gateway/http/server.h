// The gateway's HTTP/1.1 server, in a thread of its own: GET /v1/events, /metrics, /healthz (docs/gateway.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "actors/gateway/hub.h"
#include "actors/gateway/tokens.h"
#include "core/scheduler.h"

namespace supercloud {

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: one that is free
  std::optional<TokenFile>
      tokens;  // none: whoever reaches it may read all; only on a loopback address

  std::size_t connections_max = 256;
  std::uint32_t header_bytes_max = 24 << 10;  // a cursor fits
  Duration request_time = absl::Seconds(10);  // until a request is there as a whole, an answer gone
  Duration keep_alive = absl::Seconds(15);   // between comments on a stream that has nothing to say
  Duration stall_max = absl::Seconds(30);    // a stream that takes nothing for so long is ended
  std::size_t stream_bytes_max = 1 << 20;    // that wait for one reader
  std::size_t socket_bytes_max = 256 << 10;  // of those that its socket may have taken besides
};

// Thread-bound to the hub's; the hub, its scheduler and the metrics outlive it.
class HttpServer {
 public:
  // Listens. InvalidArgument: no address, or one that others reach, without tokens; Unavailable: it cannot be bound.
  static absl::StatusOr<std::unique_ptr<HttpServer>> start(Scheduler& scheduler, GatewayHub& hub,
                                                           GatewayMetrics& metrics,
                                                           HttpServerOptions options);
  // Ends all connections.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // "http://127.0.0.1:8321"
  const std::string& url() const;
  std::uint16_t port() const;

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace supercloud
