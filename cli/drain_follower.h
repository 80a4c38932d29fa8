// One drain as its user follows it: what to say at each event, who is on the way and how far, how it ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/event.h"
#include "core/hybrid_clock.h"

namespace supercloud {

// A fold over events of the whole cluster, in the order in which they arrive; an event may come twice. Thread-bound.
class DrainFollower {
 public:
  struct Outcome {
    bool drained = false;
    std::string words;  // one sentence
  };

  explicit DrainFollower(std::string node) : node_(std::move(node)) {}

  // Whether the event is about this drain.
  bool concerns(const Event& event) const;
  // The line to tell; empty: the event says nothing about this drain, or is only progress.
  std::string fold(const Event& event);
  bool any_on_the_way() const { return !moves_.empty(); }
  // "2 guests on the way: main/web1 45 %, main/web2 3 %; 4 more", in so many columns.
  std::string status(std::size_t width) const;

  // How it ended; nullopt: it has not.
  const std::optional<Outcome>& outcome() const { return outcome_; }
  // Of the guests that cannot leave as things are, by the last word: one line each, with why and the cure.
  const std::string& stays() const { return stays_; }

 private:
  std::string say(const Event& event);

  const std::string node_;
  struct Move {
    std::string vm;
    std::uint32_t percent = 0;
  };
  std::map<EventId, Move> moves_;  // out of the node, under way
  std::uint32_t guests_ = 0;
  std::string stays_;
  std::optional<Outcome> outcome_;
  HybridTime
      begun_;  // of the newest word that it is to be empty: what was said before was of another drain
  std::set<EventId> told_;
};

}  // namespace supercloud
