// What the two ways of NATS share: its library, and one connection.
#pragma once

#include <nats/nats.h>

#include <string>

#include "absl/status/status.h"
#include "bench/peers/handle.h"

namespace supercloud {

inline constexpr int nats_patience_ms = 10'000;

// OK, or what the library says of it. DeadlineExceeded: it has waited for long enough.
absl::Status nats_said(natsStatus status);

// The library's threads end with it, so that this process may fork again. One at a time in a process, and before all that is of the library.
class NatsLibrary {
 public:
  NatsLibrary() = default;
  ~NatsLibrary() { nats_CloseAndWait(nats_patience_ms); }
  NatsLibrary(const NatsLibrary&) = delete;
  NatsLibrary& operator=(const NatsLibrary&) = delete;
};

using NatsConnection = Handle<natsConnection, natsConnection_Destroy>;
using NatsMessage = Handle<natsMsg, natsMsg_Destroy>;

// `promptly`: what is published leaves at once; else when a buffer is full, or on flush.
absl::Status connect_nats(const std::string& address, bool promptly, NatsConnection& connection);

}  // namespace supercloud
