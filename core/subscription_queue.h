// What waits for an actor under one subscription that has a bounded queue of its own (Queueing::Full::drop_oldest, conflate).
//
// Each thing that waits has a ticket, its place among all that waits for the actor; tickets grow. What goes to make room becomes, in the place
// of the first that went, a gap of its origin, until the actor is told of it; tickets of what else went are void.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/actor.h"
#include "core/bus.h"
#include "core/event.h"

namespace supercloud {

// Thread-bound.
class SubscriptionQueue {
 public:
  // Gaps that wait to be told to the actor: one of each origin and incarnation that lost something since it was last told.
  static constexpr std::size_t gaps_max = 4096;

  // `prefix`: of the subscription, as gaps tell it. `events_max` > 0. One event may wait that has more than `bytes_max`.
  SubscriptionQueue(Queueing::Full full, std::string prefix, std::size_t events_max,
                    std::size_t bytes_max = SIZE_MAX)
      : full_(full), prefix_(std::move(prefix)), events_max_(events_max), bytes_max_(bytes_max) {}

  struct Pushed {
    // Of the event; 0: it, or a newer one, waits in the place of an older one.
    std::uint64_t ticket = 0;
    std::size_t lost = 0;    // so many went that nobody will get ...
    std::size_t voided = 0;  // ... and the tickets of so many of them are void
  };
  // Conflating, the newest of a topic waits: of one origin the last, of several the one of the latest hybrid time.
  // Nothing: so many origins have lost something that it cannot be told any more; who listens has to begin anew.
  std::optional<Pushed> push(const Event& event);

  // Neither: the ticket is void.
  struct Taken {
    Event event;
    std::optional<BusGap> gap;
  };
  Taken take(std::uint64_t ticket);
  // Of what waits; nothing: it is empty.
  std::optional<std::uint64_t> first() const;
  bool is_void(std::uint64_t ticket) const {
    return !events_.contains(ticket) && !gaps_.contains(ticket);
  }

  // Events that wait.
  std::size_t size() const { return events_.size(); }
  bool empty() const { return events_.empty() && gaps_.empty(); }
  std::size_t tickets() const { return events_.size() + gaps_.size(); }
  std::size_t events_max() const { return events_max_; }

  // What went since this was last asked, for all others to be told of: one gap of each origin and incarnation.
  std::vector<BusGap> untold();

  // What it does when it is full, for people.
  const char* done() const;

 private:
  using Origin = std::pair<std::string, std::uint64_t>;  // and its incarnation

  bool let_go_of_oldest(Pushed& pushed);
  BusGap gap_of(const Event& event) const;
  bool has_room(std::size_t bytes) const;
  static void join(BusGap& gap, const BusGap& more);

  const Queueing::Full full_;
  const std::string prefix_;
  const std::size_t events_max_;
  const std::size_t bytes_max_;
  std::uint64_t last_ticket_ = 0;
  std::map<std::uint64_t, Event> events_;  // by ticket
  std::size_t bytes_ = 0;                  // of them
  std::map<std::uint64_t, BusGap> gaps_;   // by the ticket of the first that went
  std::map<Origin, std::uint64_t> gap_at_;
  std::map<std::string, std::uint64_t, std::less<>> by_topic_;  // of those that wait; conflate
  std::map<Origin, BusGap> untold_;
};

}  // namespace supercloud
