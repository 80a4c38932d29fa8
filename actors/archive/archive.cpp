#include "actors/archive/archive.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/answers.h"
#include "actors/reading/log_page.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::uint16_t types_max = 1024;

// Subscriptions that let all of a pattern through which nodes log, and no telemetry that shares its beginning: by type, where the
// pattern leaves the type open.
std::vector<std::string> heard_of(const std::string& pattern) {
  const std::string domain(topic_token(pattern, 0));
  const bool open = domain == ">" || topic_token(pattern, 1) == ">";
  if (!open) return {pattern};
  std::vector<std::string> heard;
  for (const schema::Payload::Which type : known_types()) {
    const std::string topic(topic_of(type));
    if (delivery_of(type) == schema::Delivery::VOLATILE) continue;
    if (domain == ">" || domain == "*" || domain == topic_token(topic, 0))
      heard.push_back(topic + ".>");
  }
  return heard.empty() ? std::vector{pattern} : heard;
}

// The tokens that all begin with, and the rest.
std::string common(const std::vector<std::string>& patterns) {
  if (patterns.size() == 1) return patterns.front();
  std::string lead;
  for (std::size_t i = 0;; ++i) {
    const std::string_view token = topic_token(patterns.front(), i);
    const bool literal = is_token(token);
    const bool same = std::ranges::all_of(
        patterns, [&](const std::string& other) { return topic_token(other, i) == token; });
    // Where one of them ends, ">" would not match it.
    const bool last = std::ranges::any_of(
        patterns, [&](const std::string& other) { return topic_token(other, i + 1).empty(); });
    if (!literal || !same || last) return lead + ">";
    absl::StrAppend(&lead, absl::string_view(token.data(), token.size()), ".");
  }
}

}  // namespace

std::vector<schema::Payload::Which> known_types() {
  std::vector<schema::Payload::Which> known;
  for (std::uint16_t type = 0; type < types_max; ++type) {
    const auto which = static_cast<schema::Payload::Which>(type);
    if (!topic_of(which).empty()) known.push_back(which);
  }
  return known;
}

Archive::Archive(Context& context, EventLog& log, ArchiveOptions options)
    : context_(context), log_(log), options_(std::move(options)), pages_(context, log) {
  for (const std::string& pattern : options_.patterns) patterns_.push_back(Pattern::of(pattern));
  wire_ = common(options_.patterns);
  std::vector<std::string> heard = {"node.joined.>", "node.capacity.>"};
  for (const std::string& pattern : options_.patterns)
    for (std::string& each : heard_of(pattern))
      if (std::ranges::find(heard, each) == heard.end()) heard.push_back(std::move(each));
  for (const std::string& pattern : heard) context_.subscribe(Pattern::of(pattern));
  // What an archive before this one has appended, and was not told of, is settled then, whatever the answer.
  log_.append({}, std::nullopt,
              context_.reply<Done>(absl::InfiniteDuration(),
                                   [this](const absl::StatusOr<Done>&) { begin(); }));
}

// The position in a node's log is kept as the reservation of the node's name, which is no origin's.
void Archive::begin() {
  for (const std::string& name : log_.origins()) {
    const OriginState state = log_.origin(name);
    if (is_origin(name)) {
      const std::uint64_t last = state.tails.empty() ? 0 : state.tails.front().second;
      newest_[name] = {state.incarnation, last};  // the first is of the whole stream
    } else {
      positions_[name] = {state.incarnation, state.sequence_reserved};
    }
  }
  begun_ = true;
  for (auto& [node, source] : sources_) {
    source.next = position_of(node, source.generation);
    want(node, source);
  }
}

std::uint64_t Archive::position_of(const std::string& node, std::uint64_t generation) const {
  const auto known = positions_.find(node);
  return known != positions_.end() && known->second.first == generation ? known->second.second : 0;
}

bool Archive::keeps(const Event& event) const {
  return std::ranges::any_of(
      patterns_, [&](const Pattern& pattern) { return pattern.matches(event.topic()); });
}

void Archive::introduce(const Event& event) {
  const auto payload = event.payload();
  const std::string node = event.type() == schema::Payload::NODE_JOINED
                               ? str(payload.getNodeJoined().getNode())
                               : str(payload.getNodeCapacity().getNode());
  if (node != node_of(event.origin())) return;
  Source& source = sources_[node];
  if (event.incarnation() > source.generation) {
    source.generation = event.incarnation();
    source.next = position_of(node, source.generation);
  } else if (context_.now() - source.looked < options_.look_interval) {
    return;
  }
  want(node, source);
}

void Archive::receive(const Event& event) {
  if (event.type() == schema::Payload::NODE_JOINED ||
      event.type() == schema::Payload::NODE_CAPACITY)
    introduce(event);
  if (delivery_of(event.type()) == schema::Delivery::VOLATILE || !keeps(event)) return;
  const auto found = sources_.find(node_of(event.origin()));
  if (found == sources_.end()) return;  // it will say that it is there
  Source& source = found->second;
  source.heard = std::max(source.heard, event.time());
  source.vain = 0;
  want(found->first, source);
}

void Archive::want(const std::string& node, Source& source) {
  if (!begun_ || source.waiting) return;
  if (source.reading) {
    source.more = true;
    return;
  }
  source.waiting = true;
  waiting_.push_back(node);
  pump();
}

void Archive::pump() {
  while (under_way_ < options_.pages_max && !waiting_.empty()) {
    const std::string node = std::move(waiting_.front());
    waiting_.pop_front();
    ask(node, sources_[node]);
  }
}

void Archive::ask(const std::string& node, Source& source) {
  source.waiting = false;
  source.reading = true;
  source.more = false;
  ++source.asked;
  source.looked = context_.now();
  context_.cancel(std::exchange(source.timer, 0));
  ++under_way_;
  const auto request =
      read_log_request({.from = source.next, .pattern = wire_}, options_.page_events);
  context_.request({node, "log"}, request, options_.deadline,
                   [this, node, generation = source.generation](
                       const absl::StatusOr<Message<schema::Response>>& response) {
                     answered(node, generation, response);
                   });
}

void Archive::answered(const std::string& node, std::uint64_t generation,
                       const absl::StatusOr<Message<schema::Response>>& response) {
  Source& source = sources_[node];
  // It cannot be asked, and will be with its next sign of life; or it has begun another log, and this may be a page of either.
  const bool good = response.ok() && response->reader().isLog();
  if (!good || generation != source.generation) {
    source.reading = false;
    source.looked = Instant();
    --under_way_;
    if (good)
      want(node, source);
    else
      refuse(node,
             response.ok() ? absl::InternalError("an answer of another kind") : response.status());
    return pump();
  }
  const auto log = response->reader().getLog();
  Page page{.node = node,
            .generation = generation,
            .next = log.getNext(),
            .end = log.getEnd() || log.getNext() <= source.next};
  for (const auto data : log.getEvents()) {
    absl::StatusOr<Event> event =
        context_.pool().parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
    // What it says in the name of another node is not its to say.
    if (!event.ok() || node_of(event->origin()) != node) continue;
    source.read = std::max(source.read, event->time());
    if (!keeps(*event)) continue;
    Sequence& newest = newest_[std::string(event->origin())];
    const Sequence sequence{event->incarnation(), event->sequence()};
    if (sequence <= newest) continue;
    newest = sequence;
    page.events.push_back(*std::move(event));
  }
  if (page.events.empty()) return stored(page);
  store(std::move(page), options_.retry_min);
}

void Archive::store(Page page, Duration retry) {
  EventLog::Reservation position{page.node, page.generation, page.next};
  std::vector<Event> events = page.events;
  log_.append(std::move(events), std::move(position),
              context_.reply<Done>(absl::InfiniteDuration(), [this, page = std::move(page), retry](
                                                                 const absl::StatusOr<Done>& done) {
                if (done.ok()) {
                  full_ = false;
                  positions_[page.node] = {page.generation, page.next};
                  return stored(page);
                }
                say_full(done.status());
                context_.after(retry, [this, page, retry] {
                  store(page, std::min(retry * 2, options_.retry_max));
                });
              }));
}

void Archive::stored(const Page& page) {
  Source& source = sources_[page.node];
  source.reading = false;
  --under_way_;
  if (page.generation == source.generation) source.next = page.next;
  // As it was when this page was asked for.
  const std::uint64_t read = page.end && page.generation == source.generation ? source.asked : 0;
  if (!page.end || source.more || page.generation != source.generation)
    want(page.node, source);
  else
    ended(page.node, source);
  look_for(page.node, read);
  pump();
}

// All that is in its log was read.
void Archive::ended(const std::string& node, Source& source) {
  if (source.heard <= source.read) {
    source.vain = 0;
    return;
  }
  // A noted event is heard before it is in the log.
  if (source.vain >= options_.again_max) return;
  source.timer = context_.after(options_.again * (1 << source.vain++), [this, node] {
    sources_[node].timer = 0;
    want(node, sources_[node]);
  });
}

// Once: it goes on by itself when there is room.
void Archive::say_full(const absl::Status& why) {
  if (std::exchange(full_, true)) return;
  Draft draft = context_.draft(context_.node());
  auto slow = draft.payload().initBusSlowSubscriber();
  slow.setSubscriber(context_.self().to_string());
  slow.setBacklog(under_way_ + waiting_.size());
  slow.setDone(absl::StrCat("the archive waits, and what nodes say stays in their own logs: ",
                            why.message()));
  // The disk may be the same as the node's own log's.
  context_.publish(std::move(draft), [this](const absl::Status& said) {
    if (!said.ok()) full_ = false;  // to be said again
  });
}

void Archive::serve(Message<schema::Request> request, Answer answer) {
  if (request.reader().isAwaitArchived()) return await(request, std::move(answer));
  if (!request.reader().isReadLog()) return Actor::serve(std::move(request), std::move(answer));
  pages_.serve(request, std::move(answer));
}

// ---- who waits for an event to be here -------------------------------------------------------------------------------

void Archive::await(const Message<schema::Request>& request, Answer answer) {
  const auto ids = request.reader().getAwaitArchived();
  Waiter waiter{.answer = std::move(answer)};
  for (const auto id : ids) waiter.missing.push_back(EventId::from(id));
  if (waiter.missing.empty() || waiter.missing.size() > await_events_max)
    return waiter.answer(absl::InvalidArgumentError(
        absl::StrCat("name 1 to ", await_events_max, " events; these are ", ids.size())));
  waiter.node = std::string(node_of(waiter.missing.front().origin));
  for (const EventId& id : waiter.missing)
    if (!is_origin(id.origin) || node_of(id.origin) != waiter.node || id.sequence == 0)
      return waiter.answer(
          absl::InvalidArgumentError("they have to be events, and all of one node"));
  if (waiters_.size() >= options_.waiters_max)
    return waiter.answer(absl::ResourceExhaustedError(
        absl::StrCat(waiters_.size(), " wait for this archive already; ask again")));
  const auto source = sources_.find(waiter.node);
  if (source == sources_.end())
    return waiter.answer(
        absl::UnavailableError(absl::StrCat(waiter.node, " was not heard here yet; ask again")));
  waiter.asked = source->second.asked;
  const std::uint64_t number = ++last_waiter_;
  waiter.timer = context_.after(options_.waiter_max, [this, number] {
    waiters_.at(number).timer = 0;
    settle(number, absl::UnavailableError("it is not on the archive's disk yet; ask again"));
  });
  if (const std::shared_ptr<Call>& call = waiter.answer.call(); call != nullptr)
    call->when_cancelled([this, number] {
      if (waiters_.contains(number))
        settle(number, absl::CancelledError("nobody waits for it any more"));
    });
  waiters_.emplace(number, std::move(waiter));
  look(number);
}

// Asks the archive's log, for one event after another. It tells only what is on its disk.
void Archive::look(std::uint64_t number) {
  Waiter& waiter = waiters_.at(number);
  if (waiter.looking) {
    waiter.again = true;
    return;
  }
  waiter.again = false;
  if (waiter.missing.empty()) return settle(number, absl::OkStatus());
  const EventId& id = waiter.missing.back();
  const auto newest = newest_.find(id.origin);
  if (newest == newest_.end() || newest->second < Sequence{id.incarnation, id.sequence})
    return missing(number, waiter);
  StreamRange range{.origin = id.origin,
                    .incarnation = id.incarnation,
                    .prefixes = {""},
                    .after = id.sequence - 1,
                    .up_to = id.sequence};
  waiter.looking = true;
  log_.read_stream(std::move(range), event_bytes_max,
                   context_.reply<StreamPart>(
                       options_.deadline, [this, number](const absl::StatusOr<StreamPart>& part) {
                         const auto found = waiters_.find(number);
                         if (found == waiters_.end()) return;
                         found->second.looking = false;
                         if (!part.ok() && !absl::IsNotFound(part.status()))
                           return settle(number, absl::UnavailableError(part.status().message()));
                         if (part.ok() && !part->events.empty())
                           found->second.missing.pop_back();
                         else if (!found->second.again)
                           return missing(number, found->second);
                         look(number);
                       }));
}

void Archive::missing(std::uint64_t number, Waiter& waiter) {
  if (!waiter.read) return want(waiter.node, sources_.at(waiter.node));
  settle(number, absl::FailedPreconditionError(absl::StrCat(
                     waiter.missing.back().to_string(), " is not kept here: this archive keeps ",
                     absl::StrJoin(options_.patterns, ", "),
                     "; give one the type's pattern under [archive], or take the type out of "
                     "[archived]")));
}

// `read`: not 0, the log was read to its end, when it had been asked so often.
void Archive::look_for(const std::string& node, std::uint64_t read) {
  std::vector<std::uint64_t> numbers;
  for (auto& [number, waiter] : waiters_) {
    if (waiter.node != node) continue;
    if (read > waiter.asked) waiter.read = true;
    numbers.push_back(number);
  }
  for (const std::uint64_t number : numbers)
    if (waiters_.contains(number)) look(number);
}

// Its log cannot be had.
void Archive::refuse(const std::string& node, const absl::Status& why) {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, waiter] : waiters_)
    if (waiter.node == node) numbers.push_back(number);
  for (const std::uint64_t number : numbers)
    settle(number, absl::UnavailableError(
                       absl::StrCat("the log of ", node, " cannot be read: ", why.message())));
}

void Archive::settle(std::uint64_t number, const absl::Status& status) {
  auto waiter = waiters_.extract(number);
  context_.cancel(waiter.mapped().timer);
  if (status.ok())
    waiter.mapped().answer(done_answer());
  else
    waiter.mapped().answer(status);
}

}  // namespace supercloud
