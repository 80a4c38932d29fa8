// The simulated network: every message between the processes of a simulated cluster passes through here, and meets the faults
// that the seed and the test ask for.
//
// What is published goes a way of its own from each process to each other one, in order. Its queue has room for as many events as the publisher
// says (its high-water mark): they have their places from when they find that the receiver takes nothing until it does. While it is full nothing
// more leaves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/random.h"
#include "core/ring.h"
#include "core/scheduler.h"
#include "core/time.h"

namespace supercloud {

class SimulatedBus;

// What happens to messages on the way. Without reordering, messages of one pair keep their order, as on a connection.
struct LinkFaults {
  Duration delay_min = absl::Microseconds(100);
  Duration delay_max = absl::Milliseconds(1);
  std::uint64_t loss_per_million = 0;
  std::uint64_t duplicate_per_million = 0;
  // such a message is late by up to `reorder_delay_max`, others overtake it
  std::uint64_t reorder_per_million = 0;
  Duration reorder_delay_max = absl::Milliseconds(20);
};

// Deterministic: the same calls, seed and scheduler give the same deliveries. Thread-bound.
class SimulatedNetwork {
 public:
  struct Counts {
    std::uint64_t sent = 0;
    std::uint64_t bytes =
        0;  // of these, of what says something: events, requests, answers, and where origins stand
    std::uint64_t delivered = 0;
    std::uint64_t lost = 0;  // by loss, partition, or an endpoint that is down
    std::uint64_t duplicated = 0;
    std::uint64_t reordered = 0;
  };

  // `scheduler` is the world's: deliveries run on it, whatever a machine's own clock shows.
  SimulatedNetwork(Scheduler& scheduler, Random random) : scheduler_(scheduler), random_(random) {}
  SimulatedNetwork(const SimulatedNetwork&) = delete;
  SimulatedNetwork& operator=(const SimulatedNetwork&) = delete;

  // Endpoints come into being up when they are first named here.
  void add(std::string_view name) { endpoint(name); }
  // Down: nothing leaves or arrives, and what is under way to it is lost; what it had sent still arrives elsewhere.
  void set_up(std::string_view name, bool up);
  bool is_up(std::string_view name) const;

  void set_faults(const LinkFaults& faults) { faults_ = faults; }
  void set_faults(std::string_view from, std::string_view to, const LinkFaults& faults);

  // One direction only; messages under way are lost too.
  void block(std::string_view from, std::string_view to);
  void unblock(std::string_view from, std::string_view to);
  // Both directions between every one of `group` and everyone else, endpoints added later included.
  void partition(const std::vector<std::string>& group);
  // Ends blocks and partitions; faults and endpoints that are down stay.
  void heal();
  // It takes nothing of what is published for it, though it hears requests, answers and pings: a slow subscriber. All of that waits until it takes
  // again. Of a process that ends nothing waits any more, and the next one of its name takes.
  void set_taking(std::string_view name, bool taking);
  // Its machine is frozen as a whole: all that gets there waits, of what is published as much as has room, until it goes on.
  void set_frozen(std::string_view name, bool frozen);
  // The connection over which `subscriber` gets what `publisher` publishes is gone at one of its ends. The other end is not told.
  enum class End : std::uint8_t { publisher, subscriber };
  void half_open(std::string_view publisher, std::string_view subscriber, End gone);

  // Ends all faults of links too, and everyone takes: for the second phase of a run.
  void calm();
  bool reachable(std::string_view from, std::string_view to) const;
  // What is under way to it is lost: its process ended.
  void reset(std::string_view name) { lose_under_way(endpoint(name)); }

  const Counts& counts() const { return counts_; }

 private:
  friend class SimulatedBus;
  using Pair = std::pair<std::string, std::string>;

  struct Endpoint;
  enum class Travels : std::uint8_t {
    queued,  // an event that is published
    behind,  // in order with these, though it has no place in their queue
    beside,  // over another connection
  };
  // A message under way.
  class Letter {
   public:
    Letter(SimulatedNetwork& network, Endpoint& from, Endpoint& to, Travels travels)
        : network_(network), from_(from), to_(to), generation_(to.generation), travels_(travels) {}
    virtual ~Letter() = default;
    Letter(const Letter&) = delete;
    Letter& operator=(const Letter&) = delete;
    Endpoint& from() const { return from_; }
    Endpoint& to() const { return to_; }
    // Runs at the receiver, more than once if the network duplicates the message. `burst`: how many came this way, one after another and with
    // this one, since the receiver last found nothing waiting; 0: it came beside what is published.
    virtual void arrive(std::size_t burst) const = 0;
    virtual std::size_t bytes() const = 0;

   private:
    friend class SimulatedNetwork;
    SimulatedNetwork& network_;
    Endpoint& from_;
    Endpoint& to_;
    const std::uint64_t generation_;
    const Travels travels_;
  };
  struct Way {
    Instant last_arrival;
    std::size_t places = 0;  // of its queue that are taken
    Instant moved;           // when the last of them became free, or the first one was taken
    Ring<std::shared_ptr<const Letter>> door;  // what has arrived, and was not taken
    std::size_t burst = 0;                     // see Letter::arrive()
  };
  struct Endpoint {
    std::string name;
    std::size_t number = 0;  // in the order in which they were named
    bool up = true;
    std::uint64_t generation = 0;  // grows when what is under way to it is lost
    SimulatedBus* bus = nullptr;   // who answers to the name now
    std::uint64_t lives = 0;       // how many processes bore it
    bool taking = true;            // what is published for it
    bool frozen = false;           // nothing is handed over; what came beside that:
    std::deque<std::shared_ptr<const Letter>> waiting;
    std::map<std::size_t, Way> ways;  // of what it has sent, by the receiver's number
  };
  // Of what has no place in a queue so much waits; more is lost.
  static constexpr std::size_t behind_max = 4096;

  Endpoint& endpoint(std::string_view name);
  void lose_under_way(Endpoint& lost);
  void send(std::shared_ptr<const Letter> letter);
  void carry(std::shared_ptr<const Letter> letter, const LinkFaults& faults);
  void arrived(const std::shared_ptr<const Letter>& letter);
  void leave(Way& way, const Letter& letter);
  void hand_over(Way& way, const Letter& letter);
  bool lost(const Letter& letter) const;
  void arrived_beside(const std::shared_ptr<const Letter>& letter);
  void take_waiting(Endpoint& to);
  std::size_t places(const Endpoint& from, const Endpoint& to) const;
  // For how long there was no movement in a queue that something waits in.
  Duration stuck(const Endpoint& from, const Endpoint& to) const;
  bool severed(std::string_view from, std::string_view to) const;
  const LinkFaults& faults(const Endpoint& from, const Endpoint& to) const;

  Scheduler& scheduler_;
  Random random_;
  Counts counts_;
  LinkFaults faults_;
  std::map<Pair, LinkFaults> pair_faults_;
  std::map<std::string, Endpoint, std::less<>> endpoints_;  // they stay where they are
  std::set<Pair> blocked_;
  std::vector<std::set<std::string, std::less<>>> groups_;
};

}  // namespace supercloud
