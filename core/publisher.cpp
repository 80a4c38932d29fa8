#include "core/publisher.h"

#include <algorithm>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "core/topic.h"

namespace supercloud {

// ---- OriginStream --------------------------------------------------------------------------------------------------

void OriginStream::open(const OriginState& state) {
  incarnation_ = state.incarnation;
  last_ = state.sequence_reserved;
  for (const auto& [prefix, sequence] : state.tails) {
    last_ = std::max(last_, sequence);
    Tail* tail = &whole_;
    if (!prefix.empty()) {
      const std::string_view topic(prefix.data(), prefix.size() - 1);
      tail = &tail_at(topic, static_cast<std::size_t>(std::ranges::count(prefix, '.')));
    }
    tail->assigned = tail->left = std::max(tail->assigned, sequence);
  }
  reserved_ = asked_ = last_;
}

OriginStream::Tail& OriginStream::tail_at(std::string_view topic, std::size_t tokens) {
  if (tokens == 0) return whole_;
  std::string prefix = topic_prefix(topic, tokens);
  if (const auto found = tails_.find(prefix); found != tails_.end()) return found->second;
  Tail& shorter = tail_at(topic, tokens - 1);
  Tail& tail = tails_[prefix];
  tail.shorter = &shorter;
  return tail;
}

OriginStream::Tail& OriginStream::tail_of(schema::Payload::Which type, std::string_view topic) {
  const auto index = static_cast<std::size_t>(type);
  if (index >= recent_.size()) recent_.resize(index + 1);
  Recent& recent = recent_[index];
  if (recent.tail == nullptr || !topic.starts_with(recent.prefix)) {
    recent.prefix = topic_prefix(topic, 3);
    recent.tail = &tail_at(topic, 3);
  }
  return *recent.tail;
}

void OriginStream::settle(std::uint64_t sequence, State state) {
  std::size_t low = 0;
  std::size_t high = waiting_.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (waiting_[middle].event.sequence() < sequence) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low < waiting_.size() && waiting_[low].event.sequence() == sequence) {
    waiting_[low].state = state;
  }
}

// ---- Publisher -----------------------------------------------------------------------------------------------------

Publisher::Publisher(EventLog& log, Scheduler& scheduler, HybridClock& clock,
                     std::size_t waiting_max, Deliver deliver)
    : log_(log),
      scheduler_(scheduler),
      clock_(clock),
      waiting_max_(waiting_max),
      deliver_(std::move(deliver)),
      self_(std::make_shared<Publisher*>(this)) {
  // All that the log knows, and not only what will publish again: others may have missed what came last.
  for (const std::string& origin : log_.origins()) {
    const OriginState past = log_.origin(origin);
    auto& stream = streams_[origin];
    stream = std::make_unique<OriginStream>(origin);
    stream->open(past);
    // The wall clock may have been set back a little since. If it was more, it had been wrong before, and others would refuse
    // events that go on from there.
    clock_.observe(past.newest).IgnoreError();
  }
}

OriginStream& Publisher::stream(const std::string& origin) {
  std::unique_ptr<OriginStream>& stream = streams_[origin];
  if (stream == nullptr) {
    if (!is_origin(origin)) {
      ABSL_RAW_LOG(FATAL, "'%s' cannot publish: the names of node and actor have to be tokens",
                   origin.c_str());
    }
    stream = std::make_unique<OriginStream>(origin);
  }
  return *stream;
}

absl::StatusOr<Event> Publisher::publish(OriginStream& stream, Draft draft, const Event* cause,
                                         Logged logged) {
  if (stream.waiting_.size() >= waiting_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(stream.origin_, " has ", stream.waiting_.size(),
                     " events waiting for the event log; look at its disk"));
  }
  absl::StatusOr<Event> event =
      enter(stream, std::move(draft), cause, std::move(logged), gathered_);
  if (!gathered_.empty()) schedule_commit();
  return event;
}

absl::StatusOr<Event> Publisher::enter(OriginStream& stream, Draft draft, const Event* cause,
                                       Logged logged, std::vector<Record>& records) {
  if (absl::Status status = draft.set_topic(); !status.ok()) return status;
  if (!stream.opened()) {  // the log does not know it
    const std::int64_t now_ms = absl::ToUnixMillis(scheduler_.clock().wall());
    stream.incarnation_ = static_cast<std::uint64_t>(std::max<std::int64_t>(now_ms, 1));
  }
  const schema::Payload::Which type = draft.payload().which();
  OriginStream::Tail& tail = stream.tail_of(type, draft.topic());
  OriginStream::Tail* tails[4] = {&stream.whole_, nullptr, nullptr, &tail};
  tails[2] = tail.shorter;
  tails[1] = tails[2]->shorter;

  Envelope envelope;
  envelope.origin = stream.origin_;
  envelope.incarnation = stream.incarnation_;
  envelope.sequence = stream.last_ + 1;
  for (std::size_t i = 0; i < 4; ++i) envelope.previous[i] = tails[i]->assigned;
  envelope.time = clock_.tick();
  envelope.cause = cause;
  absl::StatusOr<Event> event = std::move(draft).seal(envelope);
  if (!event.ok()) return event;

  stream.last_ = envelope.sequence;
  for (OriginStream::Tail* each : tails) each->assigned = envelope.sequence;
  if (stream.last_ + block / 2 > stream.asked_) reserve(stream);

  const schema::Delivery delivery = delivery_of(type);
  const bool durable = delivery == schema::Delivery::DURABLE;
  if (!durable && stream.waiting_.empty() && envelope.sequence <= stream.reserved_) {
    leave(*event, envelope.sequence, &tail);
  } else {
    stream.waiting_.push(
        {*event, &tail, durable ? OriginStream::State::waiting : OriginStream::State::ready});
  }
  if (delivery != schema::Delivery::VOLATILE) {
    records.push_back({&stream, *event, durable, std::move(logged)});
    if (&records == &gathered_) ++recorded_;
  } else if (logged) {
    std::move(logged)(absl::OkStatus());
  }
  return event;
}

void Publisher::sign_with(Notary& notary, const std::string& origin) {
  notary_ = &notary;
  checkpoints_ = &stream(origin);
}

void Publisher::flush(Task then) {
  if (settled_ == recorded_) return std::move(then)();
  flushes_.emplace_back(recorded_, std::move(then));
}

void Publisher::reserve(OriginStream& stream) {
  stream.asked_ = stream.last_ + block;
  to_reserve_.push_back(&stream);
  schedule_commit();
}

void Publisher::leave(const Event& event, std::uint64_t sequence, OriginStream::Tail* tail) {
  for (; tail != nullptr; tail = tail->shorter) tail->left = sequence;
  deliver_(event);
}

void Publisher::drain(OriginStream& stream) {
  while (!stream.waiting_.empty()) {
    OriginStream::Waiting& first = stream.waiting_.front();
    if (first.state == OriginStream::State::waiting) return;
    if (first.state == OriginStream::State::ready && first.event.sequence() > stream.reserved_) {
      return;
    }
    const OriginStream::Waiting next = stream.waiting_.pop();
    if (next.state == OriginStream::State::ready) {
      leave(next.event, next.event.sequence(), next.tail);
    }
  }
}

// Posted, so that everything one turn publishes shares a sync.
void Publisher::schedule_commit() {
  if (scheduled_ || committing_) return;
  scheduled_ = true;
  scheduler_.post([self = std::weak_ptr<Publisher*>(self_)] {
    if (const auto alive = self.lock()) (*alive)->commit();
  });
}

void Publisher::commit() {
  scheduled_ = false;
  if (committing_ || (gathered_.empty() && to_reserve_.empty())) return;
  committing_ = true;
  const std::size_t count = std::min(gathered_.size(), commit_events_max);
  const auto end = gathered_.begin() + static_cast<std::ptrdiff_t>(count);
  commit_.records.assign(std::make_move_iterator(gathered_.begin()), std::make_move_iterator(end));
  gathered_.erase(gathered_.begin(), end);
  commit_.published = count;
  std::vector<Event> events;
  events.reserve(count + 1);
  for (const Record& record : commit_.records) events.push_back(record.event);
  if (notary_ != nullptr && !events.empty()) {
    const absl::StatusOr<Event> checkpoint =
        enter(*checkpoints_, notary_->checkpoint(events), nullptr, {}, commit_.records);
    if (!checkpoint.ok()) {
      ABSL_RAW_LOG(FATAL, "a checkpoint cannot be published: %s",
                   checkpoint.status().ToString().c_str());
    }
    events.push_back(*checkpoint);
  }
  for (OriginStream* stream : std::exchange(to_reserve_, {})) {
    commit_.reservations.emplace_back(stream, stream->asked_);
  }
  commit_.reservation_status.assign(commit_.reservations.size(), absl::OkStatus());
  commit_.events_status = absl::OkStatus();

  // One append carries one reservation: the others go ahead of the events, and share their sync.
  const std::size_t calls = std::max<std::size_t>(commit_.reservations.size(), 1);
  commit_.calls = calls;
  for (std::size_t i = 0; i + 1 < calls; ++i) append(i, {});
  append(calls - 1, std::move(events));
}

void Publisher::append(std::size_t reservation, std::vector<Event> events) {
  std::optional<EventLog::Reservation> reserve;
  if (reservation < commit_.reservations.size()) {
    const auto& [stream, up_to] = commit_.reservations[reservation];
    reserve = {stream->origin_, stream->incarnation_, up_to};
  }
  const bool has_events = !events.empty();
  auto done = [self = std::weak_ptr<Publisher*>(self_), reservation,
               has_events](const absl::StatusOr<Done>& result) {
    const auto alive = self.lock();
    if (alive == nullptr) return;
    Publisher& publisher = **alive;
    Commit& commit = publisher.commit_;
    if (has_events) commit.events_status = result.status();
    if (reservation < commit.reservation_status.size()) {
      commit.reservation_status[reservation] = result.status();
    }
    if (--commit.calls == 0) publisher.finish();
  };
  log_.append(std::move(events), std::move(reserve), Reply<Done>(far_future, std::move(done)));
}

void Publisher::finish() {
  Commit done = std::exchange(commit_, {});
  committing_ = false;
  bool retry = false;
  for (std::size_t i = 0; i < done.reservations.size(); ++i) {
    const auto& [stream, up_to] = done.reservations[i];
    if (done.reservation_status[i].ok()) {
      stream->reserved_ = up_to;
    } else {
      to_reserve_.push_back(stream);
      retry = true;
    }
  }
  const OriginStream::State fate =
      done.events_status.ok() ? OriginStream::State::ready : OriginStream::State::dropped;
  for (const Record& record : done.records) {
    if (record.durable) record.stream->settle(record.event.sequence(), fate);
  }
  settled_ += done.published;
  for (const auto& [stream, up_to] : done.reservations) drain(*stream);
  for (Record& record : done.records) {
    drain(*record.stream);
    if (record.logged) std::move(record.logged)(done.events_status);
  }
  while (!flushes_.empty() && flushes_.front().first <= settled_) {
    Task then = std::move(flushes_.front().second);
    flushes_.pop_front();
    std::move(then)();
  }
  if (!gathered_.empty() || (!to_reserve_.empty() && !retry)) schedule_commit();
  if (retry) {
    scheduler_.at(scheduler_.clock().now() + retry_delay,
                  [self = std::weak_ptr<Publisher*>(self_)] {
                    if (const auto alive = self.lock()) (*alive)->schedule_commit();
                  });
  }
}

}  // namespace supercloud
