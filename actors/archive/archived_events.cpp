#include "actors/archive/archived_events.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/archive/archive.h"
#include "core/held_events.h"
#include "core/text.h"

namespace supercloud {

// ---- which types ---------------------------------------------------------------------------------------------------

absl::Status add_archived(ArchivedTypes& types, std::string_view name, std::uint32_t machines) {
  const std::string_view domain = topic_token(name, 0);
  const bool all = name == std::string(domain) + ".*";
  if (domain == "bus" || domain == "node")
    return absl::InvalidArgumentError(
        "is what a node reports of itself, and nobody waits for it: remove it");
  if (domain == "lease")
    return absl::InvalidArgumentError(
        "is what a guest waits for while its lease changes hands, and archives may be away: remove "
        "it");
  bool known = false, logged = false;
  for (const schema::Payload::Which type : known_types()) {
    const std::string_view topic = topic_of(type);
    if (all ? topic_token(topic, 0) != domain : topic != name) continue;
    known = true;
    if (delivery_of(type) == schema::Delivery::VOLATILE) continue;
    logged = true;
    if (all)
      types.try_emplace(type, machines);
    else
      types[type] = machines;
  }
  if (!known)
    return absl::InvalidArgumentError(
        "is no type of event: write one such as \"instance.requested\", or \"instance.*\" for all "
        "of them");
  if (!logged)
    return absl::InvalidArgumentError(
        "is telemetry, which is in no log and in no archive: remove it");
  return absl::OkStatus();
}

absl::StatusOr<ArchivedTypes> archived_types(const std::map<std::string, std::uint32_t>& names) {
  ArchivedTypes types;
  for (const bool domains : {false, true})
    for (const auto& [name, machines] : names) {
      if (name.ends_with(".*") != domains) continue;
      if (const absl::Status added = add_archived(types, name, machines); !added.ok())
        return absl::InvalidArgumentError(
            absl::StrCat("archived.\"", name, "\" ", added.message()));
    }
  return types;
}

// ---- what waits ----------------------------------------------------------------------------------------------------

std::uint32_t ArchivedEvents::machines_for(schema::Payload::Which type) const {
  const auto found = options_.types.find(type);
  return found == options_.types.end() ? 0 : found->second;
}

bool ArchivedEvents::holds_topic(const std::string& holder, const std::vector<Pattern>& patterns,
                                 std::string_view topic) const {
  return std::ranges::any_of(patterns, [&](const Pattern& each) { return each.matches(topic); }) &&
         (!options_.may_hear || options_.may_hear(node_of(holder), topic));
}

std::set<std::string> ArchivedEvents::holders_of(schema::Payload::Which type,
                                                 std::string_view topic) const {
  std::set<std::string> found;
  if (holders_.empty() || !may_be_held(type)) return found;
  for (const auto& [holder, patterns] : holders_)
    if (holds_topic(holder, patterns, topic)) found.insert(holder);
  return found;
}

absl::Status ArchivedEvents::room() const {
  if (waiting_.size() < options_.waiting_max) return absl::OkStatus();
  std::map<std::string, std::size_t> held;
  for (const auto& [number, waiting] : waiting_)
    for (const std::string& holder : waiting.holders) ++held[holder];
  const auto slowest =
      std::ranges::max_element(held, {}, [](const auto& each) { return each.second; });
  if (slowest != held.end())
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting_.size(), " events wait, ", slowest->second, " of them until ",
                     slowest->first, ", which holds them, takes them; look at it, or stop it"));
  return absl::ResourceExhaustedError(
      absl::StrCat(waiting_.size(),
                   " events wait for archives of other nodes; look whether those run, and at their "
                   "disks"));
}

void ArchivedEvents::keep(Event event, Kept kept) {
  if (left_) return std::move(kept)(absl::UnavailableError("the node leaves"));
  const std::uint32_t machines = machines_for(event.type());
  std::set<std::string> holders = holders_of(event.type(), event.topic());
  if (machines == 0 && holders.empty()) return std::move(kept)(absl::OkStatus());
  Waiting& waiting = waiting_[++last_];
  waiting.event = std::move(event);
  waiting.machines = machines;
  waiting.holders = std::move(holders);
  waiting.kept = std::move(kept);
  news_(Done());
}

void ArchivedEvents::leave() {
  left_ = true;
  for (auto& [number, waiting] : std::exchange(waiting_, {}))
    std::move(waiting.kept)(absl::UnavailableError(
        absl::StrCat("the node leaves; ", std::string(waiting.event.topic()),
                     " is in its log, and not known to be ",
                     waiting.needs_archives()
                         ? absl::StrCat("in ", waiting.machines, " archives")
                         : absl::StrCat("taken by ", absl::StrJoin(waiting.holders, ", ")))));
}

void ArchivedEvents::has(std::uint64_t number, const std::string& machine) {
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return;
  found->second.at.insert(machine);
  settle(found);
}

std::size_t ArchivedEvents::set_holder(const std::string& holder, std::vector<Pattern> patterns) {
  std::vector<std::uint64_t> released;
  for (const auto& [number, waiting] : waiting_)
    if (waiting.holders.contains(holder) && !holds_topic(holder, patterns, waiting.event.topic()))
      released.push_back(number);
  if (patterns.empty())
    holders_.erase(holder);
  else
    holders_.insert_or_assign(holder, std::move(patterns));
  for (const std::uint64_t number : released) {
    const auto found = waiting_.find(number);
    if (found == waiting_.end()) continue;
    if (released_) released_(found->second.event.id(), holder);
    taken(number, holder);
  }
  return released.size();
}

void ArchivedEvents::taken(std::uint64_t number, const std::string& holder) {
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return;
  found->second.holders.erase(holder);
  settle(found);
}

void ArchivedEvents::settle(Waitings::iterator waiting) {
  if (waiting->second.needs_archives() || !waiting->second.holders.empty()) return;
  Kept kept = std::move(waiting->second.kept);
  waiting_.erase(waiting);
  std::move(kept)(absl::OkStatus());
}

// ---- who asks ------------------------------------------------------------------------------------------------------

Custodian::Custodian(Context& context, ArchivedEvents& events, CustodianOptions options)
    : context_(context),
      events_(events),
      options_(std::move(options)),
      holders_(context, events, options_.holders) {
  for (const char* pattern : {"bus.holding.>", "node.left.>"})
    context_.subscribe(Pattern::of(pattern));
  if (events_.archives())
    for (const char* pattern : {"node.joined.>", "node.capacity.>"})
      context_.subscribe(Pattern::of(pattern));
  listen();
  look();
}

void Custodian::listen() {
  events_.on_news(
      context_.reply<Done>(absl::InfiniteDuration(), [this](const absl::StatusOr<Done>&) {
        listen();
        look();
      }));
}

void Custodian::receive(const Event& event) {
  if (event.type() == schema::Payload::BUS_HOLDING) return holders_.heard(event);
  if (event.type() != schema::Payload::NODE_LEFT) return learn(event);
  const std::string node(text(event.payload().getNodeLeft().getNode()));
  if (node_of(event.origin()) != node) return;
  holders_.left(node);
  const auto found = keepers_.find(node);
  if (found == keepers_.end()) return;
  context_.cancel(found->second.timer);
  keepers_.erase(found);
}

void Custodian::learn(const Event& event) {
  const bool capacity = event.type() == schema::Payload::NODE_CAPACITY;
  const auto payload = event.payload();
  const auto joined = capacity ? payload.getNodeCapacity().getJoined() : payload.getNodeJoined();
  const std::string node(node_of(event.origin()));
  if (text(capacity ? payload.getNodeCapacity().getNode() : joined.getNode()) != node) return;
  const std::string instance(text(joined.getInstance()));
  const std::string machine = instance.empty() ? node : instance;
  std::vector<std::string> said;
  for (const auto pattern : joined.getArchives()) said.emplace_back(text(pattern));
  const auto found = keepers_.find(node);
  if (found != keepers_.end() && found->second.incarnation == event.incarnation() &&
      found->second.said == said && found->second.machine == machine)
    return;
  if (found != keepers_.end()) {
    if (event.incarnation() < found->second.incarnation) return;
    // Its disk is another one, or it is elsewhere: what it had is not known to be there.
    if (event.incarnation() > found->second.incarnation || found->second.machine != machine)
      for (auto& [number, waiting] : events_.waiting()) waiting.at.erase(found->second.machine);
    context_.cancel(found->second.timer);
    keepers_.erase(found);
  }
  if (said.empty() || node == context_.node() || machine == options_.instance) return;
  Keeper keeper{
      .machine = machine, .incarnation = event.incarnation(), .pause = options_.again_min};
  for (const std::string& pattern : said)
    if (auto parsed = Pattern::parse(pattern); parsed.ok())
      keeper.patterns.push_back(*std::move(parsed));
  keeper.said = std::move(said);
  ask(node, keepers_.emplace(node, std::move(keeper)).first->second);
}

void Custodian::look() {
  for (auto& [number, waiting] : events_.waiting())
    if (waiting.since == Instant()) waiting.since = context_.now();
  for (auto& [node, keeper] : keepers_) ask(node, keeper);
  holders_.look();
  watch_time();
}

void Custodian::ask(const std::string& node, Keeper& keeper) {
  if (keeper.asked || keeper.timer != 0) return;
  const std::size_t most = keeper.doubt ? 1 : Archive::await_events_max;
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, waiting] : events_.waiting()) {
    if (numbers.size() == most) break;
    const std::string_view topic = waiting.event.topic();
    if (waiting.needs_archives() && !waiting.at.contains(keeper.machine) &&
        !keeper.refused.contains(number) &&
        std::ranges::any_of(keeper.patterns, [&](auto& each) { return each.matches(topic); }))
      numbers.push_back(number);
  }
  if (numbers.empty()) {
    keeper.doubt = !keeper.refused.empty();
    if (keeper.doubt) pause(node, keeper, options_.again_max);
    return;
  }
  keeper.asked = true;
  const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto ids = builder.initAwaitArchived(static_cast<unsigned>(numbers.size()));
    for (unsigned i = 0; i < ids.size(); ++i)
      events_.waiting().at(numbers[i]).event.id().write(ids[i]);
  });
  context_.request({node, archive_actor}, request, options_.deadline,
                   [this, node, numbers, incarnation = keeper.incarnation](
                       const absl::StatusOr<Message<schema::Response>>& response) {
                     const auto found = keepers_.find(node);
                     // It has begun anew since, and is asked again.
                     if (found == keepers_.end() || found->second.incarnation != incarnation)
                       return;
                     const bool done = response.ok() && response->reader().isDone();
                     answered(node, numbers,
                              done            ? absl::OkStatus()
                              : response.ok() ? absl::InternalError("an answer of another kind")
                                              : response.status());
                   });
}

void Custodian::answered(const std::string& node, const std::vector<std::uint64_t>& asked,
                         const absl::Status& status) {
  Keeper& keeper = keepers_.at(node);
  keeper.asked = false;
  if (status.ok()) {
    keeper.pause = options_.again_min;
    keeper.trouble.clear();
    for (const std::uint64_t number : asked) events_.has(number, keeper.machine);
    watch_time();
    return ask(node, keeper);
  }
  keeper.trouble = std::string(status.message());
  if (absl::IsFailedPrecondition(status)) {  // of some of them, and it does not say of which
    if (asked.size() == 1) keeper.refused.insert(asked.front());
    keeper.doubt = true;
    return ask(node, keeper);
  }
  pause(node, keeper, keeper.pause);
  keeper.pause = std::min(keeper.pause * 2, options_.again_max);
}

void Custodian::pause(const std::string& node, Keeper& keeper, Duration span) {
  context_.cancel(keeper.timer);
  keeper.timer = context_.after(span, [this, node] {
    const auto found = keepers_.find(node);
    if (found == keepers_.end()) return;
    Keeper& paused = found->second;
    paused.timer = 0;
    paused.refused.clear();
    ask(node, paused);
  });
}

// ---- what waits for long -------------------------------------------------------------------------------------------

void Custodian::watch_time() {
  context_.cancel(std::exchange(late_, 0));
  const auto first = std::ranges::find_if(
      events_.waiting(), [](const auto& each) { return each.second.needs_archives(); });
  if (first == events_.waiting().end()) {
    said_ = false;
    return;
  }
  ArchivedEvents::Waiting& oldest = first->second;
  if (oldest.since == Instant()) oldest.since = context_.now();
  const Instant due = oldest.since + options_.say_after;
  if (context_.now() < due) {
    late_ = context_.at(due, [this] {
      late_ = 0;
      watch_time();
    });
    return;
  }
  if (!std::exchange(said_, true)) say_late(oldest);
}

void Custodian::say_late(const ArchivedEvents::Waiting& waiting) {
  std::vector<std::string> known;
  for (const auto& [node, keeper] : keepers_)
    known.push_back(keeper.trouble.empty() ? node : absl::StrCat(node, " (", keeper.trouble, ")"));
  Draft draft = context_.draft(context_.node());
  auto slow = draft.payload().initBusSlowSubscriber();
  slow.setSubscriber(context_.self().to_string());
  slow.setBacklog(static_cast<std::uint64_t>(std::ranges::count_if(
      events_.waiting(), [](const auto& each) { return each.second.needs_archives(); })));
  slow.setDone(absl::StrCat(
      "its publisher waits: ", std::string(waiting.event.topic()), " (",
      waiting.event.id().short_id(), ") has to be in the archives of ", waiting.machines,
      " other machines, and is in ", waiting.at.size(), "; nodes with an archive: ",
      known.empty() ? "none is heard, start one with [archive]" : absl::StrJoin(known, ", ")));
  context_.publish(std::move(draft), [this](const absl::Status& said) {
    if (!said.ok()) said_ = false;  // to be said again, at the next look
  });
}

}  // namespace supercloud
