#include "actors/gateway/reader_queue.h"

#include <utility>

#include "core/text.h"

namespace supercloud {
namespace {

std::string prefix_of(const Cursor& cursor) { return cursor.pattern.wire_prefix(); }

MissedEvents missed_of(const BusGap& gap) {
  return {.origin = gap.origin,
          .incarnation = gap.incarnation,
          .after = gap.after,
          .up_to = gap.up_to,
          .why = gap.why};
}

void pass(Cursor& cursor, std::string_view origin, Stand stand) {
  if (!cursor.pass(origin, stand)) cursor.full = true;
}

}  // namespace

ReaderQueue::ReaderQueue(Queueing::Full full, const Cursor& stands, std::size_t events_max,
                         std::size_t bytes_max)
    : conflates_(full == Queueing::Full::conflate),
      queue_(full, prefix_of(stands), events_max, bytes_max),
      stands_(stands),
      newest_(stands) {}

void ReaderQueue::passed(std::string_view origin, Stand stand) { pass(stands_, origin, stand); }

bool ReaderQueue::push(const Cursor& stands, const Event& event) {
  if (!queue_.push(event)) return false;
  queue_.untold();  // it is told by what is taken
  newest_ = stands;
  return true;
}

bool ReaderQueue::push(const Cursor& stands, const MissedEvents& missed) {
  if (missed_.size() >= SubscriptionQueue::gaps_max) return false;
  missed_.push_back(missed);
  newest_ = stands;
  return true;
}

void ReaderQueue::drain(const Offer& offer) {
  while (!missed_.empty()) {
    if (!offer.missed(stands_, missed_.front())) return;
    missed_.pop_front();
  }
  while (true) {
    if (!next_) {
      const std::optional<std::uint64_t> first = queue_.first();
      if (!first) return;
      next_ = queue_.take(*first);
    }
    Cursor stands = stands_after(*next_);
    const bool taken = next_->event ? offer.event(stands, next_->event)
                                    : offer.missed(stands, missed_of(*next_->gap));
    if (!taken) return;
    stands_ = std::move(stands);
    next_.reset();
  }
}

// Of an origin the newest of one topic may come before the older one of another, where they are conflated: then a reader that goes on has to
// begin before all that waited.
Cursor ReaderQueue::stands_after(const SubscriptionQueue::Taken& next) const {
  if (queue_.empty()) return newest_;
  Cursor stands = stands_;
  if (conflates_) return stands;
  if (next.event) {
    pass(stands, next.event.origin(), {next.event.incarnation(), next.event.sequence()});
  } else {
    pass(stands, next.gap->origin, {next.gap->incarnation, next.gap->up_to});
  }
  return stands;
}

}  // namespace supercloud
