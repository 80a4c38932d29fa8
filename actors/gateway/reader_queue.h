// What waits for a reader that is slower than what happens, where it chose that its oldest goes, or that it gets the newest of each topic.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>

#include "actors/reading/cursor.h"
#include "actors/reading/reading.h"
#include "core/subscription_queue.h"

namespace supercloud {

// Thread-bound.
class ReaderQueue {
 public:
  // `stands`: where the reader stands.
  ReaderQueue(Queueing::Full full, const Cursor& stands, std::size_t events_max,
              std::size_t bytes_max);

  bool empty() const { return !next_ && missed_.empty() && queue_.empty(); }
  // It got something, nothing being in the queue.
  void passed(std::string_view origin, Stand stand);
  // It waits; `stands`: where the reader stands when it has it and all before. False: there is too much to tell of what went.
  [[nodiscard]] bool push(const Cursor& stands, const Event& event);
  [[nodiscard]] bool push(const Cursor& stands, const MissedEvents& missed);

  // Each says whether there was room. The cursor: where the reader can go on from without missing what waits.
  struct Offer {
    std::function<bool(const Cursor& stands, const Event& event)> event;
    std::function<bool(const Cursor& stands, const MissedEvents& missed)> missed;
  };
  // As much of it as has room.
  void drain(const Offer& offer);

 private:
  Cursor stands_after(const SubscriptionQueue::Taken& next) const;

  const bool conflates_;
  SubscriptionQueue queue_;
  std::deque<MissedEvents> missed_;               // told before what waits
  std::optional<SubscriptionQueue::Taken> next_;  // for which there was no room yet
  Cursor stands_;                                 // what is not in the queue any more
  Cursor newest_;                                 // with all that is
};

}  // namespace supercloud
