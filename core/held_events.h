// What publishers wait for of one actor: the events of its subscriptions that hold (Queueing::Full::hold), from their arrival until it
// has taken them. Who waits asks its node again and again (awaitTaken), and is answered from here:
//
//   taken     came, and the actor said taken() of it or of a later one of its origin, or its subscription ended; or later ones or a gap came
//   waits     came, and was not taken
//   unseen    neither it nor a later one came: it is on its way, or was said before the subscription and never comes. So
//             it counts as taken when it has been asked for, and has not come, for longer than a bus takes to repair what is lost.
//
// Where nothing holds, as of an actor that has failed, nothing is taken, either: who waits is released by what the node says of it (bus.holding).
//
// Who asks is not known here, only whose events it asks for, which are of one node: what it may occupy is bounded by that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

// Whether anybody may be waited for with events of that type: durable ones only, for noted ones are of moments in which nothing may wait (a
// guest that is paused); and neither what a node reports of itself, for which nobody waits, nor leases, for which guests do.
bool may_be_held(schema::Payload::Which type);

// Thread-bound, as its actor.
class HeldEvents {
 public:
  using Taken = absl::AnyInvocable<void(std::vector<EventId>) &&>;

  // In vain, when look() is called then: what has come to be taken otherwise than by taken() is found when it is asked for again.
  static constexpr Duration answer_after = absl::Seconds(2);
  static constexpr Duration unseen_max = absl::Seconds(30);
  // That wait. Of more the oldest is answered, in vain: first of those of the same node.
  static constexpr std::size_t questions_max = 256, questions_per_node_max = 4;
  static constexpr std::size_t events_per_question_max = 512;
  // Of more events of a node it is not remembered since when they are asked for; a node lets half as many wait. Of more nodes, or more of all,
  // the node that was asked for longest ago is forgotten.
  static constexpr std::size_t unseen_per_node_max = 2048;
  static constexpr std::size_t unseen_nodes_max = 1024, unseen_events_max = 131'072;
  static constexpr std::size_t unseen_per_look = 4096;  // events, beside those of one node
  static constexpr std::size_t origins_max =
      4096;  // of which nothing waits; the rest is forgotten, and what is older unseen

  // A subscription that holds begins: what comes from here on waits. Others are to hear of it when it is in effect at publishers.
  std::uint64_t add(const Pattern& pattern, std::size_t events_max);
  // False: it has ended meanwhile.
  bool put_in_effect(std::uint64_t hold);
  // It ends, and what waited for it alone waits no longer; with the last one, as clear().
  void remove(std::uint64_t hold);
  // Nothing holds any more: who asks is answered in vain.
  void clear();

  bool any() const { return !holds_.empty(); }
  // Of those that are in effect.
  std::vector<std::string> patterns() const;

  // For the actor. True: it waits from here on.
  bool arrived(const Event& event);
  void missed(const BusGap& gap);
  void taken(const Event& event, Instant now);

  std::size_t waiting() const { return waiting_; }
  // That may wait: the most that any of the subscriptions allows.
  std::size_t waiting_max() const;

  // `then`, perhaps inside this call: those of them that are taken, as soon as there is one; none after a moment. All of one node.
  void await(std::vector<EventId> events, Instant now, Taken then);
  // Answers those that have waited long enough, and forgets what nobody asks for any more, a part of it each time; to be called now and then.
  // Its cost is bounded by the number of questions, whatever they ask for.
  void look(Instant now);

 private:
  using Position = std::pair<std::uint64_t, std::uint64_t>;  // incarnation, sequence
  struct Hold {
    std::uint64_t number = 0;
    Pattern pattern;
    std::size_t events_max = 0;
    bool in_effect = false;
  };
  struct Waiting {
    Position position;
    absl::InlinedVector<std::uint64_t, 2> holds;  // that it came under
  };
  struct Origin {
    Position newest;              // that came, or is known to be missed
    std::deque<Waiting> waiting;  // in their order
  };
  struct Question {
    std::string node;
    std::vector<EventId> events;  // in their order
    Instant until;
    Taken then;
  };
  struct Unseen {  // of one node
    Instant asked;
    std::map<EventId, Instant> since;
  };

  bool is_taken(const EventId& event, Instant now);
  bool is_unseen_for_long(const EventId& event, Instant now);
  void make_room_for_unseen(const std::string& node, Instant now);
  void forget_unseen(const std::string& node, const std::vector<EventId>& answered);
  void forget_old_unseen(Instant now);
  // Looks, of each question, at that part.
  void look_at(Instant now,
               absl::FunctionRef<absl::Span<const EventId>(const Question& question)> part);
  Origin& origin(const std::string& name);

  std::list<Hold> holds_;
  std::uint64_t last_ = 0;
  std::map<std::string, Origin> origins_;
  std::size_t waiting_ = 0;
  std::map<std::string, Unseen, std::less<>> unseen_;  // by node
  std::size_t unseen_events_ = 0;
  std::string unseen_looked_at_;  // the node at which the last look ended
  std::list<Question> questions_;
};

}  // namespace supercloud
