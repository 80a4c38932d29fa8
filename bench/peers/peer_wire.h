// A connection to a server that passes on what is published, by the client library that comes with it: the seam behind which those libraries are.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace supercloud {

// Thread-bound. Unavailable: the server is gone, or has said that something is wrong.
class PeerWire {
 public:
  virtual ~PeerWire() = default;
  // When it returns, the server has it.
  virtual absl::Status subscribe(const std::string& topic) = 0;
  // May wait in a buffer, until `flush`.
  virtual absl::Status publish(const std::string& topic, std::string_view body) = 0;
  virtual absl::Status flush() = 0;
  // What is published there, until the next call of it. DeadlineExceeded.
  virtual absl::StatusOr<std::string_view> receive(absl::Duration patience) = 0;
};

// `singly`: each message is flushed before the next one is published, so that no buffer is of use.
using Connect = std::function<absl::StatusOr<std::unique_ptr<PeerWire>>(const std::string& address,
                                                                        bool singly)>;

// Of each library; empty where this program was built without it.
Connect nats_wires();
Connect redis_wires();
Connect mosquitto_wires();

}  // namespace supercloud
