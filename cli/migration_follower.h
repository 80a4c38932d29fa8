// One migration as its user follows it: what to say at each of its events, how far it is, how it ended.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/event.h"
#include "core/time.h"

namespace supercloud {

// A pure fold over events, in the order in which they arrive. Thread-bound.
class MigrationFollower {
 public:
  struct Outcome {
    std::string how;   // "completed", "refused", "aborted"
    std::string what;  // one sentence, or one line for each failed check
  };
  struct Step {
    std::uint32_t percent = 0;
    std::string stage;
    Duration eta_low, eta_high;  // both zero: not known
  };

  explicit MigrationFollower(EventId migration) : migration_(std::move(migration)) {}

  // The line to tell; empty: the event says nothing new about this migration, or is only progress.
  std::string fold(const Event& event);

  const std::optional<Step>& step() const { return step_; }
  const std::optional<Outcome>& outcome() const { return outcome_; }

 private:
  EventId migration_;
  std::optional<Step> step_;
  std::optional<Outcome> outcome_;
  std::vector<EventId> told_;  // events may arrive twice: over the bus, and read from a log
};

// "web1  [#########...........]  45 %  pre-copy, 2 to 3 s left": `width` columns at most.
std::string progress_bar(const std::string& name, const MigrationFollower::Step& step,
                         std::size_t width);

}  // namespace supercloud
