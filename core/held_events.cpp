#include "core/held_events.h"

#include <algorithm>
#include <utility>

#include "core/topic.h"

namespace supercloud {

bool may_be_held(schema::Payload::Which type) {
  if (delivery_of(type) != schema::Delivery::DURABLE) return false;
  const std::string_view domain = topic_token(topic_of(type), 0);
  return !domain.empty() && domain != "lease" && domain != "bus" && domain != "node";
}

// ---- subscriptions -------------------------------------------------------------------------------------------------

std::uint64_t HeldEvents::add(const Pattern& pattern, std::size_t events_max) {
  holds_.push_back({++last_, pattern, events_max});
  return last_;
}

bool HeldEvents::put_in_effect(std::uint64_t hold) {
  const auto found = std::ranges::find(holds_, hold, &Hold::number);
  if (found == holds_.end()) return false;
  found->in_effect = true;
  return true;
}

void HeldEvents::remove(std::uint64_t hold) {
  std::erase_if(holds_, [&](const Hold& each) { return each.number == hold; });
  if (holds_.empty()) return clear();
  for (auto& [name, from] : origins_)
    waiting_ -= std::erase_if(from.waiting, [&](Waiting& waiting) {
      waiting.holds.erase(std::remove(waiting.holds.begin(), waiting.holds.end(), hold),
                          waiting.holds.end());
      return waiting.holds.empty();
    });
}

void HeldEvents::clear() {
  holds_.clear();
  origins_.clear();
  unseen_.clear();
  unseen_events_ = 0;
  waiting_ = 0;
  for (Question& question : std::exchange(questions_, {})) std::move(question.then)({});
}

std::vector<std::string> HeldEvents::patterns() const {
  std::vector<std::string> found;
  for (const Hold& hold : holds_)
    if (hold.in_effect) found.push_back(hold.pattern.text());
  return found;
}

std::size_t HeldEvents::waiting_max() const {
  std::size_t most = 0;
  for (const Hold& hold : holds_) most = std::max(most, hold.events_max);
  return most;
}

// ---- events --------------------------------------------------------------------------------------------------------

HeldEvents::Origin& HeldEvents::origin(const std::string& name) {
  if (origins_.size() >= origins_max && !origins_.contains(name))
    std::erase_if(origins_, [](const auto& each) { return each.second.waiting.empty(); });
  return origins_[name];
}

bool HeldEvents::arrived(const Event& event) {
  if (!may_be_held(event.type())) return false;
  Waiting waiting{.position = {event.incarnation(), event.sequence()}, .holds = {}};
  for (const Hold& hold : holds_)
    if (hold.pattern.matches(event.topic())) waiting.holds.push_back(hold.number);
  if (waiting.holds.empty()) return false;
  Origin& from = origin(std::string(event.origin()));
  from.newest = waiting.position;
  from.waiting.push_back(std::move(waiting));
  ++waiting_;
  return true;
}

// Only of a gap under a prefix that all subscriptions are under is it known that nothing of it comes yet.
void HeldEvents::missed(const BusGap& gap) {
  if (holds_.empty() || std::ranges::any_of(holds_, [&](const Hold& hold) {
        return !hold.pattern.wire_prefix().starts_with(gap.prefix);
      }))
    return;
  Origin& from = origin(gap.origin);
  from.newest = std::max(from.newest, Position(gap.incarnation, gap.up_to));
}

void HeldEvents::taken(const Event& event, Instant now) {
  if (holds_.empty()) return;
  const auto found = origins_.find(std::string(event.origin()));
  if (found == origins_.end()) return;
  auto& waiting = found->second.waiting;
  const Position position(event.incarnation(), event.sequence());
  const auto end = std::ranges::upper_bound(waiting, position, {}, &Waiting::position);
  if (end == waiting.begin()) return;
  waiting_ -= static_cast<std::size_t>(end - waiting.begin());
  waiting.erase(waiting.begin(), end);
  look_at(now, [&origin = found->first](const Question& question) {
    const auto part = std::ranges::equal_range(question.events, origin, {}, &EventId::origin);
    return absl::MakeConstSpan(question.events)
        .subspan(static_cast<std::size_t>(part.begin() - question.events.begin()), part.size());
  });
}

// ---- who asks ------------------------------------------------------------------------------------------------------

bool HeldEvents::is_taken(const EventId& event, Instant now) {
  const auto found = origins_.find(event.origin);
  const Position position(event.incarnation, event.sequence);
  if (found == origins_.end() || found->second.newest < position)
    return is_unseen_for_long(event, now);
  return !std::ranges::binary_search(found->second.waiting, position, {}, &Waiting::position);
}

bool HeldEvents::is_unseen_for_long(const EventId& event, Instant now) {
  const auto of_node = unseen_.find(node_of(event.origin));
  if (of_node == unseen_.end()) return false;
  auto& since = of_node->second.since;
  if (const auto asked = since.find(event); asked != since.end())
    return now - asked->second >= unseen_max;
  if (since.size() >= unseen_per_node_max) return false;
  since.emplace(event, now);
  ++unseen_events_;
  return false;
}

void HeldEvents::make_room_for_unseen(const std::string& node, Instant now) {
  unseen_[node].asked = now;
  while (unseen_.size() > unseen_nodes_max ||
         unseen_events_ + events_per_question_max > unseen_events_max) {
    const auto oldest =
        std::ranges::min_element(unseen_, {}, [](const auto& each) { return each.second.asked; });
    unseen_events_ -= oldest->second.since.size();
    unseen_.erase(oldest);
  }
}

// While there is much room it is remembered all the same, for the answer may be lost.
void HeldEvents::forget_unseen(const std::string& node, const std::vector<EventId>& answered) {
  const auto of_node = unseen_.find(node);
  if (of_node == unseen_.end() || of_node->second.since.size() <= unseen_per_node_max / 2) return;
  for (const EventId& event : answered) unseen_events_ -= of_node->second.since.erase(event);
}

void HeldEvents::await(std::vector<EventId> events, Instant now, Taken then) {
  if (holds_.empty() || events.empty()) return std::move(then)({});
  std::ranges::sort(events);
  const std::string node(node_of(events.front().origin));
  make_room_for_unseen(node, now);
  const auto of_node = [&](const Question& question) { return question.node == node; };
  if (std::ranges::count_if(questions_, of_node) >=
      static_cast<std::ptrdiff_t>(questions_per_node_max)) {
    std::ranges::find_if(questions_, of_node)->until = now;
  } else if (questions_.size() >= questions_max) {
    questions_.front().until = now;
  }
  questions_.push_back({node, std::move(events), now + answer_after, std::move(then)});
  look_at(now, [&newest = questions_.back()](const Question& question) {
    return &question == &newest ? absl::MakeConstSpan(question.events)
                                : absl::Span<const EventId>();
  });
}

void HeldEvents::look(Instant now) {
  std::vector<Taken> in_vain;
  std::erase_if(questions_, [&](Question& question) {
    if (now < question.until) return false;
    in_vain.push_back(std::move(question.then));
    return true;
  });
  for (Taken& then : in_vain) std::move(then)({});
  forget_old_unseen(now);
}

// Of those that nobody asks for any more, too.
void HeldEvents::forget_old_unseen(Instant now) {
  std::size_t looked = 0;
  for (std::size_t nodes = unseen_.size(); nodes > 0 && looked < unseen_per_look; --nodes) {
    auto of_node = unseen_.upper_bound(unseen_looked_at_);
    if (of_node == unseen_.end()) of_node = unseen_.begin();
    unseen_looked_at_ = of_node->first;
    auto& since = of_node->second.since;
    looked += since.size() + 1;
    unseen_events_ -=
        std::erase_if(since, [&](const auto& each) { return now - each.second > 2 * unseen_max; });
    if (since.empty()) unseen_.erase(of_node);
  }
}

void HeldEvents::look_at(Instant now,
                         absl::FunctionRef<absl::Span<const EventId>(const Question&)> part) {
  std::vector<std::pair<Taken, std::vector<EventId>>> answers;
  for (auto it = questions_.begin(); it != questions_.end();) {
    std::vector<EventId> taken;
    for (const EventId& event : part(*it))
      if (is_taken(event, now)) taken.push_back(event);
    if (taken.empty() && now < it->until) {
      ++it;
      continue;
    }
    forget_unseen(it->node, taken);
    answers.emplace_back(std::move(it->then), std::move(taken));
    it = questions_.erase(it);
  }
  for (auto& [then, taken] : answers) std::move(then)(std::move(taken));
}

}  // namespace supercloud
