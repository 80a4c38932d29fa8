#include "actors/archive/holders.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/archive/archived_events.h"
#include "core/held_events.h"
#include "core/text.h"

namespace supercloud {

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
  learn(node, holds, "it holds no more");
}

void Holders::left(const std::string& node) { learn(node, {}, "its node left"); }

void Holders::learn(const std::string& node,
                    const std::map<std::string, std::vector<Pattern>>& holds,
                    std::string_view why) {
  std::vector<std::string> gone;
  for (const auto& [name, holder] : holders_)
    if (holder.node == node && !holds.contains(holder.actor)) gone.push_back(name);
  for (const std::string& name : gone) release(name, why);
  for (const auto& [actor, patterns] : holds) {
    const std::string name = absl::StrCat(node, "/", actor);
    const auto [holder, fresh] = holders_.try_emplace(name);
    if (fresh) {
      holder->second = {.node = node, .actor = actor, .pause = options_.again_min};
      holder->second.number = ++last_;
    }
    const std::size_t released = events_.set_holder(name, patterns);
    if (released > 0) say(name, released, absl::StrCat("held them, released: ", std::string(why)));
  }
  if (holds.empty())
    silent_.erase(node);
  else
    silent_[node] = 0;
  look();
  if (timer_ == 0 && !holders_.empty())
    timer_ = context_.after(options_.look_again, [this] { watch(); });
}

void Holders::release(const std::string& name, std::string_view why) {
  context_.cancel(holders_.at(name).timer);
  holders_.erase(name);
  const std::size_t released = events_.set_holder(name, {});
  if (released > 0) say(name, released, absl::StrCat("held them, released: ", std::string(why)));
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
  holder.trouble = response.ok() ? "" : std::string(response.status().message());
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
  for (auto& [node, looks] : silent_)
    if (++looks * options_.look_again > options_.silent_max) gone.push_back(node);
  for (const std::string& node : gone)
    learn(node, {}, absl::StrCat("not heard for ", absl::FormatDuration(options_.silent_max)));
  for (auto& [number, waiting] : events_.waiting()) ++waiting.looks;
  for (auto& [name, holder] : holders_) {
    if (silent_[holder.node] > 2) continue;
    const auto waits = [&](const auto& each) { return each.second.holders.contains(name); };
    const auto oldest = std::ranges::find_if(events_.waiting(), waits);
    if (oldest == events_.waiting().end() ||
        oldest->second.looks * options_.look_again < options_.slow_after) {
      holder.said = false;
      continue;
    }
    if (std::exchange(holder.said, true)) continue;
    const Event& event = oldest->second.event;
    say(name, static_cast<std::size_t>(std::ranges::count_if(events_.waiting(), waits)),
        absl::StrCat("holds them, and has not taken ", std::string(event.topic()), " (",
                     event.id().short_id(), ") for ", absl::FormatDuration(options_.slow_after),
                     ": publishers of ", context_.node(), " wait",
                     holder.trouble.empty() ? "" : absl::StrCat("; asked: ", holder.trouble)));
  }
  if (timer_ == 0 && !holders_.empty())
    timer_ = context_.after(options_.look_again, [this] { watch(); });
}

void Holders::say(const std::string& name, std::size_t backlog, const std::string& done) {
  Draft draft = context_.draft(context_.node());
  auto slow = draft.payload().initBusSlowSubscriber();
  slow.setSubscriber(name);
  slow.setBacklog(backlog);
  slow.setDone(done);
  context_.publish(std::move(draft), [this, name, backlog, done](const absl::Status& said) {
    if (!said.ok())
      context_.after(options_.again_max, [this, name, backlog, done] { say(name, backlog, done); });
  });
}

}  // namespace supercloud
