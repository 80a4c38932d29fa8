// The half of the live bus that publishes: an XPUB socket, bound. It answers markers (bus/zmq_wire.h) and, with keys, grants to each
// subscriber what its rights cover of what it asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bus/event_batch.h"
#include "bus/gap_detector.h"
#include "bus/interest.h"
#include "bus/prefix_set.h"
#include "bus/slow_subscribers.h"
#include "bus/trust.h"
#include "bus/zmq_probe.h"
#include "bus/zmq_socket.h"
#include "bus/zmq_wire.h"
#include "core/event_loop.h"

namespace supercloud {

struct ZmqPublisherOptions {
  std::string endpoint;
  int high_water_mark = 1000;
  Duration linger = absl::ZeroDuration();
  Duration silence_max =
      absl::ZeroDuration();         // a subscriber that is half gone is cut off after it
  std::size_t connections_max = 0;  // with keys
  // SlowSubscribers::Told. May be empty.
  SlowSubscribers::Told on_slow_subscriber;
};

// Thread-bound to the loop. Not destroyed from inside one of its callbacks.
class ZmqPublisher {
 public:
  using Rejected = std::function<void(std::string from, std::string why)>;

  // Of one subscriber, markers among them; it is cut off beyond.
  static constexpr std::size_t subscriptions_max = 4096;

  // AlreadyExists: another process has the endpoint; ResourceExhausted; InvalidArgument; Unavailable: no random numbers. `credentials` outlive it, and may change; no key in
  // them: all is plain.
  static absl::StatusOr<std::unique_ptr<ZmqPublisher>> bind(
      const std::shared_ptr<ZmqContext>& context, EventLoop& loop, const Member& self,
      const Credentials& credentials, ZmqPublisherOptions options, Rejected rejected);
  ~ZmqPublisher();
  ZmqPublisher(const ZmqPublisher&) = delete;
  ZmqPublisher& operator=(const ZmqPublisher&) = delete;

  // Before start(): what is subscribed here is subscribed there too, and what comes from there is published here.
  void relay(Beyond& beyond);
  void start(std::vector<OriginTail> past);
  void publish(const Event& event);
  // RelayingBus::publish_proof.
  void publish_proof(const Event& checkpoint, std::string_view prefix);
  // Within a long turn: sends what has waited for others for too long.
  void look() { batch_.look(); }
  // The credentials are others than `before`: whom that concerns has to connect again.
  void trust_changed(const Trust& before);

  std::string endpoint() const { return socket_->endpoint(); }
  // Events that found a subscriber's queue full, each in every form in which it did: those that had room got them.
  std::uint64_t dropped() const { return dropped_; }

 private:
  ZmqPublisher(EventLoop& loop, const Member& self, const Credentials& credentials,
               ZmqPublisherOptions options, Rejected rejected);
  bool secured() const { return credentials_.key != nullptr; }
  void on_subscription(std::string_view frame);
  bool in_step(std::string_view frame);
  void turn_out(std::string_view why);
  void decide(std::string_view topic, bool wanted);
  // One of the forms in which an event travels, or what proves it, and what is subscribed in it, without the lead.
  struct Form {
    std::string_view lead;
    PrefixSet wanted;
    std::size_t look = 16;  // with so many, whether they are still asked for
  };
  Form* form_of(std::string_view topic);
  void note(Form& form, std::string_view topic, bool wanted);
  void add(Form& form, std::string_view prefix);
  void let_go(Form& form, std::string_view prefix);
  void narrow(const Form& form);
  void note_interest();
  struct AskedMarker {
    std::string user;  // who is authenticated so; empty: nobody is
    bool together = false;
    std::uint64_t asked = 0;  // Interest::asked() as it came
  };
  // Whether it claims a name that another key is enrolled under. Who relays may speak for others.
  bool is_anothers(std::string_view marker) const;
  // With keys: the sender has subscribed it.
  void note_marker(std::string_view marker);
  void take_marker(std::string_view topic);
  void answer_marker(std::string_view topic, std::string_view user, bool together);
  std::string_view sender() const;
  void answer_markers();
  void send(std::string_view topic, std::string_view bytes, int events = 1);
  void publish_json(const Event& event, std::string_view wire_topic);

  const std::string name_;
  const std::uint64_t nonce_;
  const Credentials& credentials_;
  const ZmqPublisherOptions options_;
  Rejected rejected_;
  std::unique_ptr<ZmqSocket> socket_;
  std::unique_ptr<ZmqProbe> probe_;  // null: with keys
  PublishedTails published_;
  // Keys that asked for more than they may: what was granted within that stays until the connection ends, for libzmq does not count how often.
  std::set<std::string, std::less<>> narrowed_;
  // An event is made in no form that nobody wants.
  Form alone_{.lead = {}, .wanted = {}};
  Form together_{.lead = together_lead, .wanted = {}};
  Form json_{.lead = json_lead, .wanted = {}};
  Form proof_{.lead = proof_lead, .wanted = {}};
  Beyond* beyond_ = nullptr;  // null: it relays nothing
  std::unique_ptr<Interest> interest_;
  // With keys: whose a marker is that is subscribed; empty: several users', of whom none is named by it.
  std::map<std::string, std::string, std::less<>> marked_;
  std::map<std::string, AskedMarker, std::less<>>
      asked_;  // markers that wait for what is beyond, by topic
  EventBatch batch_;
  PrefixSet narrow_;  // of together_, those of more than three tokens
  bool out_of_step_ = false;
  std::uint64_t dropped_ = 0;
  SlowSubscribers slow_;
};

}  // namespace supercloud
