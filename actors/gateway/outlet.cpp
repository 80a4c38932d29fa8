#include "actors/gateway/outlet.h"

#include <utility>

#include "actors/gateway/cloud_event.h"

namespace supercloud {

StreamOutlet::StreamOutlet(std::size_t bytes_max, GatewayMetrics& metrics, Callbacks callbacks)
    : bytes_max_(bytes_max), metrics_(metrics), callbacks_(std::move(callbacks)) {}

void StreamOutlet::change_queued(std::size_t to) {
  metrics_.queued_bytes += to;
  metrics_.queued_bytes -= queued_;
  queued_ = to;
}

bool StreamOutlet::offer(std::string_view id, std::string_view type, std::string_view json) {
  const std::string message = stream_message(id, type, json);
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    // One that is larger than all the room goes alone.
    if (queued_ != 0 && queued_ + message.size() > bytes_max_) {
      starved_ = true;
      return false;
    }
    bytes_ += message;
    change_queued(queued_ + message.size());
    wake = !std::exchange(writing_, true);
  }
  if (wake) callbacks_.readable();
  return true;
}

bool StreamOutlet::has_room() {
  const std::lock_guard lock(mutex_);
  starved_ = queued_ > bytes_max_ / 2;
  return !starved_;
}

void StreamOutlet::end(std::string_view, std::optional<SlowReader> slow) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ended_, true)) return;
    if (slow) {
      cut_ = true;
      ++metrics_.slow[static_cast<std::size_t>(*slow)];
      // It begins anew from what it has got; the rest would come twice.
      bytes_.clear();
      change_queued(in_flight_);
    }
    // Also while a write is under way: it may never end.
    wake = !std::exchange(writing_, true) || slow;
  }
  if (wake) callbacks_.readable();
}

StreamOutlet::Taken StreamOutlet::take() {
  const std::lock_guard lock(mutex_);
  in_flight_ += bytes_.size();
  return {std::exchange(bytes_, {}), ended_};
}

void StreamOutlet::written() {
  bool more = false, room = false;
  {
    const std::lock_guard lock(mutex_);
    change_queued(queued_ - std::exchange(in_flight_, 0));
    more = !bytes_.empty() || ended_;
    writing_ = more;
    room = starved_ && queued_ <= bytes_max_ / 2;
    if (room) starved_ = false;
  }
  if (more) callbacks_.readable();
  if (room) callbacks_.room();
}

void StreamOutlet::close() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  bytes_.clear();
  in_flight_ = 0;
  change_queued(0);
}

bool BatchOutlet::offer(std::string_view, std::string_view, std::string_view json) {
  if (!array_.empty() && array_.size() + json.size() > bytes_max) return false;
  array_.append(array_.empty() ? "[" : ",\n").append(json);
  return true;
}

void BatchOutlet::end(std::string_view id, std::optional<SlowReader>) {
  array_.append(array_.empty() ? "[]\n" : "]\n");
  if (done_) std::exchange(done_, nullptr)(std::move(array_), std::string(id));
}

}  // namespace supercloud
