#include "core/node.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "core/actor_cell.h"
#include "core/runtime.h"

namespace supercloud {

namespace {

constexpr std::size_t prefixes_max = 96;  // of the topics of one that is no member
constexpr long wishes_max = 64;           // not yet in the log

constexpr Duration rejection_interval = absl::Seconds(10);
constexpr std::size_t rejection_sources_max = 256;
constexpr std::size_t rejection_text_max = 256;
constexpr std::size_t history_bytes_max =
    event_bytes_max / 2;  // a part is an answer, and has to fit

std::string response_bytes(const absl::StatusOr<Message<schema::Response>>& response) {
  if (response.ok()) return std::string(response->bytes());
  return std::string(Message<schema::Response>::build([&](schema::Response::Builder builder) {
                       builder.setCode(static_cast<std::uint16_t>(response.status().code()));
                       builder.setMessage(std::string(response.status().message()));
                     }).bytes());
}

}  // namespace

// The actors, and what the node itself says as origin "node/node".
struct Node::State {
  State(NodeSeams seams, NodeOptions options) : runtime(seams, std::move(options)) {}

  struct Rejections {
    std::uint64_t count = 0;  // not yet said
    std::string why;          // of the last
    Instant quiet_until;
    BusGap lost;  // events that were dropped, and not yet said; no origin: none
  };

  ActorCell* find(std::string_view actor) {
    for (const auto& cell : cells) {
      if (cell->address().actor == actor) return cell.get();
    }
    return nullptr;
  }

  void stop_actors();
  void tell_holds();
  void await_taken(schema::Request::AwaitTaken::Reader asked, Reply<std::string> answer);
  void arm_heartbeat();
  void beat();
  void reject(std::string from, std::string why, const Event* dropped = nullptr);
  void report_gap(const BusGap& gap);
  void report_rejections(const std::string& from, Rejections& rejections);
  void flush_rejections();

  Runtime runtime;
  std::vector<std::unique_ptr<ActorCell>> cells;  // in order of their start
  std::map<std::string, Rejections> rejected;     // by sender
  std::uint64_t beats = 0;
  bool has_left = false;
  bool told_holds = false;                                // some, at the last time
  std::shared_ptr<char> wish = std::make_shared<char>();  // one more owner for each that is open
  TimerId heartbeat = 0;
};

Node::Node(NodeSeams seams, NodeOptions options)
    : state_(std::make_unique<State>(seams, std::move(options))) {
  state_->runtime.on_holds_changed([state = state_.get()] { state->tell_holds(); });
  state_->arm_heartbeat();
  std::vector<OriginTail> past;
  for (const auto& [origin, stream] : state_->runtime.publisher().streams()) {
    if (stream->incarnation() != 0) past.push_back({origin, stream->incarnation(), stream->left()});
  }
  seams.bus.start(*this, std::move(past));
}

Node::~Node() {
  state_->stop_actors();
  while (!state_->cells.empty()) state_->cells.pop_back();  // the last one first, here too
}

void Node::leave(std::string why, std::function<void(absl::Status)> ended) {
  for (const auto& cell : state_->cells) cell->report_gaps();
  state_->stop_actors();
  if (Custody* custody = state_->runtime.seams().custody; custody != nullptr) custody->leave();
  for (auto& [from, rejections] : state_->rejected)
    if (rejections.count > 0) state_->report_rejections(from, rejections);
  state_->has_left = true;
  Draft draft = state_->runtime.own_draft();
  auto left = draft.payload().initNodeLeft();
  left.setNode(name());
  left.setWhy(why);
  state_->runtime.publish_own(std::move(draft), std::move(ended));
}

void Node::State::stop_actors() {
  runtime.seams().scheduler.cancel(std::exchange(heartbeat, 0));
  for (auto cell = cells.rbegin(); cell != cells.rend(); ++cell) (*cell)->stop();
}

const std::string& Node::name() const { return state_->runtime.options().name; }

void Node::spawn(std::string actor, ActorFactory factory) {
  // "node" is the node itself, "bus" its bus, which answers for the log.
  if (state_->find(actor) != nullptr || actor == "node" || actor == "bus") {
    ABSL_RAW_LOG(FATAL, "two actors named %s on node %s", actor.c_str(), name().c_str());
  }
  state_->cells.push_back(
      std::make_unique<ActorCell>(state_->runtime, std::move(actor), std::move(factory)));
  state_->cells.back()->start();
}

void Node::fail_actor(std::string_view actor, absl::Status why) {
  if (ActorCell* cell = state_->find(actor); cell != nullptr && cell->up()) {
    cell->fail(std::move(why));
  }
}

std::vector<std::string> Node::actors() const {
  std::vector<std::string> names;
  for (const auto& cell : state_->cells) names.push_back(cell->address().actor);
  return names;
}

void Node::publish_for(std::string_view publisher, Draft draft, Reply<Event> reply) {
  const std::string actor = absl::StrCat("for-", absl_view(publisher));
  if (!is_token(publisher) || !is_token(actor)) {
    return reply(absl::InvalidArgumentError(
        absl::StrCat("\"", absl_view(publisher), "\" is no name of a publisher: 1 to ",
                     token_bytes_max - 4, " of A-Z a-z 0-9 _ -")));
  }
  if (state_->has_left) return reply(absl::UnavailableError(name() + " is leaving"));
  Publisher& own = state_->runtime.publisher();
  const std::string origin = absl::StrCat(name(), "/", actor);
  const std::string lead = name() + "/for-";
  const auto others = std::count_if(own.streams().begin(), own.streams().end(),
                                    [&](auto& stream) { return stream.first.starts_with(lead); });
  if (own.streams().count(origin) == 0 && others >= static_cast<int>(publishers_max)) {
    return reply(absl::ResourceExhaustedError(
        absl::StrCat(name(), " has published for ", others,
                     " others; use one of their names, or another node")));
  }
  // Each new prefix of a topic stays with the origin, and in each heartbeat.
  const auto known = own.streams().find(origin);
  if (known != own.streams().end() && known->second->tails().size() >= prefixes_max &&
      known->second->tails().count(topic_prefix(draft.topic(), 3)) == 0) {
    return reply(absl::ResourceExhaustedError(
        absl::StrCat(name(), " has published of too many topics for ", absl_view(publisher))));
  }
  if (state_->wish.use_count() > wishes_max) {
    return reply(absl::ResourceExhaustedError(
        absl::StrCat(name(), " has ", wishes_max, " events to publish for others; ask again")));
  }
  struct Published {
    std::shared_ptr<char> open;
    Reply<Event> reply;
    Event event;
    bool settled = false;  // of a volatile event, before the call returns
  };
  auto published = std::make_shared<Published>();
  published->open = state_->wish;
  published->reply = std::move(reply);
  const absl::StatusOr<Event> event = state_->runtime.publish(
      own.stream(origin), std::move(draft),
      [published](const absl::Status& status) {
        published->settled = true;
        if (!status.ok()) return published->reply(status);
        if (published->event) published->reply(published->event);
      },
      true);
  if (!event.ok()) return published->reply(event.status());
  published->event = *event;
  if (published->settled) published->reply(*event);
}

// ---- from the bus --------------------------------------------------------------------------------------------------

void Node::on_event(Event event) {
  // Local subscriptions go by type, remote ones by topic: a sender must not be able to make them differ.
  const std::string_view expected = topic_of(event.type());
  const std::string_view topic = event.topic();
  if (!expected.empty() && (!topic.starts_with(expected) || topic.size() <= expected.size() ||
                            topic[expected.size()] != '.')) {
    state_->reject(
        std::string(event.origin()),
        absl::StrCat("topic ", std::string(topic), " on a payload of ", std::string(expected)),
        &event);
    return;
  }
  if (absl::Status status = state_->runtime.observe(event.time()); !status.ok()) {
    state_->reject(std::string(event.origin()), std::string(status.message()), &event);
    return;
  }
  state_->runtime.deliver(event);
}

void Node::on_gap(const BusGap& gap) {
  if (!state_->has_left) state_->report_gap(gap);
}

void Node::on_slow_subscriber(std::string_view subscriber, std::uint64_t backlog) {
  if (state_->has_left) return;
  // It says itself what it missed, and what of that is in no log.
  std::string who = subscriber.empty() ? absl::StrCat("a process that subscribes to ", name())
                                       : std::string(subscriber);
  state_->runtime.report([who = std::move(who), backlog](schema::Payload::Builder payload) {
    auto slow = payload.initBusSlowSubscriber();
    slow.setSubscriber(who);
    slow.setBacklog(backlog);
    slow.setDone("dropped: it gets them from the log, or is told");
  });
}

void Node::on_request(std::string actor, std::string bytes, Reply<std::string> answer) {
  absl::StatusOr<Message<schema::Request>> request = Message<schema::Request>::parse(bytes);
  const auto refuse = [&answer](const absl::Status& status) { answer(response_bytes(status)); };
  if (!request.ok()) {
    refuse(absl::InvalidArgumentError(
        absl::StrCat("malformed request: ", request.status().message())));
    return;
  }
  if (actor == "node") {
    if (request->reader().isPing()) {
      answer(response_bytes(Message<schema::Response>::build(
          [](schema::Response::Builder builder) { builder.setDone(); })));
    } else if (request->reader().isAwaitTaken()) {
      state_->await_taken(request->reader().getAwaitTaken(), std::move(answer));
    } else {
      refuse(absl::UnimplementedError(
          "the node itself answers ping and awaitTaken only; address one of its actors"));
    }
    return;
  }
  ActorCell* cell = state_->find(actor);
  if (cell == nullptr) {
    refuse(absl::NotFoundError(absl::StrCat("node ", name(), " has no actor named ", actor)));
    return;
  }
  if (!cell->up()) {
    refuse(absl::UnavailableError(
        absl::StrCat(name(), "/", actor, " does not run at the moment; try again")));
    return;
  }
  // Shared, so that a full mailbox can still answer.
  auto shared = std::make_shared<Reply<std::string>>(std::move(answer));
  const bool taken = cell->enqueue_request(
      *std::move(request), Answer(
                               shared->deadline(),
                               [shared](absl::StatusOr<Message<schema::Response>> response) {
                                 (*shared)(response_bytes(response));
                               },
                               cell->served(shared->call())));
  if (!taken) {
    (*shared)(response_bytes(absl::ResourceExhaustedError(
        absl::StrCat(name(), "/", actor, " has a full mailbox; try again later"))));
  }
}

void Node::on_history(StreamRange range, Reply<StreamPart> reply) {
  if (node_of(range.origin) != name()) {
    EventLog* const archive = state_->runtime.seams().archive;
    if (archive == nullptr)
      return reply(absl::UnimplementedError(
          absl::StrCat(name(), " keeps no events of ", range.origin, ", for it has no archive")));
    return archive->read_stream(std::move(range), history_bytes_max, std::move(reply));
  }
  // A noted event leaves before it is in the log: whoever missed it asks for it no sooner than it is there.
  auto shared = std::make_shared<Reply<StreamPart>>(std::move(reply));
  state_->runtime.publisher().flush([this, range = std::move(range), shared]() mutable {
    state_->runtime.seams().log.read_stream(std::move(range), history_bytes_max,
                                            std::move(*shared));
  });
}

void Node::on_rejected(std::string from, std::string why) {
  state_->reject(std::move(from), std::move(why));
}

void Node::on_peer(std::string node, bool alive) {
  // Nothing rests on it here: who may do what is said by leases, and who is there by node.joined and heartbeats.
  (void)node;
  (void)alive;
}

// ---- the node's own events -----------------------------------------------------------------------------------------

void Node::State::report_gap(const BusGap& gap) {
  for (const auto& cell : cells) cell->tell_gap(gap);
  runtime.report_gap(runtime.options().name, gap);
}

// `dropped`: it was in its place in the stream of its origin, which is `from`, so that nobody else will miss it.
void Node::State::reject(std::string from, std::string why, const Event* dropped) {
  if (has_left) return;
  from.resize(std::min(from.size(), rejection_text_max));
  why.resize(std::min(why.size(), rejection_text_max));
  if (rejected.size() >= rejection_sources_max && !rejected.contains(from)) from = "others";
  Rejections& rejections = rejected[from];
  ++rejections.count;
  if (dropped != nullptr) {
    BusGap& lost = rejections.lost;
    const std::string_view origin = dropped->origin();
    if (lost.origin != origin || lost.incarnation != dropped->incarnation()) {
      if (!lost.origin.empty()) report_gap(lost);
      lost = {.origin = std::string(origin),
              .incarnation = dropped->incarnation(),
              .prefix = "",
              .after = dropped->sequence() - 1,
              .up_to = 0,
              .why = "it was refused"};
    }
    lost.up_to = dropped->sequence();  // the bus keeps their order
  }
  rejections.why = std::move(why);
  if (runtime.now() >= rejections.quiet_until) report_rejections(from, rejections);
}

void Node::State::report_rejections(const std::string& from, Rejections& rejections) {
  rejections.quiet_until = runtime.now() + rejection_interval;
  runtime.report([from, why = rejections.why,
                  count = std::exchange(rejections.count, 0)](schema::Payload::Builder payload) {
    auto said = payload.initBusRejected();
    said.setFrom(from);
    said.setWhy(why);
    said.setCount(count);
  });
  const BusGap lost = std::exchange(rejections.lost, {});
  if (!lost.origin.empty()) report_gap(lost);
}

void Node::State::flush_rejections() {
  for (auto it = rejected.begin(); it != rejected.end();) {
    Rejections& rejections = it->second;
    if (runtime.now() < rejections.quiet_until) {
      ++it;
    } else if (rejections.count > 0) {
      report_rejections(it->first, rejections);
      ++it;
    } else {
      it = rejected.erase(it);
    }
  }
}

void Node::State::arm_heartbeat() {
  heartbeat =
      runtime.seams().scheduler.at(runtime.now() + runtime.options().heartbeat_interval, [this] {
        arm_heartbeat();
        flush_rejections();
        beat();
        for (const auto& cell : cells) cell->held().look(runtime.now());
        tell_holds();
      });
}

void Node::State::beat() {
  Draft draft = runtime.own_draft();
  auto payload = draft.payload().initNodeHeartbeat();
  payload.setNode(runtime.options().name);
  payload.setBeat(++beats);
  std::vector<const OriginStream*> streams;
  for (const auto& [origin, stream] : runtime.publisher().streams()) {
    if (stream->left() > 0) streams.push_back(stream.get());
  }
  auto tails = payload.initTails(static_cast<unsigned>(streams.size()));
  for (unsigned i = 0; i < streams.size(); ++i) {
    const OriginStream& stream = *streams[i];
    tails[i].setOrigin(stream.origin());
    tails[i].setIncarnation(stream.incarnation());
    tails[i].setSequence(stream.left());
    unsigned left = 0;
    for (const auto& [prefix, tail] : stream.tails()) left += tail.left > 0 ? 1 : 0;
    auto prefixes = tails[i].initPrefixes(left);
    unsigned next = 0;
    for (const auto& [prefix, tail] : stream.tails()) {
      if (tail.left == 0) continue;
      prefixes[next].setPrefix(prefix);
      prefixes[next].setSequence(tail.left);
      ++next;
    }
  }
  runtime.publish_own(std::move(draft));
}

// ---- subscriptions that hold ---------------------------------------------------------------------------------------

// All of them, each time: who has missed it hears it with the next beat.
void Node::State::tell_holds() {
  if (has_left) return;
  std::vector<std::pair<std::string, std::string>> holds;  // actor, pattern
  for (const auto& cell : cells)
    for (std::string& pattern : cell->held().patterns())
      holds.emplace_back(cell->address().actor, std::move(pattern));
  if (!std::exchange(told_holds, !holds.empty()) && holds.empty()) return;
  Draft draft = runtime.own_draft();
  auto said = draft.payload().initBusHolding().initHolds(static_cast<unsigned>(holds.size()));
  for (unsigned i = 0; i < said.size(); ++i) {
    said[i].setActor(holds[i].first);
    said[i].setPattern(holds[i].second);
  }
  runtime.publish_own(std::move(draft));
}

void Node::State::await_taken(schema::Request::AwaitTaken::Reader asked,
                              Reply<std::string> answer) {
  const auto refuse = [&](const std::string& why) {
    answer(response_bytes(absl::InvalidArgumentError(
        absl::StrCat("awaitTaken of ", asked.getEvents().size(), " events; ", why))));
  };
  const std::size_t most = HeldEvents::events_per_question_max;
  if (asked.getEvents().size() == 0 || asked.getEvents().size() > most)
    return refuse(absl::StrCat("ask for 1 to ", most, " at a time"));
  std::vector<EventId> events;
  for (const auto id : asked.getEvents()) {
    events.push_back(EventId::from(id));
    if (!is_origin(events.back().origin) ||
        node_of(events.back().origin) != node_of(events.front().origin))
      return refuse("they have to be events, and all of one node");
  }
  auto then = [answer = std::move(answer)](const std::vector<EventId>& taken) mutable {
    answer(response_bytes(Message<schema::Response>::build([&](schema::Response::Builder builder) {
      auto ids = builder.initTaken(static_cast<unsigned>(taken.size()));
      for (unsigned i = 0; i < ids.size(); ++i) taken[i].write(ids[i]);
    })));
  };
  ActorCell* const cell = find(text(asked.getActor()));
  if (cell == nullptr) return then({});  // bus.holding does not name it
  cell->held().await(std::move(events), runtime.now(), std::move(then));
}

}  // namespace supercloud
