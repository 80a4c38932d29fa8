// The place of one actor in its node: its object while it lives, what it waits for, and its restarts after failures.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/actor.h"
#include "core/held_events.h"
#include "core/runtime.h"
#include "core/subscription_queue.h"

namespace supercloud {

// Thread-bound. Lives as long as its node; the actor inside comes and goes.
class ActorCell {
 public:
  static constexpr Duration backoff_min = absl::Milliseconds(100);
  static constexpr Duration backoff_max = absl::Seconds(5);

  ActorCell(Runtime& runtime, std::string actor, ActorFactory factory);
  ~ActorCell();
  ActorCell(const ActorCell&) = delete;
  ActorCell& operator=(const ActorCell&) = delete;

  const Address& address() const { return address_; }
  Runtime& runtime() { return runtime_; }
  Random& random() { return random_; }
  bool up() const { return actor_ != nullptr && !failure_; }

  void start();
  // With the node: no restart, no word to the bus.
  void stop();
  void fail(absl::Status why);

  // Mail for this actor into the queue, within its bound; or, if `queue` is not 0, within that of the subscription's own.
  void enqueue(const Event& event, std::uint32_t queue = 0);
  // False: the mailbox is full.
  [[nodiscard]] bool enqueue_request(Message<schema::Request> request, Answer answer);
  // What the actor sees of a call that it answers, null included: it is cancelled by a turn of the actor's.
  std::shared_ptr<Call> served(const std::shared_ptr<Call>& call);
  void tell_gap(const BusGap& gap);
  // Mail out of the queue: one turn.
  void take(Mail& mail);
  // Whether taking it would do nothing: what had that ticket has gone.
  bool is_void(const Mail& mail) const;
  // What subscriptions with queues of their own have let go, and not yet told all others.
  void report_gaps();

  HeldEvents& held() { return held_; }

  // The Context's side.
  void subscribe(const Pattern& pattern, std::function<void()> ready, Queueing queueing);
  void taken(const Event& event);
  void unsubscribe(const Pattern& pattern);
  void on_gap(std::function<void(const BusGap&)> then) { gap_turns_.push_back(std::move(then)); }
  Event publish(Draft draft, std::function<void(absl::Status)> logged);
  TimerId at(Instant when, Task task);
  void cancel(std::uint64_t token);
  Context::Expected expect(Duration deadline, Context::Turn turn);
  // Of a request of the actor's. Progress comes as turns, of what comes faster the newest.
  std::shared_ptr<Call> call(Call::OnProgress then);
  // What was expected last is its answer: it is cancelled with the actor.
  void made(std::shared_ptr<Call> call) { waits_.rbegin()->second.call = std::move(call); }
  Context& context() { return context_; }

  // A reply's value has come. On the node's thread.
  void resume(std::uint64_t token, Context::Value value);

 private:
  // A turn that something will start: a timer, a reply, or its deadline.
  struct Wait {
    Event cause;
    TimerId timer = 0;  // of the scheduler
    Context::Turn turn;
    Context::Value value;
    bool due = false;            // in the queue
    std::shared_ptr<Call> call;  // of a request: who answers hears when nobody waits any more
  };

  struct Queue {
    std::uint32_t number = 0;
    SubscriptionQueue events;
    bool ended = false;     // unsubscribed: it goes when it is empty
    bool slow = false;      // said on the bus, and not caught up since
    Instant quiet_until;    // nothing more is said of its being slow
    TimerId gap_timer = 0;  // what it has let go is said when it has caught up, or then
  };
  Queue* find(std::uint32_t number) const;
  void enqueue_at(Queue& queue, const Event& event);
  void take_from(Queue& queue, const Mail& mail);
  void end_if_done(const Queue& queue);
  void report_slow(std::size_t backlog, const char* done);
  void report_gaps(Queue& queue);
  void tell(const BusGap& gap);

  void enqueue_task(Event cause, Task task);
  void ripen(std::uint64_t token);
  void run(std::uint64_t token);
  // Runs actor code: exceptions end here, and a failure is dealt with when it has ended.
  void turn(const Event& cause, absl::FunctionRef<void()> body);
  void clear();
  enum class Hold : std::uint8_t { none, waits, refused };
  Hold hold(const Event& event);
  void collapse(const Event& cause);

  Runtime& runtime_;
  const Address address_;
  const ActorFactory factory_;
  OriginStream& stream_;
  Context context_;
  Random random_;
  std::unique_ptr<Actor> actor_;
  std::uint64_t generation_ = 0;  // of the actor object: mail for an earlier one is dropped
  std::optional<absl::Status> failure_;
  std::size_t backlog_ = 0;  // mail in the queue, but for what has a queue of its own
  bool slow_ = false;        // said on the bus
  std::uint64_t last_token_ = 0;
  std::map<std::uint64_t, Wait> waits_;
  struct Subscription {
    Pattern pattern;
    std::uint32_t queue = 0;
    std::uint64_t hold = 0;  // of held_; 0: none
  };
  std::vector<Subscription> subscriptions_;
  std::vector<std::unique_ptr<Queue>> queues_;  // few
  std::uint32_t last_queue_ = 0;
  std::vector<std::function<void(const BusGap&)>> gap_turns_;
  HeldEvents held_;
  bool holds_long_ = false;       // said on the bus
  std::deque<Instant> failures_;  // within the restart window; its own ones only
  std::deque<Instant> outages_;   // the same, of what it stands on
  bool own_fault_ = false;        // of failure_, whatever its code says
  TimerId restart_timer_ = 0;
};

}  // namespace supercloud
