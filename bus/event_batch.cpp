#include "bus/event_batch.h"

#include <utility>

namespace supercloud {

EventBatch::EventBatch(EventLoop& loop, std::string_view lead, std::size_t bytes_max, Send send)
    : loop_(loop), lead_(lead), bytes_max_(bytes_max), send_(std::move(send)), topic_(lead) {}

void EventBatch::add(std::string_view prefix, std::string_view event) {
  const bool first = !std::exchange(turn_open_, true);
  if (first) {
    loop_.at_turn_end([this, alive = std::weak_ptr<char>(alive_)] {
      if (alive.expired()) return;
      turn_open_ = false;
      flush();
    });
  }
  if (events_ > 0 && (bytes_.size() + event.size() > bytes_max_ ||
                      std::string_view(topic_).substr(lead_.size()) != prefix))
    flush();
  if (events_ == 0) {
    if (std::string_view(topic_).substr(lead_.size()) != prefix) {
      topic_.resize(lead_.size());
      topic_ += prefix;
    }
    if (first || event.size() >= bytes_max_) return send_(topic_, event, 1);
  }
  bytes_ += event;
  if (++events_ > 1) return look();
  since_ = loop_.clock().now();
}

void EventBatch::look() {
  if (events_ > 0 && loop_.clock().now() - since_ >= wait_max) flush();
}

void EventBatch::flush() {
  if (events_ == 0) return;
  send_(topic_, bytes_, std::exchange(events_, 0));
  bytes_.clear();
}

}  // namespace supercloud
