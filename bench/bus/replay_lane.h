// What a log has of one origin, told to one who asks for it over ipc: the way of repair, and of whoever comes late.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

namespace supercloud {

class ReplayLane {
 public:
  virtual ~ReplayLane() = default;
  // Writes the log. Separate, for a process is to be forked before this one has threads.
  virtual absl::Status open() = 0;
  // Seconds until all events have come, each one checked as whatever comes from outside is. DataLoss: they are not all there, or not in order.
  virtual absl::StatusOr<double> replay() = 0;
  // Of the process whose log it is, since it began.
  virtual double publisher_cpu_seconds() const = 0;
};

std::unique_ptr<ReplayLane> replay_lane(int events);

}  // namespace supercloud
