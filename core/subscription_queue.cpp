#include "core/subscription_queue.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace supercloud {

std::optional<SubscriptionQueue::Pushed> SubscriptionQueue::push(const Event& event) {
  Pushed pushed;
  const bool conflates = full_ == Queueing::Full::conflate;
  if (conflates) {
    if (const auto older = by_topic_.find(event.topic()); older != by_topic_.end()) {
      Event& place = events_.at(older->second);
      // What an origin said comes in order. Of another, what is repaired late may be older than what waits.
      if (event.origin() != place.origin() && event.time() < place.time()) return pushed;
      bytes_ += event.bytes().size() - place.bytes().size();
      place = event;
      while (events_.size() > 1 && bytes_ > bytes_max_)
        if (!let_go_of_oldest(pushed)) return std::nullopt;
      return pushed;
    }
  }
  const std::size_t bytes = event.bytes().size();
  while (!has_room(bytes))
    if (!let_go_of_oldest(pushed)) return std::nullopt;
  bytes_ += bytes;
  pushed.ticket = ++last_ticket_;
  events_.emplace(pushed.ticket, event);
  if (conflates) by_topic_.emplace(std::string(event.topic()), pushed.ticket);
  return pushed;
}

bool SubscriptionQueue::has_room(std::size_t bytes) const {
  return events_.empty() || (events_.size() < events_max_ && bytes_ + bytes <= bytes_max_);
}

std::optional<std::uint64_t> SubscriptionQueue::first() const {
  if (empty()) return std::nullopt;
  if (events_.empty()) return gaps_.begin()->first;
  if (gaps_.empty()) return events_.begin()->first;
  return std::min(gaps_.begin()->first, events_.begin()->first);
}

// False: it cannot be told.
bool SubscriptionQueue::let_go_of_oldest(Pushed& pushed) {
  // Also told to all others: that has as many origins at most.
  if (gaps_.size() >= gaps_max || untold_.size() >= gaps_max) return false;
  const auto oldest = events_.begin();
  const std::uint64_t ticket = oldest->first;
  const BusGap gap = gap_of(oldest->second);
  if (full_ == Queueing::Full::conflate) {
    by_topic_.erase(by_topic_.find(oldest->second.topic()));
  }
  bytes_ -= oldest->second.bytes().size();
  events_.erase(oldest);

  const Origin origin(gap.origin, gap.incarnation);
  const auto [untold, is_first_since] = untold_.emplace(origin, gap);
  if (!is_first_since) join(untold->second, gap);
  const auto [place, is_new] = gap_at_.emplace(origin, ticket);
  if (is_new) {
    gaps_.emplace(ticket, gap);
  } else {
    join(gaps_.at(place->second), gap);
    ++pushed.voided;
  }
  ++pushed.lost;
  return true;
}

BusGap SubscriptionQueue::gap_of(const Event& event) const {
  return {.origin = std::string(event.origin()),
          .incarnation = event.incarnation(),
          .prefix = prefix_,
          .after = event.sequence() - 1,
          .up_to = event.sequence(),
          .why = absl::StrCat("its queue of ",
                              events_.size() >= events_max_ && bytes_ <= bytes_max_
                                  ? absl::StrCat(events_max_)
                                  : absl::StrCat(bytes_max_, " bytes"),
                              " was full, and it lets the oldest go")};
}

void SubscriptionQueue::join(BusGap& gap, const BusGap& more) {
  gap.after = std::min(gap.after, more.after);
  gap.up_to = std::max(gap.up_to, more.up_to);
}

SubscriptionQueue::Taken SubscriptionQueue::take(std::uint64_t ticket) {
  Taken taken;
  if (const auto event = events_.find(ticket); event != events_.end()) {
    taken.event = std::move(event->second);
    events_.erase(event);
    bytes_ -= taken.event.bytes().size();
    if (full_ == Queueing::Full::conflate) by_topic_.erase(by_topic_.find(taken.event.topic()));
  } else if (const auto gap = gaps_.find(ticket); gap != gaps_.end()) {
    taken.gap = std::move(gap->second);
    gaps_.erase(gap);
    gap_at_.erase(Origin(taken.gap->origin, taken.gap->incarnation));
  }
  return taken;
}

std::vector<BusGap> SubscriptionQueue::untold() {
  std::vector<BusGap> gaps;
  for (auto& [origin, gap] : std::exchange(untold_, {})) gaps.push_back(std::move(gap));
  return gaps;
}

const char* SubscriptionQueue::done() const {
  return full_ == Queueing::Full::conflate ? "keeps the newest of each topic" : "drops its oldest";
}

}  // namespace supercloud
