// Invariant 5 from outside of the actors: no event is lost in silence.
//
// Between each process and its bus stands a WatchedBus. It sees what the process publishes, what it is given, and which gaps it
// announces. An event is owed to a subscriber if it was published while a subscription of that process to its topic was known
// to be in effect at the publisher: what core/bus.h promises. What is owed is settled by its delivery, or by a `bus.gap` that the
// subscriber's process publishes with its own name and a range that covers it. A gap that says of a durable event that its publisher's
// log does not have it is wrong: durable events leave when they are in the log. Wrong is, too, what comes twice or out of its origin's order, or says
// what its publisher did not: a durable event is in its node's log before anybody is given it; and a publisher that does not tell whose queue was full, and for how many of its events.
//
// Between clouds a subscription is in effect when it is so at the subscriber's hub, at that of the publisher's cloud, and at the publisher. From then
// on what that process publishes is owed, whatever becomes of the hubs and the way between them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bus/simulated/simulated_bus.h"
#include "core/bus.h"
#include "core/time.h"
#include "storage/origin_book.h"

namespace supercloud {

class WatchedBus;

// Thread-bound. Outlives the buses that it watches.
class Deliveries {
 public:
  explicit Deliveries(const Clock& world) : world_(world) {}

  // Whether the log of an event's node has it, byte for byte. Not given: nobody is asked.
  using InLog = std::function<bool(const Event& event)>;
  void set_logs(InLog in_log) { in_log_ = std::move(in_log); }
  // Of a cluster that has several clouds: the hub in whose cloud a node is, by its name.
  using HubOf = std::function<std::string(const std::string& node)>;
  void set_clouds(HubOf hub_of) { hub_of_ = std::move(hub_of); }
  // A hub's process, and its two buses, until it ends.
  void hub_started(const SimulatedBus& cloud, const SimulatedBus& wide);
  void hub_ended(const std::string& hub) { hubs_.erase(hub); }

  // Calls `say` for each stream of which a live process lacks something that was published before `before`; for each
  // subscription that a live publisher does not serve, whatever its subscriber believes; for each live publisher that dropped something
  // before `before`, and did not tell; and for what was wrong. Its words name subscriber, topic and range.
  //
  // What a process had sent that ended since is judged too, once it can be known again that it was there:
  //   - the subscriber was given a later event of that process that names it or a later one as its predecessor under one of the
  //     subscriptions; or
  //   - the node lives again, and the log with which its next process started has the event or a later one under one of the
  //     subscriptions: it says so; or
  //   - the node lives again without that log, and the subscriber had been given anything of that incarnation: it knows that there
  //     was one, and not how far it had come.
  // What nobody can know is thus a volatile event, or a noted one whose group commit did not come to its end, that was the
  // last of its origin under each subscription when its process was killed; what a node had said that does not come back; and of
  // an incarnation whose log is lost, what was all of it lost on the way to that subscriber.
  void judge(Instant before, const std::function<void(std::string what)>& say) const;
  // So often somebody was given what its publisher had logged, and not sent when it ended.
  std::uint64_t found() const { return found_; }

 private:
  friend class WatchedBus;
  struct Owed {
    std::string topic;
    std::vector<std::string> prefixes;  // subscriptions that were in effect
    bool durable = false;
    std::string publisher;   // a node ...
    std::uint64_t life = 0;  // ... and which of its processes
    Instant at;
    // By one of the same process that has arrived: it, or a later one, is its predecessor under one of them.
    bool named = false;
    bool ended = false;  // its process; the next one of the node has started ...
    bool told = false;   // ... with a log that tells of it, or without that log
  };
  using Stream = std::pair<std::string, std::uint64_t>;  // origin, incarnation
  using Debts = std::map<Stream, std::map<std::uint64_t, Owed>>;
  void published(const WatchedBus& publisher, const Event& event);
  // The next process of a node starts with `log`.
  void started(const std::string& node, const OriginBook& log);
  struct HubBuses {
    const SimulatedBus* cloud = nullptr;
    const SimulatedBus* wide = nullptr;
  };
  // The buses that speak and listen on the way from a publisher to a subscriber, one pair for each connection. Empty: a hub of theirs does not live.
  using Hop = std::pair<const SimulatedBus*, const SimulatedBus*>;  // who speaks, who listens
  std::vector<Hop> way(const WatchedBus& publisher, const WatchedBus& subscriber) const;
  // `served`: at the speaking ends, too.
  bool in_effect(const WatchedBus& subscriber, const WatchedBus& publisher, std::string_view prefix,
                 bool served) const;
  bool is_owed(WatchedBus& subscriber, const WatchedBus& publisher, std::string_view prefix) const;
  bool was_said(const Stream& stream, const Event& event);
  // Whether it can be known that the subscriber lacks it.
  bool knowable(const Owed& owed, Instant before) const;

  const Clock& world_;
  std::map<Stream, std::map<std::uint64_t, std::size_t>> said_;  // by sequence, a hash of its bytes
  std::map<std::string, WatchedBus*> buses_;  // of the processes that live, by node
  InLog in_log_;
  std::uint64_t found_ = 0;
  HubOf hub_of_;                          // empty: there is one cloud
  std::map<std::string, HubBuses> hubs_;  // of those that live, by name
  std::set<std::string, std::less<>> hub_names_;
};

// Passes everything on. Thread-bound; both buses outlive it.
class WatchedBus final : public Bus, private BusReceiver {
 public:
  // `bus`: what the process uses; `truth`: the real one behind it, asked which subscriptions are in effect; `log`: with which the
  // process starts.
  WatchedBus(Deliveries& deliveries, Bus& bus, const SimulatedBus& truth, const OriginBook& log);
  ~WatchedBus() override;
  WatchedBus(const WatchedBus&) = delete;
  WatchedBus& operator=(const WatchedBus&) = delete;

  // `heard` sees what the process is given, before it, and what it says.
  void tell_of(std::function<void(const Event& event)> heard) { tell_of_ = std::move(heard); }

  void start(BusReceiver& receiver, std::vector<OriginTail> past) override;
  void publish(const Event& event) override;
  void subscribe(std::string prefix, Reply<Done> reply) override;
  void unsubscribe(std::string prefix) override;
  void request(Address to, std::string bytes, Reply<std::string> reply) override;

 private:
  friend class Deliveries;
  void on_event(Event event) override;
  void on_gap(const BusGap& gap) override;
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override;
  void on_history(StreamRange range, Reply<StreamPart> reply) override;
  void on_rejected(std::string from, std::string why) override;
  void on_peer(std::string node, bool alive) override;
  void judge_denied(Instant before, const std::function<void(std::string what)>& say) const;
  // The gap is an event: what it covers is not lost in silence.
  void announced(const schema::Gap::Reader& gap);
  void given(const Deliveries::Stream& stream, const Event& event);

  Deliveries& deliveries_;
  Bus& bus_;
  const SimulatedBus& truth_;
  const std::string hub_;  // of its cloud; empty: there is none
  const Instant since_;
  BusReceiver* receiver_ = nullptr;
  std::function<void(const Event& event)> tell_of_;
  std::map<std::string, std::uint64_t, std::less<>> subscribed_;  // how often, by prefix
  // What has come to be in effect beyond hubs: prefix, node, and which of its processes.
  std::set<std::tuple<std::string, std::string, std::uint64_t>> beyond_;
  Deliveries::Debts owed_;
  std::vector<std::string> wrong_;                     // gaps, and what was given
  std::map<Deliveries::Stream, std::uint64_t> heard_;  // the newest that was given
  std::map<std::string, std::uint64_t> denied_told_;   // events, by whose queue was full
  Instant dropped_at_;  // the last event that did not fit, world time
};

}  // namespace supercloud
