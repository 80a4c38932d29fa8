// An actor that follows what nodes log, from the beginning and over restarts; and the judge of what it was given.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "actors/reading/follow.h"
#include "core/actor.h"
#include "storage/simulated/memory_event_log.h"

namespace supercloud {

inline constexpr const char* follower_actor = "follower";

// What the followers of one node were given, one after another. Outlives them.
class FollowerBook {
 public:
  static constexpr const char* pattern = "migration.>";
  // Until the first of them has the past: logs that do not answer, and those that have nothing new, are asked again after some seconds.
  static constexpr Duration catching_up = absl::Seconds(10);

  // Another actor object, which may be given again what came after its position.
  void began(absl::Time now);
  void given(const Event& event);
  void missed(const MissedEvents& missed);

  // What came twice or out of its origin's order within the life of one follower.
  const std::vector<std::string>& wrong() const { return wrong_; }
  // Calls `say` for each event of a log from before `before` that none of them was given or told that it is missing. Nothing is said
  // of those of which the first had less time until then than that.
  void judge(const MemoryLogDisk& log, absl::Time before, EventPool& pool,
             const std::function<void(std::string what)>& say) const;

 private:
  using Stream = std::pair<std::string, std::uint64_t>;  // origin, incarnation

  std::optional<absl::Time> began_;    // the first
  std::map<std::string, Stand> last_;  // of the one that lives
  std::map<Stream, std::set<std::uint64_t>> given_;
  std::vector<MissedEvents> missed_;
  std::vector<std::string> wrong_;
};

class Follower final : public Actor {
 public:
  // What stands between Follow and the book: null passes on. Tests put a broken one in.
  using Change = std::function<void(const Event& event, std::function<void(const Event&)> give)>;

  Follower(Context& context, FollowerBook& book, Change change);
  void receive(const Event& event) override { follow_.hear(event); }

 private:
  Follow follow_;
};

}  // namespace supercloud
