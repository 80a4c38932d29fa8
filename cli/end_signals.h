// SIGINT and SIGTERM as events of a loop: for processes that serve until they are told to end.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/event_loop.h"

namespace supercloud {

// Bound to the loop's thread; the loop outlives it.
class EndSignals {
 public:
  // From now on the signals wait, also in threads that are made later: so this comes before any. Unavailable: no descriptor.
  static absl::StatusOr<std::unique_ptr<EndSignals>> open(EventLoop& loop);
  ~EndSignals();
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;

  // Once. `told`: each of the signals, those too that came since open().
  absl::Status watch(std::function<void(int signal)> told);

 private:
  EndSignals(EventLoop& loop, int fd) : loop_(loop), fd_(fd) {}

  EventLoop& loop_;
  const int fd_;
};

}  // namespace supercloud
