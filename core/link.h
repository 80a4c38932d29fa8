// The link seam: point-to-point connections for bulk data between nodes, reliable and in order while they last. Pages and
// disk blocks travel here, not on the bus.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace supercloud {

inline constexpr std::size_t link_frame_bytes_max = 4 << 20;

// One end of a connection. Thread-bound to its network's scheduler; destroying it closes the connection without a further call.
class Link {
 public:
  virtual ~Link() = default;
  struct Handler {
    absl::AnyInvocable<void(std::string frame)> on_frame;
    absl::AnyInvocable<void(absl::Status why)> on_closed;  // once; never from inside send()
  };
  // Before it is set, frames wait.
  virtual void set_handler(Handler handler) = 0;
  virtual void send(std::string frame) = 0;
  // Bytes sent but not yet taken by the network: the sender's back-pressure.
  virtual std::size_t backlog() const = 0;
};

// Thread-bound.
class LinkNetwork {
 public:
  virtual ~LinkNetwork() = default;
  // Where others connect to this node; published in node.joined. `service` tells several listeners of a node apart.
  virtual absl::Status listen(std::string service,
                              absl::AnyInvocable<void(std::unique_ptr<Link>)> on_connection) = 0;
  virtual std::string endpoint() const = 0;
  // At once; a connection that does not come about is closed with the reason.
  virtual std::unique_ptr<Link> connect(const std::string& endpoint,
                                        const std::string& service) = 0;
};

}  // namespace supercloud
