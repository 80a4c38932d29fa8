#include "actors/archive/holders.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/archive/archived_events.h"
#include "core/held_events.h"
#include "core/text.h"

namespace supercloud {

namespace {

constexpr std::size_t trouble_bytes_max = 256;  // of an error, as it is said

// For as long as that node is as it is: it may not be asked by this one, or it does not know the question.
bool cannot_be_asked(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnimplemented(status) ||
         absl::IsInvalidArgument(status);
}

}  // namespace

Holders::Holders(Context& context, ArchivedEvents& events, const HolderOptions& options)
    : context_(context), events_(events), options_(options) {
  // Of a custodian that has failed. Who has ended meanwhile is found silent.
  std::map<std::string, std::map<std::string, std::vector<Pattern>>> known;
  for (const auto& [name, patterns] : events_.holders())
    known[std::string(node_of(name))][name.substr(name.find('/') + 1)] = patterns;
  for (const auto& [node, holds] : known) learn(node, holds, "");
}

// ---- who holds -----------------------------------------------------------------------------------------------------

void Holders::heard(const Event& holding) {
  const std::string node(node_of(holding.origin()));
  if (holding.origin() != node + "/node") return;  // others than the node itself know nothing of it
  std::map<std::string, std::vector<Pattern>> holds;
  std::size_t count = 0;
  for (const auto hold : holding.payload().getBusHolding().getHolds()) {
    if (++count > options_.holds_max) break;
    auto pattern = Pattern::parse(text(hold.getPattern()));
    if (pattern.ok() && is_token(text(hold.getActor())))
      holds[std::string(text(hold.getActor()))].push_back(*std::move(pattern));
  }
  Node& from = nodes_[node];
  from.looks = 0;
  if (std::exchange(from.incarnation, holding.incarnation()) != holding.incarnation())
    from.refuses = false;
  if (!from.refuses) learn(node, holds, "it holds no more");
}

void Holders::left(const std::string& node) {
  nodes_.erase(node);
  learn(node, {}, "its node left");
}

void Holders::learn(const std::string& node,
                    const std::map<std::string, std::vector<Pattern>>& holds,
                    std::string_view why) {
  std::vector<std::string> gone;
  for (const auto& [name, holder] : holders_)
    if (holder.node == node && !holds.contains(holder.actor)) gone.push_back(name);
  for (const std::string& name : gone) {
    context_.cancel(holders_.at(name).timer);
    holders_.erase(name);
    released(name, why, events_.set_holder(name, {}));
  }
  for (const auto& [actor, patterns] : holds) {
    const std::string name = absl::StrCat(node, "/", actor);
    const auto [holder, fresh] = holders_.try_emplace(name);
    if (fresh) {
      holder->second = {.node = node, .actor = actor, .pause = options_.again_min};
      holder->second.number = ++last_;
    }
    released(name, why, events_.set_holder(name, patterns));
  }
  if (!holds.empty())
    nodes_.try_emplace(node);
  else if (const auto known = nodes_.find(node); known != nodes_.end() && !known->second.refuses)
    nodes_.erase(known);
  tell_released(node);
  look();
  watch_later();
}

// ---- who asks ------------------------------------------------------------------------------------------------------

void Holders::look() {
  for (auto& [name, holder] : holders_) ask(name, holder);
}

void Holders::ask(const std::string& name, Holder& holder) {
  if (holder.asked || holder.timer != 0) return;
  std::vector<std::uint64_t> numbers;
  const auto& waiting = events_.waiting();
  const auto add = [&](auto from, auto end) {
    for (; from != end && numbers.size() < HeldEvents::events_per_question_max; ++from)
      if (from->second.holders.contains(name)) numbers.push_back(from->first);
  };
  const auto begin = waiting.upper_bound(holder.up_to);
  add(begin, waiting.end());
  add(waiting.begin(), begin);
  if (numbers.empty()) return;
  holder.up_to = numbers.back();
  holder.asked = true;
  const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto await = builder.initAwaitTaken();
    await.setActor(holder.actor);
    auto ids = await.initEvents(static_cast<unsigned>(numbers.size()));
    for (unsigned i = 0; i < ids.size(); ++i)
      events_.waiting().at(numbers[i]).event.id().write(ids[i]);
  });
  context_.request({holder.node, "node"}, request, options_.deadline,
                   [this, name, numbers, holds = holder.number](
                       const absl::StatusOr<Message<schema::Response>>& response) {
                     const auto found = holders_.find(name);
                     if (found == holders_.end() || found->second.number != holds) return;
                     answered(name, numbers, response);
                   });
}

void Holders::answered(const std::string& name, const std::vector<std::uint64_t>& asked,
                       const absl::StatusOr<Message<schema::Response>>& response) {
  Holder& holder = holders_.at(name);
  holder.asked = false;
  holder.trouble =
      response.ok() ? "" : std::string(response.status().message().substr(0, trouble_bytes_max));
  if (cannot_be_asked(response.status())) {
    nodes_[holder.node].refuses = true;
    return learn(std::string(holder.node), {}, absl::StrCat("cannot be asked: ", holder.trouble));
  }
  std::set<EventId> taken;
  if (response.ok() && response->reader().isTaken())
    for (const auto id : response->reader().getTaken()) taken.insert(EventId::from(id));
  bool some = false;
  for (const std::uint64_t number : asked) {
    const auto waiting = events_.waiting().find(number);
    if (waiting == events_.waiting().end() || !taken.contains(waiting->second.event.id())) continue;
    events_.taken(number, name);
    some = true;
  }
  if (some) {
    holder.pause = options_.again_min;
    return ask(name, holder);
  }
  holder.timer = context_.after(holder.pause, [this, name, holds = holder.number] {
    const auto found = holders_.find(name);
    if (found == holders_.end() || found->second.number != holds) return;
    found->second.timer = 0;
    ask(name, found->second);
  });
  // A node that answers has waited before it did so in vain.
  holder.pause =
      response.ok() ? options_.again_min : std::min(holder.pause * 2, options_.again_max);
}

// ---- who is silent, and who is slow --------------------------------------------------------------------------------

void Holders::watch() {
  timer_ = 0;
  std::vector<std::string> gone;
  for (auto& [node, known] : nodes_)
    if (++known.looks * options_.look_again > options_.silent_max) gone.push_back(node);
  for (const std::string& node : gone) {
    nodes_.erase(node);
    learn(node, {}, absl::StrCat("not heard for ", absl::FormatDuration(options_.silent_max)));
  }
  for (auto& [number, waiting] : events_.waiting()) ++waiting.looks;
  for (auto& [name, holder] : holders_) name_slow(name, holder);
  for (const auto& [node, words] : words_) tell_released(node);
  const Instant now = context_.now();
  std::erase_if(words_, [&](const auto& each) {
    const Words& words = each.second;
    return now >= words.slow_next && now >= words.released_next && words.released.count == 0;
  });
  watch_later();
}

void Holders::watch_later() {
  if (timer_ == 0 && !(nodes_.empty() && words_.empty()))
    timer_ = context_.after(options_.look_again, [this] { watch(); });
}

void Holders::name_slow(const std::string& name, Holder& holder) {
  if (nodes_[holder.node].looks > 2) return;
  const auto waits = [&](const auto& each) { return each.second.holders.contains(name); };
  const auto oldest = std::ranges::find_if(events_.waiting(), waits);
  if (oldest == events_.waiting().end() ||
      oldest->second.looks * options_.look_again < options_.slow_after) {
    holder.said = false;
    return;
  }
  Words& words = words_[holder.node];
  if (holder.said || context_.now() < words.slow_next) return;
  holder.said = true;
  words.slow_next = context_.now() + options_.word_interval;
  const Event& event = oldest->second.event;
  say(name, static_cast<std::size_t>(std::ranges::count_if(events_.waiting(), waits)),
      absl::StrCat("holds them, and has not taken ", std::string(event.topic()), " (",
                   event.id().short_id(), ") for ", absl::FormatDuration(options_.slow_after),
                   ": publishers of ", context_.node(), " wait",
                   holder.trouble.empty() ? "" : absl::StrCat("; asked: ", holder.trouble)),
      [this, name, holds = holder.number](const absl::Status& said) {
        const auto found = holders_.find(name);
        if (!said.ok() && found != holders_.end() && found->second.number == holds)
          found->second.said = false;  // to be said again, when its node may be named again
      });
}

void Holders::released(const std::string& name, std::string_view why, std::size_t backlog) {
  if (backlog == 0) return;
  Released& released = words_[std::string(node_of(name))].released;
  if (released.count++ == 0) {
    released.first = name;
    released.why = std::string(why);
  }
  released.backlog += backlog;
}

void Holders::tell_released(const std::string& node) {
  const auto words = words_.find(node);
  const Instant now = context_.now();
  if (words == words_.end() || words->second.released.count == 0 ||
      now < words->second.released_next)
    return;
  words->second.released_next = now + options_.word_interval;
  Released tell = std::exchange(words->second.released, {});
  std::string done = absl::StrCat("held them, released: ", tell.why);
  if (tell.count > 1) absl::StrAppend(&done, "; and ", tell.count - 1, " more of ", node);
  say(tell.first, tell.backlog, done, [this, node, tell](const absl::Status& said) {
    if (said.ok()) return;
    Released& again = words_[node].released;
    again.first = tell.first;
    again.why = tell.why;
    again.backlog += tell.backlog;
    again.count += tell.count;
    watch_later();
  });
}

void Holders::say(const std::string& name, std::size_t backlog, const std::string& done,
                  std::function<void(const absl::Status&)> said) {
  Draft draft = context_.draft(context_.node());
  auto slow = draft.payload().initBusSlowSubscriber();
  slow.setSubscriber(name);
  slow.setBacklog(backlog);
  slow.setDone(done);
  context_.publish(std::move(draft), std::move(said));
}

}  // namespace supercloud
