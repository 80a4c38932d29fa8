// A server that keeps what is published, until somebody has had it: the other seam behind which its client library is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace supercloud {

// Thread-bound. Unavailable: the server is gone, or has said that something is wrong; DeadlineExceeded.
class PeerStore {
 public:
  virtual ~PeerStore() = default;
  // Publishes them together, until the server has acknowledged each.
  virtual absl::Status put(const std::vector<std::string>& records) = 0;
  // The last so many that it has, in its order; fewer, if it has no more.
  virtual absl::StatusOr<std::vector<std::string>> get(std::size_t count) = 0;
};

using OpenStore =
    std::function<absl::StatusOr<std::unique_ptr<PeerStore>>(const std::string& address)>;

// Of each library; empty where this program was built without it.
OpenStore jetstream_stores();
OpenStore redis_stream_stores();
OpenStore mosquitto_session_stores();

}  // namespace supercloud
