// Links over sockets: unix-domain between processes of a machine, TCP between machines. The wire form stands in
// socket_link.cpp.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/event_loop.h"
#include "core/link.h"

namespace supercloud {

// Thread-bound to its loop, which outlives it and its links.
class SocketLinkNetwork final : public LinkNetwork {
 public:
  // Connections that may be open to this node at once, and how long one may take to say what it wants.
  static constexpr std::size_t accepted_max = 256;
  static constexpr Duration hello_deadline = absl::Seconds(5);

  // Listens at `endpoint`: "unix:/path" (removed when the network ends; left over from a killed process, it is replaced) or
  // "tcp:ADDRESS:PORT" (numeric IPv4; port 0: any). Unavailable names the place and the system's reason.
  static absl::StatusOr<std::unique_ptr<SocketLinkNetwork>> open(EventLoop& loop,
                                                                 const std::string& endpoint);
  ~SocketLinkNetwork() override;

  absl::Status listen(std::string service,
                      absl::AnyInvocable<void(std::unique_ptr<Link>)> on_connection) override;
  std::string endpoint() const override;
  std::unique_ptr<Link> connect(const std::string& endpoint, const std::string& service) override;

 private:
  struct State;
  explicit SocketLinkNetwork(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace supercloud
