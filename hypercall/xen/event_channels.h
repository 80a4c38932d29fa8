// Event channels (libxenevtchn): one bit from a domain to another, which wakes it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "hypercall/xen_path.h"

struct xenevtchn_handle;

namespace supercloud {

using EventPort = std::uint32_t;  // of this handle

// Thread-bound. Movable. Its ports end with it.
class EventChannels {
 public:
  // Unavailable: no Xen here.
  static absl::StatusOr<EventChannels> open();

  // A port that `remote` may bind to.
  absl::StatusOr<EventPort> offer(DomainId remote);
  // The other end of a port that `remote` has offered.
  absl::StatusOr<EventPort> bind(DomainId remote, EventPort remote_port);
  absl::Status unbind(EventPort port);

  absl::Status notify(EventPort port);
  // Readable whenever a port is pending. It is this object's.
  int fd() const;
  // The next port that was notified; it tells no more until unmask(). Empty: none.
  absl::StatusOr<std::optional<EventPort>> pending();
  absl::Status unmask(EventPort port);

 private:
  struct Close {
    void operator()(xenevtchn_handle* handle) const;
  };
  explicit EventChannels(xenevtchn_handle* handle) : handle_(handle) {}
  std::unique_ptr<xenevtchn_handle, Close> handle_;
};

}  // namespace supercloud
