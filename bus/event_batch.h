// Events on their way into one message. What is published within one turn of the loop, one after the other and for the same subscriptions, travels
// together; it costs sender, network and subscriber one message.
//
// The first event of a turn leaves at once: who says one thing at a time never waits. What follows within the turn waits until the turn ends, until
// the next does not go with it (their topics differ in the first three tokens, by which subscriptions tell them apart), until the message is full, or
// until what waits has waited for `wait_max` when somebody looks, which the next event does. Whoever adds what is urgent flushes. Only neighbours are
// put together, so that the order is that of publishing.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/event_loop.h"

namespace supercloud {

// Thread-bound to the loop.
class EventBatch {
 public:
  static constexpr Duration wait_max = absl::Microseconds(50);

  // `topic`: of the message; `events`: how many are in `bytes`.
  using Send = std::function<void(std::string_view topic, std::string_view bytes, int events)>;

  // `lead`: what topics of messages begin with.
  EventBatch(EventLoop& loop, std::string_view lead, std::size_t bytes_max, Send send);
  EventBatch(const EventBatch&) = delete;
  EventBatch& operator=(const EventBatch&) = delete;

  // `prefix`: what its topic has in common with those that it may travel with.
  void add(std::string_view prefix, std::string_view event);
  // What waits has waited long enough? Nearly free where nothing does.
  void look();
  void flush();

 private:
  EventLoop& loop_;
  const std::string lead_;
  const std::size_t bytes_max_;
  Send send_;
  std::string topic_;
  std::string bytes_;
  int events_ = 0;
  Instant since_;           // of the first that waits
  bool turn_open_ = false;  // something was sent in this one
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
