// What an actor holds to subscribe with a beginning: the past first, from logs and archives, then what happens, without a hole that is
// not told and without a double.
//
//   durable: position read ──▶ nodes show themselves (patience) ──▶ past, logs and archives ──▶ live
//                                                                    ▲                           │
//                      a hole, or a node that is new, or too slow ───┴───────────────────────────┘
//
// Whatever goes wrong has one cure: the logs are read once more, from where the reader stands. A hole that was noticed by what was heard is told
// as missing only when a reading of the logs that began after that has not filled it. That costs a question to all logs that can be had, which
// are read from where the reader stands, and what happens meanwhile waits for it. That nothing is missing unnoticed is reading.h's rule; what the
// bus tells as missing too late to be filled, behind later events of its origin, is told.
//
// A node whose log gives no answer (deadline x tries, or it is not reachable) is told as missing, once until it is heard again; then it is read. What
// was heard of it meanwhile has been handed out, and what it had said before that and was not heard is told, and not handed out any more.
//
// Order: each origin's own; between origins that of time while the past is read, but for what a node has that was heard of later.
//
// Durable subscriptions say how far they have come (subscription.position) every save_events events or save_interval, and on save(). After a
// restart they go on from the newest position that this node's log has, or else an archive: what was handed out after it is handed
// out again, also where the actor ended in order and had not called save(): when it is destroyed it can publish no more. So delivery is at least once
// over restarts, and exactly once between two. A position has room for some 200 origins (actors/reading/cursor.h); of others more may be handed
// out again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "actors/reading/reading.h"
#include "core/actor.h"

namespace supercloud {

// Where a subscription begins.
class From {
 public:
  // What happens from now on, by the clock of its publisher where it has to be read from a log.
  static From now() { return From(Kind::now); }
  static From beginning() { return From(Kind::past); }
  static From time(absl::Time time);
  // Of its origin what follows the event; of others all.
  static From behind(EventId event);
  // Of the past only the newest event of each topic, these in the order of time; then all.
  static From newest_of_topic() { return From(Kind::newest_of_topic); }

 private:
  friend class Follow;
  enum class Kind : std::uint8_t { now, past, newest_of_topic };
  explicit From(Kind kind) : kind_(kind) {}

  Kind kind_;
  HybridTime start_;
  EventId behind_;  // empty: none
};

struct FollowOptions {
  Pattern pattern;
  From from = From::now();
  // The subscription's name within its actor, at most some 40 bytes; empty: it is not remembered over restarts. With another pattern it is
  // another subscription, and begins as `from` says.
  std::string durable = {};
  // For others to show themselves before the past is read: a node says every two seconds that it is there.
  Duration patience = absl::Milliseconds(4500);
  Duration deadline = absl::Seconds(2);  // of one page ...
  std::uint32_t tries = 5;               // ... which is asked for so often when there is no answer
  std::uint32_t page_events = 500;
  std::size_t turn_events = 256;  // of the past, handed out in one turn
  std::size_t recent_max =
      4096;  // heard before the past has been read so far; more is read from logs
  std::size_t pending_max = 16'384;  // heard while the logs are read to their ends; likewise
  // newest_of_topic: where there are more, the newest of these so far are handed out, and then all that follows.
  std::size_t topics_max = 65'536;
  std::uint64_t save_events = 1000;  // between two positions at most, and ...
  Duration save_interval = absl::Seconds(5);
};

struct FollowCallbacks {
  std::function<void(const Event&)> on_event;
  // Missing, and in no log or archive that could be read. May be told of more than is missing, never of less.
  std::function<void(const MissedEvents&)> on_gap;
  std::function<void()> on_live = {};  // the past has been handed out; once
};

// Thread-bound to its actor, which owns it. All callbacks run in turns of the actor.
class Follow final : private ReadingHost, private ReadingSink {
 public:
  // Subscribes, so the actor receives more than it asked for: it passes everything to hear(), and handles what on_event is given.
  Follow(Context& context, FollowOptions options, FollowCallbacks callbacks);
  ~Follow() override;

  // To be given every event that the actor receives.
  void hear(const Event& event);
  // Says how far it has come, if it is durable: for an actor that is about to end in order.
  void save();
  bool live() const { return reading_ != nullptr && reading_->live(); }

 private:
  struct NoticedGap {
    BusGap gap;
    std::uint64_t round;
  };

  // ReadingHost
  void page(std::uint64_t reading, const Source& source, LogQuestion question,
            std::function<void(Page)> then) override;
  absl::StatusOr<Event> parse(Bytes bytes) override { return context_.pool().parse(bytes); }
  const std::map<std::string, bool>& nodes() const override { return nodes_; }
  const std::deque<Event>& recent() const override { return recent_; }
  // ReadingSink
  bool has_room() override { return given_in_turn_ < options_.turn_events && !again_; }
  bool offer(const Cursor& stands, const Event& event) override;
  bool offer(const Cursor& stands, const MissedEvents& missed) override;
  void caught_up() override;
  void end(const Cursor&, std::optional<SlowReader>) override { again_ = true; }

  // The position of an earlier run.
  void find_position();
  void ask_archive(const std::string& node, std::uint64_t from);
  void ask(const Address& to, Message<schema::Request> request, std::uint32_t tries,
           std::function<void(const Page&)> then);
  void consider(const Event& event);
  std::string position_subject() const;
  std::string position_pattern() const;

  void open();
  // A call of the reading, and what follows from it.
  void drive(absl::FunctionRef<void()> call);
  void note_node(const Event& event);
  void note_gap(const BusGap& gap);
  // Reads the logs again, a little later: one time for all that calls for it until then.
  void look_again();
  // After its node's log has been read.
  bool may_miss(const BusGap& gap) const;
  void hand_out_newest();
  void dirty();
  void save(const Cursor& stands);

  Context& context_;
  const FollowOptions options_;
  const FollowCallbacks callbacks_;
  const std::string prefix_;
  const HybridTime began_;
  std::map<std::string, bool> nodes_;  // that were heard
  struct Unreadable {
    bool told = false;  // as missing, since it was last thought to be back
    Instant again;      // no sooner is it read again, however often it is heard
    Duration pause = absl::Seconds(4);
  };
  std::map<std::string, Unreadable> without_;  // nodes whose logs could not be read
  bool node_is_new_ = false;                   // since the reading under way began
  std::deque<Event> recent_;
  Event position_;            // the newest that was found
  std::size_t archives_ = 0;  // asked for it, that have not answered
  std::unique_ptr<Reading> reading_;
  std::uint64_t round_ = 0;  // of reading the logs
  bool again_ = false;
  bool telling_ = false;  // of gaps that the logs have not filled
  TimerId step_timer_ = 0, look_timer_ = 0, save_timer_ = 0;
  std::size_t given_in_turn_ = 0;
  // By origin: up to where logs were read again, for a hole that ends there.
  std::map<std::string, Stand> tried_;
  std::deque<NoticedGap> gaps_;  // by the bus
  bool collecting_ = false;      // the newest of each topic
  bool went_live_ = false;
  std::map<std::string, Event> newest_;
  std::uint64_t unsaved_ = 0;
};

}  // namespace supercloud
