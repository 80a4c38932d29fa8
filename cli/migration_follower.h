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
  // From accepted to paused, as its source said; nullopt: not accepted yet, as far as is known.
  const std::optional<Duration>& allowed() const { return allowed_; }
  // The last line that was told; empty: none.
  const std::string& last() const { return last_; }

 private:
  std::string say(const Event& event);

  EventId migration_;
  std::optional<Step> step_;
  std::optional<Outcome> outcome_;
  std::optional<Duration> allowed_;
  std::string last_;
  std::vector<EventId> told_;  // events may arrive twice: over the bus, and read from a log
};

// How long a migration is waited for: its deadline and a margin, in which its end is decided and told; from the proposal on, and anew
// once it is accepted, which may take a launch.
class FollowLimit {
 public:
  // After the deadline there are the blackout's own, a takeover of a lost source, and the way of the news.
  static constexpr Duration margin = absl::Seconds(30);

  FollowLimit(Instant proposed, Duration deadline) : end_(proposed + deadline + margin) {}

  void look(const MigrationFollower& follower, Instant now) {
    if (accepted_ || !follower.allowed()) return;
    accepted_ = true;
    end_ = now + *follower.allowed() + margin;
  }
  bool passed(Instant now) const { return now >= end_; }
  Instant end() const { return end_; }

 private:
  Instant end_;
  bool accepted_ = false;
};

// "web1  [#########...........]  45 %  pre-copy, 2 to 3 s left": `width` columns at most.
std::string progress_bar(const std::string& name, const MigrationFollower::Step& step,
                         std::size_t width);

}  // namespace supercloud
