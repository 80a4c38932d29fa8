// The completion of a seam call.
//
// A seam call takes a request and a Reply and returns at once; the seam calls the Reply once, later or at once, from any
// thread. A Reply made by Context::reply() carries a token: it enters the actor's mailbox, is dropped when the actor has
// restarted or the deadline has passed (the actor then gets DeadlineExceeded), and needs no cancelling.
#pragma once

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/call.h"
#include "core/time.h"

namespace supercloud {

struct Done {};  // the value of a call that answers nothing but "done"

// Thread-safe; one-shot.
template <class T>
class Reply {
 public:
  using Function = absl::AnyInvocable<void(absl::StatusOr<T>) &&>;

  Reply() = default;
  Reply(Instant deadline, Function function, std::shared_ptr<Call> call = nullptr)
      : deadline_(deadline), function_(std::move(function)), call_(std::move(call)) {}

  // When the caller stops waiting, on the node's clock.
  Instant deadline() const { return deadline_; }
  explicit operator bool() const { return static_cast<bool>(function_); }
  // Null: the caller hears of no progress, and does not cancel.
  const std::shared_ptr<Call>& call() const { return call_; }

  // A second call, or one on an empty Reply, does nothing.
  void operator()(absl::StatusOr<T> value) {
    if (function_) std::exchange(function_, nullptr)(std::move(value));
  }

 private:
  Instant deadline_ = far_future;
  Function function_;
  std::shared_ptr<Call> call_;
};

}  // namespace supercloud
