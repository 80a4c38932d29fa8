// The live bus: ZeroMQ publish/subscribe and requests, each member connected to each other. Wire and handshake: bus/zmq_wire.h;
// who is a member: bus/membership.h; what keys and rights promise: docs/security.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bus/beyond.h"
#include "bus/calls.h"
#include "bus/gap_detector.h"
#include "bus/membership.h"
#include "bus/routes.h"
#include "bus/subscriber.h"
#include "bus/trust.h"
#include "bus/zap.h"
#include "bus/zmq_publisher.h"
#include "bus/zmq_server.h"
#include "bus/zmq_socket.h"
#include "bus/zmq_wire.h"
#include "core/event_loop.h"

namespace supercloud {

struct ZmqBusOptions {
  std::string name;         // the node's; a client's is its own and used once
  std::uint64_t nonce = 0;  // tells processes of one name apart; 0: the time
  // A client (a command of a person's) publishes nothing and serves nothing: it binds nothing, and nobody connects to it.
  bool client = false;
  // With them all endpoints are tcp, encrypted, and open to enrolled keys alone; the name is the one under which the own key is enrolled. Without
  // them all are ipc, and whoever may open the file is believed.
  Credentials credentials;
  std::string publish_bind;  // "ipc:///run/...", "tcp://127.0.0.1:*"
  std::string request_bind;
  std::string publish_advertised;  // what others connect to, where it is not what is bound
  std::string request_advertised;
  // Request endpoints of some members; one living one is enough. With keys "name@tcp://...": whose key is expected there.
  std::vector<std::string> seeds;

  Duration hello_interval = absl::Seconds(1);
  Duration silence_max = absl::Seconds(3);
  Duration forget_after = absl::Minutes(5);  // what is known of a dead member that is no seed
  Duration handshake_retry = absl::Milliseconds(200);
  Duration linger = absl::Milliseconds(200);  // at the end, for what is published and not yet sent
  Duration request_max = absl::Minutes(5);    // for requests without a deadline
  // Messages waiting per connection and direction. Of those with several events that is 100 MB, which all that wait for the same ones share.
  int high_water_mark = 12'500;
  // Members of one cloud are connected each with each: so many others at most, of whom none is a client. Further ones are refused.
  std::size_t neighbours_max = neighbours_default;
  int sockets_max = ZmqContext::sockets_max;  // a member for which none is left is rejected
  // With keys, of each bound socket, and never more than a quarter of what files the system allows: beyond, one goes that has said nothing.
  std::size_t connections_max = 4096;
  GapDetector::Options gaps;
  RepairTimes repair;
  // With keys: of the processes of this node before this one, and from now on of this one. Null: nothing is remembered.
  std::shared_ptr<HeardBefore> heard_before;

  OnWish on_wish;  // bus/zmq_server.h; empty: nothing is published for others
  // The process of that name does not let in this one's key. Told again every few seconds, while that lasts.
  std::function<void(const std::string& name, const std::string& endpoint)> on_shut_out;
  // The bus cannot go on, and is silent from then on: AlreadyExists, another process bears the name.
  std::function<void(absl::Status)> on_fatal;
  // A subscriber's queue was full; at most once a second for each. Until it has room again it gets nothing, and sees that as a gap. `name`:
  // the one under which its key is enrolled, or, without keys, which it says; empty: nobody knows (SlowSubscribers). `backlog`: what waits
  // for it, and the events since the last call for which there was no room; of one without a name those alone.
  SlowSubscribers::Told on_slow_subscriber;
};

// Thread-bound to its loop.
class ZmqBus final : public RelayingBus, private Membership::Listener {
 public:
  // Binds. AlreadyExists: another process has the endpoint; InvalidArgument: no endpoint that can be bound, or none without keys;
  // PermissionDenied: the own key is not enrolled under the name.
  static absl::StatusOr<std::unique_ptr<ZmqBus>> open(EventLoop& loop, EventPool& pool,
                                                      ZmqBusOptions options);
  ~ZmqBus() override;
  ZmqBus(const ZmqBus&) = delete;
  ZmqBus& operator=(const ZmqBus&) = delete;

  void start(BusReceiver& receiver, std::vector<OriginTail> past) override;
  void publish(const Event& event) override;
  void subscribe(std::string prefix, Reply<Done> reply) override;
  void unsubscribe(std::string prefix) override;
  void request(Address to, std::string bytes, Reply<std::string> reply) override;
  void relay(Beyond& beyond, bool hears_relays) override;
  bool has(std::string_view node) const override;
  std::vector<std::string> relays() const override;
  const GapDetector& followed() const override { return subscriber_.followed(); }
  std::vector<std::string> news() override { return subscriber_.news(); }
  const Proofs* proofs() const override { return subscriber_.proofs(); }
  void publish_proof(const Event& checkpoint, std::string_view prefix) override;

  // What is believed from now on, with keys. Who is not any more is cut off at once; whose right to subscribe has changed connects again.
  void set_trust(std::shared_ptr<const Trust> trust);

  // Of a client: the names of all whom it has heard, or of whom a member has told it, reachable or not; hubs among them.
  std::set<std::string> told_of() const;

  // Where others reach this one: what a seed is.
  const std::string& request_endpoint() const { return self_.request_endpoint; }
  const std::string& publish_endpoint() const { return self_.publish_endpoint; }
  // Where it is bound, which others may reach through something else.
  std::string publish_endpoint_bound() const { return publisher_ ? publisher_->endpoint() : ""; }
  const GapDetector::Counts& counts() const { return subscriber_.counts(); }
  // Events that found a subscriber's queue full: those that had room got them.
  std::uint64_t dropped() const { return publisher_ ? publisher_->dropped() : 0; }

 private:
  // In which of its forms a publisher's events are subscribed; both, until a marker says that what comes together is in effect.
  enum class Form : std::uint8_t { alone, both, together };
  // One publisher that is subscribed to.
  struct Source {
    Member member;
    PublicKey key;  // with keys: the member's
    bool alive = false;
    std::unique_ptr<ZmqSocket> socket;  // null: none could be made yet
    Form form = Form::alone;            // until the process there says that it can
    bool proves = false;  // the checkpoints of what it relays are subscribed there, too
    std::string marker;   // the topic of the one under way; empty: none
    std::string
        standing;  // of the last that came: the publisher names this process by it while its queue is full
    std::map<std::string, std::uint64_t> requested;  // prefix and version that it will confirm
    bool doubtful = false;     // something may be lost; the marker will say where its origins stand
    bool doubt_again = false;  // or will be behind that
    Instant marker_at;
  };
  struct Pending {
    std::string to;
    std::string node;  // beyond it; empty: it is who is asked
    std::string actor;
    std::string bytes;  // until sent
    bool sent = false;
    Instant deadline;
    Reply<std::string> reply;
    TimerId timer = 0;
    std::shared_ptr<Call> here;  // of who answers, in this process
  };

  ZmqBus(EventLoop& loop, EventPool& pool, ZmqBusOptions options);
  absl::Status check() const;
  absl::Status bind(EventPool& pool);
  bool secured() const { return credentials_.key != nullptr; }
  std::size_t room() const { return static_cast<std::size_t>(options_.high_water_mark); }
  void warn_of(const std::string& prefix);
  void rejected(std::string from, std::string why);
  void forget_heard(const Trust& before);
  absl::Status admit(std::string_view node, const Event& event);

  // Membership::Listener
  void on_up(const Member& member) override;
  void on_down(const std::string& name) override;
  void on_forgotten(const std::string& name) override;
  void on_settled() override;
  void on_answer(const std::string& name, WireAnswer answer) override;
  void on_bad_frame(const std::string& from, const absl::Status& why) override;
  void on_refused(absl::Status why) override;
  void on_shut_out(const std::string& name, const std::string& endpoint) override;

  void subscribe_at(Source& source, const std::string& prefix);
  void unsubscribe_at(Source& source, const std::string& prefix);
  void begin_together(Source& source);
  void end_alone(Source& source);
  void begin_proofs(Source& source);
  void on_published(const std::string& name, ZmqSocket::Frames frames);
  void on_together(const std::string& name, std::string_view prefix, std::string_view frame);
  void on_marker(Source& source, std::string_view frame);
  bool may_relay(std::string_view name) const;
  // Whether it is, from now on.
  bool believe_relay(const std::string& name);
  void changed(const std::string& prefix, const Subscriber::Subscription& subscription);
  bool attach(Source& source);
  void detach(const std::string& name);
  void doubt(const std::string& name);
  void may_have_lost(const std::string& name, Source& source);
  void place_marker(Source& source);
  void repeat_marker(Source& source);
  void arm_retry();
  void retry();
  void add_pending(Pending pending);
  void send_request(std::uint64_t id, Pending& pending);
  // Through a hub.
  void send_beyond(std::uint64_t id);
  void release_requests();
  // Who answers is told that nobody waits any more.
  void give_up(std::uint64_t id, absl::Status why);
  void finish(std::uint64_t id, absl::StatusOr<std::string> value);
  template <class Function>
  Task guarded(Function function) {
    return [alive = std::weak_ptr<char>(alive_), function = std::move(function)]() mutable {
      if (!alive.expired()) function();
    };
  }

  EventLoop& loop_;
  ZmqBusOptions options_;
  Credentials credentials_;
  Member self_;
  BusReceiver* receiver_ = nullptr;
  bool fatal_ = false;
  std::shared_ptr<ZmqContext> context_;
  std::unique_ptr<ZapHandler> zap_;
  std::unique_ptr<ZmqPublisher> publisher_;  // null: a client
  std::unique_ptr<ZmqServer> server_;
  std::unique_ptr<Membership> membership_;
  std::map<std::string, Source, std::less<>> sources_;
  Subscriber subscriber_;
  std::vector<Bytes> together_;  // of the message that is being taken
  struct Admitted {
    std::string origin, topic;
  };
  Admitted admitted_;  // the last, by the trust there is
  std::map<std::uint64_t, Pending> pending_;
  bool hears_relays_ = true;
  Routes routes_;
  CallWatcher watcher_;
  std::uint64_t last_request_ = 0;
  std::uint64_t last_marker_ = 0;
  TimerId retry_timer_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
