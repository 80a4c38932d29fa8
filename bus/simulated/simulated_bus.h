// The bus of one simulated process, over a SimulatedNetwork.
//
// As in the ZeroMQ bus, subscriptions live at the publisher; here each message of the handshake meets the network's faults, and
// is repeated until it is answered:
//
//   ping        alive, every interval, to every endpoint of the network, and "I hold your connection n"; silence makes a peer dead
//   change      "prefix P is subscribed / not subscribed, as of my version v"         subscriber -> publisher
//   in effect   "version v of P is in effect; my origins stand at ..."                publisher -> subscriber
//   question    "anything may be lost: where do your origins stand?"                  subscriber -> publisher
//   standing    "they stand at ..."                                                   publisher -> subscriber
//   event       the very bytes; copied at the receiver, and validated only if no process here has published them
//   proof       a checkpoint of what is relayed next, where there are keys; it has no place in the queue of events
//   request, answer                                                                   not repeated; a doubled one is served once. Of its own (bus/calls.h)
//                                                                                     are those to cancel one, and for how far it is
//
// Subscriptions live and die with a connection, which the subscriber makes and numbers. Either end may be gone without the other's knowing: what is
// sent to an end that is gone is lost. A subscriber of whose connection its publisher's pings have not spoken for `silence_max` makes another, and
// doubts what it was given (GapDetector::doubt) until all subscriptions are in effect again and the publisher has said where its origins
// stand, up to where what is missing comes from its log. So it does when what waited for it was as much as there is room for.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bus/beyond.h"
#include "bus/calls.h"
#include "bus/gap_detector.h"
#include "bus/interest.h"
#include "bus/routes.h"
#include "bus/simulated/network.h"
#include "bus/subscriber.h"
#include "core/event.h"
#include "core/scheduler.h"

namespace supercloud {

struct SimulatedBusOptions {
  Duration ping_interval = absl::Seconds(1);
  Duration silence_max = absl::Seconds(3);  // a peer or a connection not heard for longer is dead
  Duration forget_after = absl::InfiniteDuration();  // of what is known of a dead peer
  // That a peer's machine or process ends is noticed at once, as where its connections are reset; who freezes or is cut off is not.
  bool resets_heard = false;
  Duration retry_interval = absl::Milliseconds(100);  // of the join handshake
  Duration request_max = absl::Minutes(5);            // for requests without a deadline
  // So many events may wait for a subscriber that takes none; further ones are dropped. What is under way when it is full waits beyond it, as what a
  // connection's buffers hold does. Who takes none for `silence_max` then is cut off, and has to connect again.
  std::size_t high_water_mark = 12'500;
  GapDetector::Options gaps;
  RepairTimes repair{.unheard_max =
                         absl::Seconds(10)};  // simulated machines that are gone rarely come back
  Proofs::KeysOf keys_of;                     // empty: none have keys
  std::shared_ptr<HeardBefore> heard_before;  // null: nothing is remembered
  // What of a subscription `node` is granted here, in prefixes of three tokens at most; empty: whoever it is, all. Logs answer for all.
  std::function<std::vector<std::string>(std::string_view node, const std::string& prefix)> grant;
  // The queue of a subscriber was full, at most once a second for each, which sees that as a gap. `backlog`: the `high_water_mark` events that
  // wait for it, and those since the last call for which there was no room.
  std::function<void(const std::string& name, std::uint64_t backlog)> on_slow_subscriber;
  // The bus cannot go on: AlreadyExists, another live process bears the name. It is then silent.
  std::function<void(absl::Status)> on_fatal;
};

// Thread-bound. Network, scheduler and pool outlive it. Destroying it is the end of its process: nothing is said to anyone.
class SimulatedBus final : public RelayingBus {
 public:
  // `name`: the node's, and its endpoint's in `network`. `scheduler`: the machine's own view of time, for timers; `network`
  // delivers on the world's.
  SimulatedBus(std::string name, SimulatedNetwork& network, Scheduler& scheduler, EventPool& pool,
               SimulatedBusOptions options = {});
  ~SimulatedBus() override;
  SimulatedBus(const SimulatedBus&) = delete;
  SimulatedBus& operator=(const SimulatedBus&) = delete;

  void start(BusReceiver& receiver, std::vector<OriginTail> past) override;
  void publish(const Event& event) override;
  void subscribe(std::string prefix, Reply<Done> reply) override;
  void unsubscribe(std::string prefix) override;
  void request(Address to, std::string bytes, Reply<std::string> reply) override;
  void relay(Beyond& beyond, bool hears_relays) override;
  bool has(std::string_view node) const override;
  std::vector<std::string> relays() const override { return subscriber_.relays(); }
  const GapDetector& followed() const override { return subscriber_.followed(); }
  std::vector<std::string> news() override { return subscriber_.news(); }
  const Proofs* proofs() const override { return subscriber_.proofs(); }
  void publish_proof(const Event& checkpoint, std::string_view prefix) override;

  const std::string& name() const { return name_; }
  const GapDetector::Counts& counts() const { return subscriber_.counts(); }
  // Which of the processes that bear its name one after another this is: 1, 2, ...
  std::uint64_t life() const { return life_; }
  // Whether process `life` of `node` is known to have this bus's subscription in effect.
  bool in_effect(std::string_view node, std::uint64_t life, std::string_view prefix) const;
  // Whether this bus sends process `life` of `node` what it publishes under `prefix`.
  bool serves(std::string_view node, std::uint64_t life, std::string_view prefix) const;
  // Events that found a subscriber's queue full: those that had room got them.
  std::uint64_t dropped() const { return dropped_; }
  // The same of each subscriber, by its name.
  const std::map<std::string, std::uint64_t>& denied() const { return denied_; }
  std::size_t high_water_mark() const { return options_.high_water_mark; }

  // What a broken or malicious process sends: `bytes` in the place of an event's.
  static void send_garbage(SimulatedNetwork& network, std::string_view from, std::string_view to,
                           std::string bytes);

 private:
  // A connection of a subscriber's.
  struct Link {
    std::uint64_t life = 0;    // which of its processes
    std::uint64_t number = 0;  // 0: none
    friend bool operator==(const Link&, const Link&) = default;
  };
  struct Ping {
    Link held;
  };
  struct Change {
    std::string prefix;
    std::uint64_t version = 0;
    bool active = false;
    std::uint64_t link = 0;
    bool beyond = true;  // who asks wants it in effect beyond a relay, too
  };
  struct InEffect {
    std::string prefix;
    std::uint64_t version = 0;
    Link link;
    std::vector<OriginTail> tails;
    bool relays = false;  // who says so
  };
  struct Question {
    std::uint64_t link = 0;
    std::uint64_t doubt = 0;
  };
  struct Standing {
    Link link;
    std::uint64_t doubt = 0;
    std::vector<OriginTail> tails;
  };
  struct Bytes {
    std::shared_ptr<const std::string> bytes;
    bool published = false;  // else whatever somebody sent
    Link link;
    bool after_loss = false;  // what was published before it found no room
  };
  struct Proof {
    std::shared_ptr<const std::string> bytes;
    Link link;
  };
  struct Request {
    std::uint64_t id = 0;
    std::string node;   // beyond who is asked; empty: it is who is asked
    std::string actor;  // of a node beyond: empty, whether it is there
    std::string bytes;
  };
  struct Answer {
    std::uint64_t id = 0;
    std::uint64_t life = 0;  // the asker
    absl::StatusOr<std::string> value;
  };
  using Body =
      std::variant<Ping, Change, InEffect, Question, Standing, Bytes, Proof, Request, Answer>;

  using Endpoint = SimulatedNetwork::Endpoint;
  class Letter;

  // The connection over which a peer gets what is published here.
  struct Inward {
    std::uint64_t number = 0;
    bool gone = false;                                  // this end of it
    bool lost = false;                                  // something, and it has not been told
    std::map<std::string, Change, std::less<>> wanted;  // what it subscribes
    std::set<std::string, std::less<>> granted;         // of that, where it may be less
  };
  // The one over which this bus gets what a peer publishes.
  struct Outward {
    std::uint64_t number = 0;
    Instant heard;                                                // that the other end holds it
    std::map<std::string, std::uint64_t, std::less<>> in_effect;  // versions
    std::uint64_t doubt = 0;   // which one it has not answered; 0: none
    bool doubt_again = false;  // when it has
  };
  struct Peer {
    Endpoint* endpoint = nullptr;
    std::uint64_t life = 0;  // 0: never heard
    bool alive = false;
    bool awaited = false;  // existed when this bus started, and may still answer
    bool forgotten = false;
    Instant last_heard;
    Inward in;
    Outward out;
    std::set<std::uint64_t> served;          // ids of its requests ...
    std::deque<std::uint64_t> served_order;  // ... the last served_max of them
    std::vector<std::uint64_t> unsent;       // requests that wait for its first word
  };
  struct Pending {
    std::string to;
    std::string node;  // Request::node
    std::string actor;
    std::string bytes;  // until sent
    Reply<std::string> reply;
    TimerId timer = 0;
    bool sent = false;           // to another process
    std::shared_ptr<Call> here;  // of who answers, in this one
  };

  static constexpr std::size_t served_max = 1024;

  Peer& peer_of(Endpoint& endpoint);
  void send(Endpoint& to, Body body);
  void take(Endpoint& from, std::uint64_t life, const Body& body, std::size_t burst);
  // Null: it comes from a process that ended.
  Peer* heard(Endpoint& from, std::uint64_t life);
  void took(Peer& peer, const Ping& ping);
  void took(Peer& peer, const Change& change);
  void took(Peer& peer, const InEffect& in_effect);
  void took(Peer& peer, const Question& question);
  void took(Peer& peer, const Standing& standing);
  void took(Peer& peer, const Bytes& bytes);
  void took(Peer& peer, const Proof& proof);
  void took(Peer& peer, const Request& request);
  void took(Peer& peer, const Answer& answer);
  const std::vector<Peer*>& subscribers_of(std::string_view topic);
  void tell_denied();

  Link link_to(const Peer& peer) const { return {life_, peer.out.number}; }
  Link link_of(const Peer& peer) const { return {peer.life, peer.in.gone ? 0 : peer.in.number}; }
  // A connection in the place of the one before.
  void connect(Peer& peer);
  void doubt(Peer& peer);
  void may_have_lost(Peer& peer);
  void cut_off(Peer& peer);
  void changed(const std::string& prefix, const Subscriber::Subscription& subscription);
  // What it has not answered is said to it, again. False: there is nothing.
  bool send_open(Peer& peer);
  void settle();
  // Where the origins stand that it publishes or relays.
  std::vector<OriginTail> tails() const;
  std::vector<std::string> granted(const Peer& peer, const std::string& prefix) const;
  // After one of its changes.
  void note_granted(Peer& peer, const Change& change);
  bool is_granted(const Inward& in, std::string_view prefix) const;
  bool is_in_effect_beyond(const Peer& peer, const Change& change) const;
  void answer_in_effect(Peer& peer, const Change& change);
  void note_interest();
  void in_effect_beyond(const std::string& prefix);
  void take_beyond(const Request& request, Reply<std::string> reply);
  void request_through(const std::string& relay, std::string node, std::string actor,
                       std::string bytes, Reply<std::string> reply);
  void request_beyond(Address to, std::string bytes, Reply<std::string> reply);
  Pending& add_pending(Pending pending, std::uint64_t& id);
  void send_request(std::uint64_t id, Pending& pending, Endpoint& to);
  void finish(std::uint64_t id, absl::StatusOr<std::string> value);
  // Who answers is told that nobody waits any more.
  void give_up(std::uint64_t id, absl::Status why);
  void ping();
  friend class SimulatedNetwork;
  // The peer's process has ended.
  void peer_reset(std::string_view name);
  // This end of a connection is gone.
  void subscriber_gone(std::string_view name);
  void publisher_gone(std::string_view name);
  bool lose(const std::string& name, Peer& peer);
  void retry();
  void arm_retry();
  // A task that does nothing once this bus is gone.
  template <class Function>
  Task guarded(Function function) {
    return [alive = std::weak_ptr<char>(alive_), function = std::move(function)]() mutable {
      if (!alive.expired()) function();
    };
  }

  std::string name_;
  SimulatedNetwork& network_;
  Endpoint& endpoint_;
  Scheduler& scheduler_;
  SimulatedBusOptions options_;
  bool registered_ = false;
  std::uint64_t life_ = 0;
  BusReceiver* receiver_ = nullptr;
  EventPool& pool_;
  Subscriber subscriber_;
  PublishedTails published_;
  // A process that relays:
  Beyond* beyond_ = nullptr;  // null: this one does not
  std::unique_ptr<Interest> interest_;
  bool hears_relays_ = true;
  Routes routes_;
  CallWatcher watcher_;
  OpenCalls calls_;
  std::map<std::string, Peer, std::less<>> peers_;
  // Who subscribes to the topics that begin with these three tokens, looked up last.
  std::string matched_lead_;  // empty: none
  std::vector<Peer*> matched_;
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t requests_ = 0;
  std::uint64_t doubts_ = 0;
  std::uint64_t dropped_ = 0;
  std::map<std::string, std::uint64_t> denied_;
  std::map<std::string, std::uint64_t> denied_told_;
  TimerId slow_timer_ = 0;
  TimerId ping_timer_ = 0;
  TimerId retry_timer_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
