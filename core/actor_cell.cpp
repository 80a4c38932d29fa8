#include "core/actor_cell.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

namespace {

constexpr std::size_t why_bytes_max = 4096;  // of a failure, on the bus

// Of a subscription with a queue of its own: how often, at most, it is said to be slow, and what it let go is said while it does not catch up.
constexpr Duration queue_words_interval = absl::Seconds(10);

// FNV-1a: gives every actor of a node its own stream of random numbers, the same in every build.
std::uint64_t fingerprint(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

}  // namespace

ActorCell::ActorCell(Runtime& runtime, std::string actor, ActorFactory factory)
    : runtime_(runtime),
      address_{runtime.options().name, std::move(actor)},
      factory_(std::move(factory)),
      stream_(runtime.publisher().stream(address_.to_string())),
      context_(*this),
      random_(runtime.options().random_seed ^ fingerprint(address_.to_string())) {}

ActorCell::~ActorCell() { stop(); }

void ActorCell::start() {
  restart_timer_ = 0;
  turn(Event(), [this] {
    actor_ = factory_(context_);
    if (actor_ == nullptr) fail(absl::InternalError("its factory made no actor"));
  });
}

void ActorCell::stop() {
  actor_.reset();
  clear();
  runtime_.seams().scheduler.cancel(std::exchange(restart_timer_, 0));
}

void ActorCell::turn(const Event& cause, absl::FunctionRef<void()> body) {
  {
    const Runtime::Turn scope(runtime_, this, cause);
    try {
      body();
    } catch (const std::exception& exception) {
      fail(absl::InternalError(absl::StrCat("exception: ", exception.what())));
    } catch (...) {
      fail(absl::InternalError("exception of an unknown type"));
    }
  }
  if (failure_) collapse(cause);
}

// ---- failure and restart -------------------------------------------------------------------------------------------

void ActorCell::fail(absl::Status why) {
  if (failure_) return;
  failure_ = std::move(why);
  // The turn under way ends first; without one, the next mail does it.
  if (runtime_.running() != this) enqueue_task(Event(), Task());
}

void ActorCell::clear() {
  ++generation_;
  const auto waits = std::exchange(waits_, {});
  for (const auto& [token, wait] : waits) runtime_.seams().scheduler.cancel(wait.timer);
  gap_turns_.clear();
  holds_long_ = false;
  runtime_.index().remove_all(*this);
  std::size_t tickets = 0;
  for (const auto& queue : queues_) {
    runtime_.seams().scheduler.cancel(queue->gap_timer);
    tickets += queue->events.tickets();
  }
  queues_.clear();
  if (tickets > 0) runtime_.voided(tickets);
  for (const auto& [token, wait] : waits)
    if (wait.call != nullptr && !wait.due) wait.call->cancel();
}

void ActorCell::collapse(const Event& cause) {
  const Runtime::Turn scope(runtime_, nullptr, cause);
  const absl::Status why = *std::exchange(failure_, std::nullopt);
  actor_.reset();
  failure_.reset();
  report_gaps();
  clear();
  for (const Subscription& subscription : std::exchange(subscriptions_, {})) {
    runtime_.seams().bus.unsubscribe(subscription.pattern.wire_prefix());
  }
  if (held_.any()) {
    held_.clear();
    runtime_.holds_changed();
  }

  const NodeOptions& options = runtime_.options();
  const Instant now = runtime_.now();
  // A full disk or a table out of reach is no fault of the actor's: it tries again for as long as that lasts.
  const bool outage = !std::exchange(own_fault_, false) &&
                      (absl::IsResourceExhausted(why) || absl::IsUnavailable(why));
  (outage ? outages_ : failures_).push_back(now);
  for (std::deque<Instant>* times : {&failures_, &outages_}) {
    while (!times->empty() && now - times->front() > options.restart_window) times->pop_front();
  }
  const bool give_up = !outage && failures_.size() > options.restarts_max;
  const std::size_t restarts = failures_.size() + outages_.size();
  runtime_.report([actor = address_.to_string(), text = why.ToString().substr(0, why_bytes_max),
                   restarts, give_up](schema::Payload::Builder payload) {
    auto failed = payload.initBusActorFailed();
    failed.setActor(actor);
    failed.setWhy(text);
    failed.setRestarts(static_cast<std::uint32_t>(restarts));
    failed.setDone(give_up ? "gave up" : "restarted");
  });
  if (give_up) return;

  const std::size_t doublings = std::min<std::size_t>(restarts - 1, 16);
  const Duration backoff = std::min(backoff_min * (std::int64_t{1} << doublings), backoff_max);
  restart_timer_ = runtime_.seams().scheduler.at(now + backoff, [this] { start(); });
}

// ---- mail ----------------------------------------------------------------------------------------------------------

void ActorCell::enqueue(const Event& event, std::uint32_t queue) {
  const Hold held = held_.any() ? hold(event) : Hold::none;
  if (held == Hold::refused) return;
  // What publishers wait for is never let go, whichever subscription it matches first: it takes the mailbox.
  if (queue != 0 && held == Hold::none) return enqueue_at(*find(queue), event);
  const std::size_t max = runtime_.options().mailbox_max;
  if (backlog_ >= max) {
    if (!failure_) own_fault_ = true;
    fail(absl::ResourceExhaustedError(absl::StrCat(
        "mailbox full: ", backlog_, " deliveries wait, newest is ", event.id().to_string())));
    return;
  }
  ++backlog_;
  runtime_.push({.cell = this, .generation = generation_, .event = event});
  if (backlog_ < (max + 1) / 2 || slow_) return;
  slow_ = true;  // until it has caught up
  report_slow(backlog_, "reported");
}

void ActorCell::report_slow(std::size_t backlog, const char* done) {
  runtime_.report([actor = address_.to_string(), backlog, done](schema::Payload::Builder payload) {
    auto slow = payload.initBusSlowSubscriber();
    slow.setSubscriber(actor);
    slow.setBacklog(backlog);
    slow.setDone(done);
  });
}

// Refused: more of them wait than may.
ActorCell::Hold ActorCell::hold(const Event& event) {
  if (!held_.arrived(event)) return Hold::none;
  const std::size_t max = held_.waiting_max();
  if (held_.waiting() > max) {
    if (!failure_) own_fault_ = true;
    fail(absl::ResourceExhaustedError(
        absl::StrCat(max, " events wait until it takes them, newest is ", event.id().to_string())));
    return Hold::refused;
  }
  if (held_.waiting() >= (max + 1) / 2 && !std::exchange(holds_long_, true))
    report_slow(held_.waiting(), "holds its publishers");
  return Hold::waits;
}

void ActorCell::enqueue_task(Event cause, Task task) {
  ++backlog_;
  runtime_.push({.cell = this,
                 .generation = generation_,
                 .event = std::move(cause),
                 .task = std::move(task)});
}

bool ActorCell::enqueue_request(Message<schema::Request> request, Answer answer) {
  if (backlog_ >= runtime_.options().mailbox_max) return false;
  enqueue_task(Event(), [this, request = std::move(request), answer = std::move(answer)]() mutable {
    actor_->serve(std::move(request), std::move(answer));
  });
  return true;
}

void ActorCell::tell_gap(const BusGap& gap) {
  held_.missed(gap);
  if (gap_turns_.empty()) return;
  enqueue_task(Event(), [this, gap] { tell(gap); });
}

void ActorCell::tell(const BusGap& gap) {
  for (std::size_t i = 0; i < gap_turns_.size(); ++i) gap_turns_[i](gap);
}

std::shared_ptr<Call> ActorCell::served(const std::shared_ptr<Call>& call) {
  if (call == nullptr) return nullptr;
  Call::OnProgress tell = [call](const Progress& progress) { call->tell(progress); };
  auto own = std::make_shared<Call>(call->wants_progress() ? std::move(tell) : nullptr);
  call->when_cancelled(
      [gate = runtime_.gate(), this, generation = generation_, weak = std::weak_ptr<Call>(own)] {
        const std::shared_ptr<Call> open = weak.lock();
        if (open == nullptr || gate->runtime() == nullptr || generation != generation_) return;
        enqueue_task(Event(), [open] { open->cancel(); });
      });
  return own;
}

void ActorCell::take(Mail& mail) {
  if (mail.queue != 0) {
    if (mail.generation != generation_) return;
    if (failure_) return collapse(Event());
    if (Queue* queue = find(mail.queue)) take_from(*queue, mail);
    return;
  }
  --backlog_;
  if (slow_ && backlog_ < runtime_.options().mailbox_max / 4) slow_ = false;
  if (mail.generation != generation_) return;
  if (failure_) {
    collapse(Event());
    return;
  }
  if (actor_ == nullptr) return;
  if (mail.task) {
    turn(mail.event, [&mail] { std::move(mail.task)(); });
  } else if (mail.event) {
    turn(mail.event, [this, &mail] { actor_->receive(mail.event); });
  }
}

// ---- subscriptions with queues of their own ------------------------------------------------------------------------

ActorCell::Queue* ActorCell::find(std::uint32_t number) const {
  const auto found = std::ranges::find(queues_, number, &Queue::number);
  return found == queues_.end() ? nullptr : found->get();
}

void ActorCell::enqueue_at(Queue& queue, const Event& event) {
  const std::optional<SubscriptionQueue::Pushed> pushed = queue.events.push(event);
  if (!pushed) {
    if (!failure_) own_fault_ = true;
    return fail(absl::ResourceExhaustedError(absl::StrCat(
        "queue full: of ", SubscriptionQueue::gaps_max,
        " origins something went, and was not yet told; newest is ", event.id().to_string())));
  }
  if (pushed->ticket != 0) {
    runtime_.push({.cell = this,
                   .generation = generation_,
                   .event = {},
                   .task = {},
                   .queue = queue.number,
                   .ticket = pushed->ticket});
  }
  if (pushed->voided > 0) runtime_.voided(pushed->voided);
  const Instant now = runtime_.now();
  if (pushed->lost > 0 && queue.gap_timer == 0) {
    queue.gap_timer =
        runtime_.seams().scheduler.at(now + queue_words_interval, [this, number = queue.number] {
          Queue* late = find(number);
          late->gap_timer = 0;
          report_gaps(*late);
        });
  }
  const std::size_t backlog = queue.events.size();
  const std::size_t many = std::max<std::size_t>((queue.events.events_max() + 1) / 2, 2);
  if (queue.slow || (backlog < many && pushed->lost == 0)) return;
  queue.slow = true;
  if (now < queue.quiet_until) return;
  queue.quiet_until = now + queue_words_interval;
  report_slow(backlog, queue.events.done());
}

void ActorCell::take_from(Queue& queue, const Mail& mail) {
  SubscriptionQueue::Taken taken = queue.events.take(mail.ticket);
  if (queue.events.size() <= queue.events.events_max() / 4) {
    queue.slow = false;
    report_gaps(queue);
  }
  end_if_done(queue);
  if (actor_ == nullptr) return;
  if (taken.event) {
    turn(taken.event, [&] { actor_->receive(taken.event); });
  } else if (taken.gap) {
    held_.missed(*taken.gap);
    turn(Event(), [&] { tell(*taken.gap); });
  }
}

// Nothing of it is in the mail then: behind a ticket that is void there is one that is not.
void ActorCell::end_if_done(const Queue& queue) {
  if (!queue.ended || !queue.events.empty()) return;
  runtime_.seams().scheduler.cancel(queue.gap_timer);
  std::erase_if(queues_, [&](const auto& other) { return other.get() == &queue; });
}

bool ActorCell::is_void(const Mail& mail) const {
  if (mail.queue == 0) return false;
  if (mail.generation != generation_) return true;
  const Queue* queue = find(mail.queue);
  return queue == nullptr || queue->events.is_void(mail.ticket);
}

void ActorCell::report_gaps() {
  for (const auto& queue : queues_) report_gaps(*queue);
}

void ActorCell::report_gaps(Queue& queue) {
  runtime_.seams().scheduler.cancel(std::exchange(queue.gap_timer, 0));
  for (const BusGap& gap : queue.events.untold()) runtime_.report_gap(address_.to_string(), gap);
}

// ---- what an actor asks for ----------------------------------------------------------------------------------------

void ActorCell::subscribe(const Pattern& pattern, std::function<void()> ready, Queueing queueing) {
  const std::size_t max =
      queueing.events_max != 0 ? queueing.events_max : runtime_.options().mailbox_max;
  std::uint32_t queue = 0;
  std::uint64_t hold = 0;
  if (queueing.full == Queueing::Full::hold) {
    hold = held_.add(pattern, max);
    // Said to others when what they publish comes here.
    ready = [this, hold, ready = std::move(ready)] {
      if (held_.put_in_effect(hold)) runtime_.holds_changed();
      if (ready) ready();
    };
  } else if (queueing.full != Queueing::Full::fail) {
    queue = ++last_queue_;
    queues_.push_back(std::make_unique<Queue>(Queue{
        .number = queue, .events = SubscriptionQueue(queueing.full, pattern.wire_prefix(), max)}));
  }
  subscriptions_.push_back({pattern, queue, hold});
  runtime_.index().add(*this, pattern, queue);
  Reply<Done> reply;
  if (ready) {
    reply =
        context_.reply<Done>(absl::InfiniteDuration(),
                             [this, ready = std::move(ready)](const absl::StatusOr<Done>& done) {
                               if (done.ok()) {
                                 ready();
                               } else {
                                 fail(done.status());
                               }
                             });
  }
  runtime_.seams().bus.subscribe(pattern.wire_prefix(), std::move(reply));
}

void ActorCell::unsubscribe(const Pattern& pattern) {
  const auto found = std::ranges::find(subscriptions_, pattern, &Subscription::pattern);
  if (found == subscriptions_.end()) return;
  runtime_.index().remove(*this, pattern);
  runtime_.seams().bus.unsubscribe(pattern.wire_prefix());
  const Subscription ended = std::move(*found);
  subscriptions_.erase(found);
  if (ended.hold != 0) {
    held_.remove(ended.hold);
    if (held_.waiting() <= held_.waiting_max() / 4) holds_long_ = false;
    runtime_.holds_changed();
  }
  if (Queue* queue = ended.queue != 0 ? find(ended.queue) : nullptr) {
    queue->ended = true;
    end_if_done(*queue);
  }
}

void ActorCell::taken(const Event& event) {
  held_.taken(event, runtime_.now());
  if (held_.waiting() <= held_.waiting_max() / 4) holds_long_ = false;
}

Event ActorCell::publish(Draft draft, std::function<void(absl::Status)> logged) {
  const schema::Delivery delivery = delivery_of(draft.payload().which());
  if (!logged && delivery == schema::Delivery::VOLATILE) {
    // The most frequent by far, and nobody waits for its fate.
    absl::StatusOr<Event> event = runtime_.publish(stream_, std::move(draft), nullptr);
    if (event.ok()) return *std::move(event);
    fail(event.status());
    return Event();
  }
  // What happens when the event's fate is known, as a turn of the actor object that published it.
  auto tell = [this, generation = generation_, cause = runtime_.cause(),
               logged](absl::Status status) mutable {
    if (generation != generation_) return;
    if (logged) {
      enqueue_task(std::move(cause),
                   [logged = std::move(logged), status = std::move(status)] { logged(status); });
    } else if (!status.ok()) {
      fail(std::move(status));
    }
  };
  absl::StatusOr<Event> event =
      runtime_.publish(stream_, std::move(draft), tell, logged != nullptr);
  if (event.ok()) return *std::move(event);
  tell(event.status());
  return Event();
}

TimerId ActorCell::at(Instant when, Task task) {
  const std::uint64_t token = ++last_token_;
  Wait& wait = waits_[token];
  wait.cause = runtime_.cause();
  wait.turn = [task = std::move(task)](void*) mutable { std::move(task)(); };
  wait.timer = runtime_.seams().scheduler.at(when, [this, token] { ripen(token); });
  return token;
}

void ActorCell::cancel(std::uint64_t token) {
  const auto found = waits_.find(token);
  if (found == waits_.end()) return;
  runtime_.seams().scheduler.cancel(found->second.timer);
  waits_.erase(found);
}

Context::Expected ActorCell::expect(Duration deadline, Context::Turn turn) {
  const std::uint64_t token = ++last_token_;
  Wait& wait = waits_[token];
  wait.cause = runtime_.cause();
  wait.turn = std::move(turn);
  Instant until = far_future;
  if (deadline < absl::Hours(24 * 365)) {
    until = runtime_.now() + deadline;
    wait.timer = runtime_.seams().scheduler.at(until, [this, token] { ripen(token); });
  }
  return {until, [gate = runtime_.gate(), this, token](Context::Value value) mutable {
            gate->resume(*this, token, std::move(value));
          }};
}

std::shared_ptr<Call> ActorCell::call(Call::OnProgress then) {
  if (!then) return std::make_shared<Call>();
  struct Newest {
    Call::OnProgress then;
    Progress progress;
    bool queued = false;
    std::weak_ptr<Call> call;
  };
  auto newest = std::make_shared<Newest>(Newest{.then = std::move(then)});
  auto made = std::make_shared<Call>([gate = runtime_.gate(), this, generation = generation_,
                                      cause = runtime_.cause(), newest](const Progress& progress) {
    if (gate->runtime() == nullptr || generation != generation_) return;
    newest->progress = progress;
    if (std::exchange(newest->queued, true)) return;
    enqueue_task(cause, [newest] {
      newest->queued = false;
      const std::shared_ptr<Call> still = newest->call.lock();
      if (still != nullptr && !still->cancelled()) newest->then(newest->progress);
    });
  });
  newest->call = made;
  return made;
}

void ActorCell::resume(std::uint64_t token, Context::Value value) {
  const auto found = waits_.find(token);
  if (found == waits_.end() || found->second.due) return;  // too late
  runtime_.seams().scheduler.cancel(std::exchange(found->second.timer, 0));
  found->second.value = std::move(value);
  ripen(token);
}

void ActorCell::ripen(std::uint64_t token) {
  Wait& wait = waits_.at(token);
  wait.due = true;
  enqueue_task(wait.cause, [this, token] { run(token); });
}

void ActorCell::run(std::uint64_t token) {
  auto node = waits_.extract(token);
  if (node.empty()) return;  // cancelled while it was in the queue
  Wait& wait = node.mapped();
  if (!wait.value && wait.call != nullptr) wait.call->cancel();  // too late, whatever carries it
  std::move(wait.turn)(wait.value ? wait.value() : nullptr);
}

}  // namespace supercloud
