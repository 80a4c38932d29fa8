// `supercloud events [PATTERN]`: what happened, and what happens.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "cli/program.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/hybrid_clock.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

struct EventsArguments {
  std::string pattern;  // empty: all but heartbeats, capacities, holds and checkpoints
  std::string since;    // empty: from the start, or with `follow` from now on
  bool follow = false;
  bool json = false;
  double speed = 0;  // so many times as fast as it happened; 0: at once
};

// "original", "max", or a factor ("60", "0.5"). InvalidArgument: it is none of these.
absl::StatusOr<double> parse_replay_speed(std::string_view said);

// Comes back once so much time has passed since it was first called; false: print no more.
using Pace = std::function<bool(Duration since_first)>;

// Which events a command is about.
class EventFilter {
 public:
  // InvalidArgument: no such pattern.
  static absl::StatusOr<EventFilter> make(std::string_view pattern);
  bool takes(const Event& event) const;
  const Pattern& pattern() const { return pattern_; }
  bool everything() const { return everything_; }

 private:
  EventFilter(Pattern pattern, bool everything)
      : pattern_(std::move(pattern)), everything_(everything) {}
  Pattern pattern_;
  bool everything_;
};

// The first moment that `since` names: "start", a span back from `now` ("10m", "1h30m"), a date in RFC 3339, or the id of an event
// (short, the beginning of that, or full). InvalidArgument: it is none of these, or several events begin so; NotFound: no event does.
absl::StatusOr<HybridTime> parse_since(std::string_view since, absl::Time now,
                                       const std::vector<Event>& history);

// The events to be printed, and perhaps others: where they begin at a time, `read` is asked for no more, unless none matches, and what there is instead
// is to be told.
absl::StatusOr<std::vector<Event>> read_past(
    const EventsArguments& arguments, const EventFilter& filter, absl::Time now,
    absl::FunctionRef<absl::StatusOr<std::vector<Event>>(HybridTime since)> read);

// Whose events are missing, under which subscription, and which.
std::string gap_line(const BusGap& gap);
// One line: event_line(), or JSON.
void print_event(const Event& event, bool json, bool dated, std::ostream& out);

// Prints those of `history` that are meant, with dates where it spans more than a day, each in its time if there is a speed. Returns
// the program's exit code: exit_ok, exit_usage, exit_no_match, exit_interrupted.
int print_history(const std::vector<Event>& history, const EventsArguments& arguments,
                  absl::Time now, const Pace& pace, std::ostream& out, std::ostream& err);
// What to say of a pattern that takes no topic that this program knows, with the near ones; empty if it may take some.
std::string names_no_topic(const std::string& pattern);
// What to say when nothing has matched: near topics and names.
std::string nothing_matched(const std::vector<Event>& history, const std::string& pattern);

void add_events_command(CLI::App& root, Program& program);

}  // namespace supercloud
