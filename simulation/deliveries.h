// Invariant 5 from outside of the actors: no event is lost in silence.
//
// Between each process and its bus stands a WatchedBus. It sees what the process publishes, what it is given, and which gaps it
// announces. An event is owed to a subscriber if it was published while a subscription of that process to its topic was known
// to be in effect at the publisher: what core/bus.h promises. What is owed is settled by its delivery, or by a `bus.gap` that the
// subscriber's process publishes with its own name and a range that covers it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bus/simulated/simulated_bus.h"
#include "core/bus.h"
#include "core/time.h"

namespace supercloud {

class WatchedBus;

// Thread-bound. Outlives the buses that it watches.
class Deliveries {
 public:
  explicit Deliveries(const Clock& world) : world_(world) {}

  // Calls `say` for each stream of which a live process lacks something that was published before `before`, and for each
  // subscription that is not in effect at a live publisher. What was on its way from a process that has ended is not judged:
  // a restarted one does not yet say where all its origins stood. Its words name subscriber, topic and range.
  void judge(Instant before, const std::function<void(std::string what)>& say) const;

 private:
  friend class WatchedBus;
  struct Owed {
    std::string topic;
    std::vector<std::string> prefixes;  // subscriptions that were in effect
    std::string publisher;              // a node ...
    std::uint64_t life = 0;             // ... and which of its processes
    Instant at;
  };
  using Stream = std::pair<std::string, std::uint64_t>;  // origin, incarnation
  using Debts = std::map<Stream, std::map<std::uint64_t, Owed>>;
  void published(const WatchedBus& publisher, const Event& event);

  const Clock& world_;
  std::map<std::string, WatchedBus*> buses_;  // of the processes that live, by node
};

// Passes everything on. Thread-bound; both buses outlive it.
class WatchedBus final : public Bus, private BusReceiver {
 public:
  // `bus`: what the process uses; `truth`: the real one behind it, asked which subscriptions are in effect.
  WatchedBus(Deliveries& deliveries, Bus& bus, const SimulatedBus& truth);
  ~WatchedBus() override;
  WatchedBus(const WatchedBus&) = delete;
  WatchedBus& operator=(const WatchedBus&) = delete;

  void start(BusReceiver& receiver) override;
  void publish(const Event& event) override;
  void subscribe(std::string prefix, Reply<Done> reply) override;
  void unsubscribe(std::string prefix) override;
  void request(Address to, std::string bytes, Reply<std::string> reply) override;

 private:
  friend class Deliveries;
  void on_event(Event event) override;
  void on_gap(const BusGap& gap) override;
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override;
  void on_rejected(std::string from, std::string why) override;
  void on_peer(std::string node, bool alive) override;
  // The gap is an event: what it covers is not lost in silence.
  void announced(const schema::Gap::Reader& gap);

  Deliveries& deliveries_;
  Bus& bus_;
  const SimulatedBus& truth_;
  BusReceiver* receiver_ = nullptr;
  std::map<std::string, std::uint64_t, std::less<>> subscribed_;  // how often, by prefix
  Deliveries::Debts owed_;
};

}  // namespace supercloud
