// An actor that publishers wait for (Queueing::Full::hold), which takes what it gets late; and the judge of what they were told.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/actor.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

inline constexpr const char* holder_actor = "holder";

// What the holders of all nodes got and took, by "node/actor", and what publishers were told. Outlives them. Thread-bound.
class HoldBook {
 public:
  HoldBook(const Clock& world, std::function<void(std::string what)> violated)
      : world_(world), violated_(std::move(violated)) {}

  // A life of a holder: of one actor object.
  std::uint64_t began(const std::string& holder);
  void ended(const std::string& holder) { lives_.erase(holder); }
  // A subscription of that life is in effect, and its node has said so.
  void holds(const std::string& holder, const Pattern& pattern);
  void came(const std::string& holder, const EventId& event);
  void took(const std::string& holder, const EventId& event);  // and what its origin said before

  // An event that is in its publisher's log, and that these hold who live then.
  struct Held {
    EventId event;
    Instant since;                               // world time
    std::map<std::string, std::uint64_t> lives;  // of holders
  };
  Held held(const EventId& event, const std::set<std::string>& holders) const;
  // Its publisher is told that all have taken it, but for those that were released since.
  void told(const Held& held);
  std::uint64_t told() const { return told_; }  // so often, of any that somebody held
  // Of those who live, what each holds for at least that long.
  std::map<std::string, std::vector<Pattern>> who_holds(Duration since) const;

 private:
  struct Life {
    std::uint64_t number = 0;
    std::vector<std::pair<Pattern, Instant>> holds;  // and since when, world time
    std::set<EventId> seen, waiting;
    std::set<EventId> early;  // which it has not seen, and was said to have taken
  };

  const Clock& world_;
  std::function<void(std::string what)> violated_;
  std::map<std::string, Life> lives_;
  std::uint64_t last_ = 0;
  std::uint64_t told_ = 0;
};

// In half of its lives it also listens to all there is, with a small queue that lets the oldest go: but none of what it holds.
class SimulatedHolder final : public Actor {
 public:
  SimulatedHolder(Context& context, HoldBook& book);
  ~SimulatedHolder() override;
  void receive(const Event& event) override;

 private:
  Context& context_;
  HoldBook& book_;
  const std::string name_;
};

}  // namespace supercloud
