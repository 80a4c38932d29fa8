// Followers that do not hand out what they were given, and listeners that are not told what they were not.
#include <functional>

#include "tests/simulation/broken/breakage.h"

namespace supercloud {
namespace {

using Give = std::function<void(const Event&)>;

std::function<void(MachineOptions&)> followed(Follower::Change change) {
  return [change](MachineOptions& machine) { machine.in_place.followed = change; };
}

void one_in_seven_dropped(const Event& event, const Give& give) {
  if (event.sequence() % 7 != 3) give(event);
}

void one_in_seven_doubled(const Event& event, const Give& give) {
  give(event);
  if (event.sequence() % 7 == 3) give(event);
}

// As if it had begun when it was live.
void all_of_the_past_dropped(const Event& event, const Give& give) {
  if (event.time().wall() - VirtualScheduler::default_start() > absl::Seconds(20)) give(event);
}

}  // namespace

std::vector<Breakage> broken_followers() {
  constexpr const char* rule = "a subscription's own: once, in order, no hole that is not told";
  constexpr const char* caught = "a follower has";
  const auto moves = [](RunOptions&) {};  // which users ask for
  const auto listeners = [](RunOptions& run) { run.cluster.listeners = true; };
  const auto silent = [](MachineOptions& machine) { machine.in_place.silent_queues = true; };
  return {
      {"follower_that_drops_events", rule, caught, moves, followed(one_in_seven_dropped)},
      {"follower_that_doubles_events", rule, caught, moves, followed(one_in_seven_doubled)},
      {"follower_that_drops_the_past", rule, caught, moves, followed(all_of_the_past_dropped)},
      {"queue_that_lets_go_in_silence", rule, "a listener with", listeners, silent},
  };
}

}  // namespace supercloud
