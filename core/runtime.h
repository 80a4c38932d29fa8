// What the actors of a node share: the one queue of deliveries, the turn under way, publishing.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "core/actor.h"
#include "core/hybrid_clock.h"
#include "core/node.h"
#include "core/publisher.h"
#include "core/ring.h"
#include "core/subscription_index.h"

namespace supercloud {

class ActorCell;
class Runtime;

inline constexpr std::size_t reports_max = 256;

// The way in from other threads and later times: what arrives when the node has ended goes nowhere.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  Gate(Scheduler& scheduler, Runtime& runtime) : scheduler_(&scheduler), runtime_(&runtime) {}

  // Brings a reply's value to a waiting turn of `cell`. Thread-safe.
  void resume(ActorCell& cell, std::uint64_t token, Context::Value value);
  // On the owner's thread: null after close().
  Runtime* runtime() const { return runtime_; }
  void close();

 private:
  // other threads look and post under it, so that a closed gate's scheduler is not touched
  std::mutex mutex_;
  Scheduler* scheduler_;
  Runtime* runtime_;
};

// One delivery. With a queue: what waits in that under the ticket. With a task: a turn, caused by `event`; with an event alone: receive();
// with none of them: a look at a failure.
struct Mail {
  ActorCell* cell = nullptr;
  std::uint64_t generation = 0;
  Event event;
  Task task;
  std::uint32_t queue = 0;  // the number of one of the cell's
  std::uint64_t ticket = 0;
};

// Thread-bound to the node's scheduler.
class Runtime {
 public:
  Runtime(NodeSeams seams, NodeOptions options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const NodeOptions& options() const { return options_; }
  NodeSeams& seams() { return seams_; }
  Instant now() const { return seams_.scheduler.clock().now(); }
  Publisher& publisher() { return publisher_; }
  SubscriptionIndex& index() { return index_; }
  const std::shared_ptr<Gate>& gate() const { return gate_; }
  HybridTime time() const;

  // Subscriptions that hold have begun, or ended.
  void on_holds_changed(std::function<void()> then) { holds_changed_ = std::move(then); }
  void holds_changed() { holds_changed_(); }

  // Puts mail into the queue; the actor gets it in a later task of the scheduler.
  void push(Mail mail);
  // So much of the mail has nothing under its ticket any more. When that is most of it, it goes.
  void voided(std::size_t tickets);
  // An event from here or elsewhere, to the actors of this node.
  void deliver(const Event& event);
  // Takes note of another node's time.
  absl::Status observe(HybridTime time);

  // `awaited`: `logged` is somebody's who waits for it, and runs when the custody has what it holds of that type, where there is one.
  absl::StatusOr<Event> publish(OriginStream& stream, Draft draft, Publisher::Logged logged,
                                bool awaited = false);
  // As origin "node/node", about this node. `logged`: as Context::publish has it,
  // but perhaps inside this call.
  void publish_own(Draft draft, std::function<void(absl::Status)> logged = nullptr);
  Draft own_draft() { return seams_.pool.draft(options_.name); }
  // The same for what must not be lost in silence. What the log does not take is published again later, in order, with the
  // cause it had; of more than reports_max that wait only the number is kept, and told when they get through.
  using Fill = std::function<void(schema::Payload::Builder)>;
  void report(Fill fill);
  void report_gap(std::string subscriber, const BusGap& gap);

  // The event of the turn under way; empty outside of turns and where there is none.
  const Event& cause() const { return *cause_; }
  ActorCell* running() const { return running_; }

  // Makes `cell` the one that runs, and `cause` its cause, for the life of this object.
  class Turn {
   public:
    Turn(Runtime& runtime, ActorCell* cell, const Event& cause)
        : runtime_(runtime),
          cell_(std::exchange(runtime.running_, cell)),
          cause_(std::exchange(runtime.cause_, &cause)) {}
    ~Turn() {
      runtime_.running_ = cell_;
      runtime_.cause_ = cause_;
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Runtime& runtime_;
    ActorCell* cell_;
    const Event* cause_;
  };

 private:
  struct Report {
    Fill fill;
    Event cause;
  };

  void schedule();
  void dispatch();
  void try_report(Report report);
  void reported(Report report, const absl::Status& status);
  void put_off(Report report, bool first);
  void retry_reports();
  void complain(const std::string& line) const {
    if (options_.complain) options_.complain(line);
  }

  NodeSeams seams_;
  NodeOptions options_;
  HybridClock clock_;
  HybridTime latest_;
  SubscriptionIndex index_;
  std::shared_ptr<Gate> gate_;
  Publisher publisher_;
  OriginStream& own_;
  Ring<Mail> mail_;
  std::size_t voided_ = 0;  // of it, at most
  std::function<void()> holds_changed_;
  std::deque<Report> put_off_;  // which the log has refused, and those behind them
  std::uint64_t left_out_ = 0;  // beyond reports_max
  Duration report_backoff_ = absl::ZeroDuration();
  TimerId report_timer_ = 0;
  bool probing_ = false;  // the first of them is with the log again
  bool scheduled_ = false;
  ActorCell* running_ = nullptr;
  const Event no_cause_;
  const Event* cause_ = &no_cause_;
};

}  // namespace supercloud
