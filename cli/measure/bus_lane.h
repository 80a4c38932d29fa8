// One publisher and some subscribers, each a process of its own, over the bus (or, in bench/, over bare ZeroMQ sockets, or a server: the same
// messages, the same questions).
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"

namespace supercloud {

struct LaneShape {
  int subscribers = 1;
  std::size_t bytes = 256;  // of a message, topic and envelope included
  bool curve = false;       // over tcp, encrypted; else over ipc
};

// Of a burst, until every subscriber has said that it has all of it.
struct Burst {
  double seconds = 0;
  double publisher_cpu_seconds = 0, subscribers_cpu_seconds = 0;
  double server_cpu_seconds = 0;  // of what stands between them; the bus has none
};

class Lane {
 public:
  virtual ~Lane() = default;
  // Connects what the constructor has started: every subscriber has what is sent from now on. Separate, for a process is to be forked before
  // this one has threads.
  virtual absl::Status open() = 0;
  // DataLoss: a subscriber did not get as many as were sent; DeadlineExceeded.
  virtual absl::StatusOr<Burst> send(int messages) = 0;
};

// Forks: the caller has no threads yet.
std::unique_ptr<Lane> bus_lane(const LaneShape& shape);

}  // namespace supercloud
