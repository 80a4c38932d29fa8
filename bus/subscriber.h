// The receiving half of a bus, whatever carries the bytes: which prefixes are subscribed, at which publishers that is in effect,
// and what the owner is told of what arrives.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "bus/checkpoint.h"
#include "bus/gap_detector.h"
#include "bus/heard_before.h"
#include "bus/history.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/scheduler.h"

namespace supercloud {

// How long a subscriber tries to get from a publisher's log what it misses. What follows of that origin waits. Then, and when its log does not know
// the origin, those that are heard are asked one after another whether they have an archive with it. Archives keep unequally much: each is asked for
// each part, and what is in none of them is missing.
struct RepairTimes {
  Duration answer_max = absl::Seconds(2);  // for one question
  Duration retry = absl::Milliseconds(250);
  Duration within = absl::Seconds(10);  // while the publisher is heard, and its log cannot be read
  Duration unheard_max = absl::Minutes(5);  // while it is not heard
};

// Thread-bound. Heartbeats are always subscribed: their tails show what was lost at the end of a stream.
class Subscriber {
 public:
  struct Subscription {
    std::uint64_t owned = 0;    // how often the owner subscribed
    bool internal = false;      // the bus itself needs it
    std::uint64_t version = 0;  // grows with every change between active and not
    bool active() const { return owned > 0 || internal; }
  };
  using Subscriptions = std::map<std::string, Subscription, std::less<>>;
  // A subscription became active, or ceased to be: the transport tells all publishers.
  using Changed = std::function<void(const std::string& prefix, const Subscription& subscription)>;
  // Sends a request, as Bus::request. With keys a question to `history_actor` goes to that node itself, or nowhere (Unavailable): its answer is
  // believed.
  using Ask = std::function<void(Address to, std::string bytes, Reply<std::string> reply)>;

  Subscriber(Scheduler& scheduler, EventPool& pool, GapDetector::Options options, RepairTimes times,
             Changed changed, Ask ask);
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  void start(BusReceiver& receiver);
  // Asked about each event before it counts, also about what comes from a log: an error rejects it. Without: all are admitted.
  using Admit = std::function<absl::Status(std::string_view node, const Event& event)>;
  void admit_only(Admit admit) { admit_ = std::move(admit); }
  // What others than its own node tell of an event has to be proven by checkpoints, by these keys: what archives answer, and what relays let
  // pass. Without: archives are asked for no proof, and both are believed.
  void take_proven(const Proofs::KeysOf& keys_of) {
    keys_of_ = keys_of;
    proofs_.emplace(keys_of);
  }
  const Proofs* proofs() const { return proofs_ ? &*proofs_ : nullptr; }
  // With take_proven(): what has to be proven and `heard` calls a replay is refused, and is a gap where it was asked for.
  void refuse_replays(std::shared_ptr<HeardBefore> heard) { heard_before_ = std::move(heard); }
  // Other keys are believed from now on.
  void forget_proofs() {
    if (proofs_) proofs_->forget();
  }

  // As Bus says. The reply waits for the publishers that are expected now, and those met before the bus has settled.
  void subscribe(const std::string& prefix, Reply<Done> reply);
  void unsubscribe(const std::string& prefix);
  const Subscriptions& subscriptions() const { return subscriptions_; }

  // The processes known at the start have all been heard or given up.
  void settle();
  bool settled() const { return settled_; }
  // Whether `node` relays what others say, from now on. True: doubt() has to follow.
  bool relays(const std::string& node, bool does) { return detector_.relays(node, does); }
  // What others relay is refused: of this process itself that is expected.
  void hear_neighbours_only() { neighbours_only_ = true; }
  bool is_relay(std::string_view node) const { return detector_.is_relay(node); }
  std::vector<std::string> relays() const;  // that are expected
  // With GapDetector::Options::onward.
  const GapDetector& followed() const { return detector_; }
  std::vector<std::string> news() { return detector_.news(); }
  // A publisher that is alive, or may turn out to be.
  void expect(const std::string& node);
  // It is dead: nobody waits for it.
  void dismiss(const std::string& node);
  // Another process bears the name now: nothing is in effect there.
  void restarted(const std::string& node);
  // Nothing is kept of it but where its origins stood.
  void forget(const std::string& node);
  // Version `version` of a subscription is in effect at `node`, whose origins stood at `tails`.
  void in_effect(const std::string& node, const std::string& prefix, std::uint64_t version,
                 absl::Span<const OriginTail> tails);
  // What `node` published last may be lost on its way, until it has said where its origins stand (GapDetector::doubt).
  void doubt(const std::string& node);
  void cleared(const std::string& node, absl::Span<const OriginTail> tails);
  // The newest version known to be in effect; 0: none.
  std::uint64_t version_at(std::string_view node, std::string_view prefix) const;

  // Bytes that claim to be an event whose topic on the wire was `topic` (empty: not told), from a process known as `from`.
  void arrived(const std::string& from, std::string_view topic, Bytes bytes);
  // The same of several that came together, of topics that begin with `prefix`.
  void arrived_together(const std::string& from, std::string_view prefix,
                        absl::Span<const Bytes> events);
  // An event that needs no validation.
  void arrived(const std::string& from, Event event);
  // Bytes that claim to be a checkpoint of what the relay `from` lets pass next.
  void proof_arrived(const std::string& from, std::string_view bytes);

  const GapDetector::Counts& counts() const { return detector_.counts(); }

 private:
  struct Publisher {
    bool expected = false;
    std::map<std::string, std::uint64_t, std::less<>> in_effect;  // version by prefix
  };
  struct Waiter {
    std::string prefix;
    std::uint64_t version = 0;
    std::set<std::string, std::less<>> nodes;
    Reply<Done> reply;
  };

  struct Repair {  // a question under way, or to be asked again
    StreamRange range;
    Instant failing_since = far_future;  // far_future: not yet
    TimerId retry = 0;
    std::string archive;  // of which node is asked in its publisher's place; empty: none
  };
  // Of an origin whose publisher cannot be asked, while archives are.
  struct Orphan {
    std::string why;
    bool goes_on = false;  // more is missing than archives had in one answer each
    // Nodes that do not answer, or get nowhere; and how many empty parts each has answered with.
    std::set<std::string, std::less<>> given_up;
    std::map<std::string, std::size_t, std::less<>> vain;
    std::uint64_t question = 0;
    // Of that: who was asked, and what was answered, by sequence. They have no more of it up to `through`.
    std::set<std::string, std::less<>> asked;
    std::map<std::uint64_t, Event> found;
    std::uint64_t through = 0;
  };

  void change(const std::string& prefix, Subscription& subscription, bool was_active);
  void reply_soon();
  void reply_waiters();
  // As the detector wants it: who relays that event; empty: its own node sends it.
  std::string_view relay_of(const std::string& from, const Event& event) const;
  // Whether it counts: it comes from its own node, or is proven. What is not is as good as lost, and asked for like that.
  bool is_proven(const std::string& from, const Event& event);
  // It is expected: who speaks in its name is itself.
  bool is_neighbour(std::string_view node) const;
  bool was_heard_before(const Event& event) const;
  bool take_checkpoint(const std::string& from, const Event& checkpoint);
  // Where only neighbours are heard: whether it is another's.
  bool is_second_hand(const std::string& from, const Event& event);
  bool owned(std::string_view prefix) const;
  // Whether the owner subscribes to it or to a part of it.
  bool owned_below(std::string_view prefix) const;
  bool wanted(const Event& event) const;
  // Told by its topic on the wire, whole or up to its third token.
  void take(const std::string& from, Bytes bytes, std::string_view told, bool whole, Instant now);
  void drain();
  void arm_expiry();
  void begin_repair(std::uint64_t id);
  void ask(std::uint64_t id);
  void answered(std::uint64_t id, const absl::StatusOr<std::string>& answer);
  void not_answered(std::uint64_t id, const absl::Status& why);
  void give_up(std::uint64_t id, std::string_view why);
  void end_repair(std::uint64_t id, std::string_view why);
  // False: nobody is left to be asked.
  bool ask_archive(std::uint64_t id, std::string_view why);
  void archive_answered(std::uint64_t id, const absl::StatusOr<std::string>& answer);
  void take_part(const StreamRange& range, const std::string& node,
                 const absl::StatusOr<std::string>& answer, Orphan& orphan);
  // With what all archives together have. False: nothing.
  bool repair_from_archives(std::uint64_t id);
  absl::StatusOr<Event> parse(std::string_view bytes);
  // The events of an answer from `node`, as far as they are admitted; `refused`: the others' sequences.
  absl::StatusOr<std::vector<Event>> events_of(const absl::StatusOr<HistoryAnswer>& part,
                                               const StreamRange& range, const std::string& node,
                                               std::vector<std::uint64_t>& refused);

  Scheduler& scheduler_;
  EventPool& pool_;
  const RepairTimes times_;
  Changed changed_;
  Ask ask_;
  Admit admit_;
  Proofs::KeysOf keys_of_;                     // empty: without keys, as is what follows
  std::optional<Proofs> proofs_;               // of what relays let pass
  std::shared_ptr<HeardBefore> heard_before_;  // null: nothing is known of processes before
  // Relays that were said to send no proofs, since it was last known what they let pass.
  std::set<std::string, std::less<>> unproving_;
  BusReceiver* receiver_ = nullptr;
  GapDetector detector_;
  Subscriptions subscriptions_;
  std::map<std::string, Publisher, std::less<>> publishers_;
  std::vector<Waiter> waiters_;
  std::map<std::uint64_t, Repair> repairs_;
  std::map<std::string, Orphan, std::less<>> orphans_;  // by origin
  std::set<std::string, std::less<>> without_archive_;  // nodes that have said so
  bool settled_ = false;
  bool neighbours_only_ = false;
  bool draining_ = false;
  TimerId expiry_timer_ = 0;
  TimerId growing_ = 0;
  Instant expiry_at_ = far_future;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

// Calls `each` with the prefixes of zero to three tokens under which a topic can be subscribed, until it returns true.
bool any_prefix(std::string_view topic, absl::FunctionRef<bool(std::string_view prefix)> each);

// Whether what is subscribed so is subscribed beyond a relay too: all but heartbeats, which stay among neighbours.
bool relayed_prefix(std::string_view prefix);

// InvalidArgument for bytes that the bus does not take.
absl::Status check_size(std::string_view what, std::size_t size);

}  // namespace supercloud
