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

bool HeldEvents::remove(const Pattern& pattern) {
  const auto found = std::ranges::find(holds_, pattern, &Hold::pattern);
  if (found == holds_.end()) return false;
  holds_.erase(found);
  if (holds_.empty()) clear();
  return true;
}

void HeldEvents::clear() {
  holds_.clear();
  origins_.clear();
  unseen_.clear();
  waiting_ = 0;
  for (Question& question : std::exchange(questions_, {}))
    std::move(question.then)(std::move(question.events));
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
  const std::string_view topic = event.topic();
  if (std::ranges::none_of(holds_, [&](const Hold& hold) { return hold.pattern.matches(topic); }))
    return false;
  Origin& from = origin(std::string(event.origin()));
  from.newest = {event.incarnation(), event.sequence()};
  from.waiting.push_back(from.newest);
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
  const auto end = std::ranges::upper_bound(waiting, position);
  if (end == waiting.begin()) return;
  waiting_ -= static_cast<std::size_t>(end - waiting.begin());
  waiting.erase(waiting.begin(), end);
  look(now);
}

// ---- who asks ------------------------------------------------------------------------------------------------------

bool HeldEvents::is_taken(const EventId& event, Instant now) {
  const auto found = origins_.find(event.origin);
  const Position position(event.incarnation, event.sequence);
  if (found != origins_.end() && position <= found->second.newest) {
    unseen_.erase(event);
    return !std::ranges::binary_search(found->second.waiting, position);
  }
  const auto asked = unseen_.find(event);
  if (asked != unseen_.end()) return now - asked->second >= unseen_max;
  if (unseen_.size() < unseen_events_max) unseen_.emplace(event, now);
  return false;
}

void HeldEvents::await(std::vector<EventId> events, Instant now, Taken then) {
  if (holds_.empty()) return std::move(then)(std::move(events));
  questions_.push_back({std::move(events), now + answer_after, std::move(then)});
  if (questions_.size() > questions_max) questions_.front().until = now;
  look(now);
}

void HeldEvents::look(Instant now) {
  std::vector<std::pair<Taken, std::vector<EventId>>> answers;
  for (auto it = questions_.begin(); it != questions_.end();) {
    std::vector<EventId> taken;
    for (const EventId& event : it->events)
      if (is_taken(event, now)) taken.push_back(event);
    if (taken.empty() && now < it->until) {
      ++it;
      continue;
    }
    answers.emplace_back(std::move(it->then), std::move(taken));
    it = questions_.erase(it);
  }
  // Of those that nobody asks for any more, too.
  std::erase_if(unseen_, [&](const auto& each) { return now - each.second > 2 * unseen_max; });
  for (auto& [then, taken] : answers) std::move(then)(std::move(taken));
}

}  // namespace supercloud
