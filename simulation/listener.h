// Actors with small queues of their own that listen to VMs: one lets its oldest go, one keeps the newest of each topic; and the judge of what
// each was given.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/actor.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/time.h"

namespace supercloud {

// What the listeners of one kind on one node were given, one after another. Outlives them.
class ListenerBook {
 public:
  static constexpr const char* pattern = "vm.>";
  // So small that what comes in a burst, as from a repair or after a freeze, does not fit.
  static constexpr std::size_t events_max = 2;

  ListenerBook(Queueing::Full full, const Clock& world) : full_(full), world_(world) {}

  const char* actor() const;
  Queueing queueing() const { return {.full = full_, .events_max = events_max}; }

  // Another actor object: what the one before had not got is not its.
  void began();
  void ended() { alive_ = false; }
  // By its node, from others or itself.
  void heard(const Event& event);
  void given(const Event& event);
  void missed(const BusGap& gap);

  std::uint64_t let_go() const { return let_go_; }
  // Calls `say` for what came twice or out of order, and for what was heard before `before` and that the one that lives was neither given nor
  // told of: of a conflating one the newest of each topic.
  void judge(Instant before, const std::function<void(std::string what)>& say) const;

 private:
  using Stream = std::pair<std::string, std::uint64_t>;  // origin, incarnation
  struct Owed {
    Stream stream;
    std::uint64_t sequence = 0;
    std::string topic;
    HybridTime said;
    Instant at;
  };
  bool settled(const Owed& owed) const;

  const Queueing::Full full_;
  const Clock& world_;
  bool alive_ = false;
  std::vector<Owed> owed_;
  std::map<Stream, std::map<std::uint64_t, bool>> given_;
  std::map<std::pair<Stream, std::string>, std::uint64_t> newest_;  // and topic, where conflated
  std::vector<BusGap> missed_;
  std::vector<std::string> wrong_;
  std::uint64_t let_go_ = 0;
};

class Listener final : public Actor {
 public:
  // `silent`: of tests, which leave out what it is told to have missed.
  Listener(Context& context, ListenerBook& book, bool silent);
  ~Listener() override { book_.ended(); }
  void receive(const Event& event) override { book_.given(event); }

 private:
  ListenerBook& book_;
};

}  // namespace supercloud
