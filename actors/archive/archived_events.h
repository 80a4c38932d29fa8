// What publishers of this node wait for: `local`, their event is in the node's log; or `archived(k)`, it is also on the disks of archives of k
// other machines, and stays known when this one is gone with its disk. And, whatever the node's file says, every subscriber that
// holds (Queueing::Full::hold) and was known when the event was logged has taken it; where none was known when it was published, and no archive
// is to have it, nobody is waited for.
//
// ArchivedEvents is the node's custody (core/custody.h), and Custodian the actor that asks archives and, by Holders, those that hold:
//
//   in the log ─▶ waits here ─┬▶ every archive that says it keeps such events is asked (awaitArchived) ─▶ k machines have it ─┬▶ `logged`
//                             └▶ every node with an actor that holds it is asked (awaitTaken) ─▶ it has taken it, or is released ┘
//
// All are asked, again and again, until k have answered: so one that is down, slow or full delays nothing where others are, and where there are
// too few the publisher waits, however long. Too long is said once, as bus.slow_subscriber, until all is well again.
//
// Subscribers get the event when it is in the node's own log, as ever: archives and those that hold learn of it no other way. Between events nothing
// is promised: those of one publisher may be archived, and told, in another order than they were published. Who is restarted and finds an event in its
// log knows that it was logged, not that it was archived or taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/archive/holders.h"
#include "core/actor.h"
#include "core/custody.h"

namespace supercloud {

inline constexpr const char* custodian_actor = "custodian";

// How many machines' archives have to have an event, by its type; 0, or no entry: none.
using ArchivedTypes = std::map<schema::Payload::Which, std::uint32_t>;
// From "instance.launched" or, for all types of a domain, "instance.*", where those that are named themselves go before. InvalidArgument: the type
// is not known, in no log, or the node's own report, for which nobody waits.
absl::Status add_archived(ArchivedTypes& types, std::string_view name, std::uint32_t machines);
absl::StatusOr<ArchivedTypes> archived_types(const std::map<std::string, std::uint32_t>& names);

struct ArchivedOptions {
  ArchivedTypes types;
  // Whether a node may subscribe that topic, and so be waited for; empty: all may.
  std::function<bool(std::string_view node, std::string_view topic)> may_hear;
  std::size_t waiting_max = 1024;  // events; of a commit that is under way, so many more
};

// Thread-bound.
class ArchivedEvents final : public Custody {
 public:
  struct Waiting {
    Event event;
    std::uint32_t machines = 0;  // that have to have it
    Kept kept;
    std::set<std::string> at;       // those that have it
    std::set<std::string> holders;  // "node/actor", who have not taken it
    Instant since{};                // when the custodian saw it first
    std::int64_t looks = 0;         // of Holders, which has seen it so often

    bool needs_archives() const { return at.size() < machines; }
  };

  explicit ArchivedEvents(ArchivedOptions options) : options_(std::move(options)) {}

  bool holds(schema::Payload::Which type, std::string_view topic) const override {
    return machines_for(type) > 0 || !holders_of(type, topic).empty();
  }
  absl::Status room() const override;
  void keep(Event event, Kept kept) override;
  void leave() override;

  // For the custodian. In the order in which they came.
  std::map<std::uint64_t, Waiting>& waiting() { return waiting_; }
  bool archives() const { return !options_.types.empty(); }
  // One more machine has it.
  void has(std::uint64_t number, const std::string& machine);
  // By "node/actor", what it holds. What waits for one that does not hold it any more goes on; so many did.
  const std::map<std::string, std::vector<Pattern>>& holders() const { return holders_; }
  std::size_t set_holder(const std::string& holder, std::vector<Pattern> patterns);
  std::set<std::string> holders_of(schema::Payload::Which type, std::string_view topic) const;
  // With each event that goes on so, without having been taken: for who judges.
  using Release = std::function<void(const EventId& event, const std::string& holder)>;
  void on_release(Release then) { released_ = std::move(then); }
  void taken(std::uint64_t number, const std::string& holder);
  // Once, when there is something new.
  void on_news(Reply<Done> news) { news_ = std::move(news); }

 private:
  using Waitings = std::map<std::uint64_t, Waiting>;

  std::uint32_t machines_for(schema::Payload::Which type) const;
  bool holds_topic(const std::string& holder, const std::vector<Pattern>& patterns,
                   std::string_view topic) const;
  // Waits no longer, if it has all it needs.
  void settle(Waitings::iterator waiting);

  const ArchivedOptions options_;
  Waitings waiting_;
  std::map<std::string, std::vector<Pattern>> holders_;
  Release released_;
  std::uint64_t last_ = 0;
  Reply<Done> news_;
  bool left_ = false;
};

struct CustodianOptions {
  Duration deadline = absl::Seconds(5);  // of one question
  // After one that failed: twice as long each time.
  Duration again_min = absl::Milliseconds(250), again_max = absl::Seconds(5);
  Duration say_after = absl::Seconds(30);
  HolderOptions holders;
  std::string instance;  // that this node runs on; empty: on none
};

// Thread-bound. `events` outlives it, and goes on waiting when it fails.
class Custodian final : public Actor {
 public:
  Custodian(Context& context, ArchivedEvents& events, CustodianOptions options);
  void receive(const Event& event) override;

 private:
  struct Keeper {                     // a node with an archive
    std::string machine;              // its instance, or where it has none the node
    std::vector<std::string> said;    // patterns
    std::vector<Pattern> patterns;    // the same
    std::uint64_t incarnation = 0;    // of its agent
    bool asked = false;               // and has not answered
    bool doubt = false;               // it refused some: one at a time
    std::set<std::uint64_t> refused;  // until the next pause is over
    Duration pause;                   // after the next failure
    TimerId timer = 0;
    std::string trouble;  // of the last answer; empty: none
  };

  void listen();
  void learn(const Event& event);
  void look();
  void ask(const std::string& node, Keeper& keeper);
  void answered(const std::string& node, const std::vector<std::uint64_t>& asked,
                const absl::Status& status);
  void pause(const std::string& node, Keeper& keeper, Duration span);
  void watch_time();
  void say_late(const ArchivedEvents::Waiting& waiting);

  Context& context_;
  ArchivedEvents& events_;
  const CustodianOptions options_;
  std::map<std::string, Keeper> keepers_;  // by node
  Holders holders_;
  TimerId late_ = 0;
  bool said_ = false;  // that something waits for long
};

}  // namespace supercloud
