#include "simulation/holder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/held_events.h"

namespace supercloud {

namespace {

constexpr const char* patterns[] = {"resource.>", "instance.requested.>", "migration.accepted.>"};
constexpr std::size_t queue_max = 2;              // less than what comes in a burst
constexpr Duration takes_max = absl::Seconds(2);  // in milliseconds, by chance
// By so much at most, of what was waited for in vain until it comes.
constexpr Duration clocks_differ = absl::Seconds(1);

bool holds(const Event& event) {
  return may_be_held(event.type()) && std::ranges::any_of(patterns, [&](const char* pattern) {
           return Pattern::of(pattern).matches(event.topic());
         });
}

}  // namespace

// ---- the judge -----------------------------------------------------------------------------------------------------

std::uint64_t HoldBook::began(const std::string& holder) {
  lives_[holder] = Life{.number = ++last_};
  return last_;
}

void HoldBook::holds(const std::string& holder, const Pattern& pattern) {
  lives_.at(holder).holds.emplace_back(pattern, world_.now());
}

std::map<std::string, std::vector<Pattern>> HoldBook::who_holds(Duration since) const {
  std::map<std::string, std::vector<Pattern>> found;
  for (const auto& [holder, life] : lives_)
    for (const auto& [pattern, at] : life.holds)
      if (world_.now() - at >= since) found[holder].push_back(pattern);
  return found;
}

void HoldBook::came(const std::string& holder, const EventId& event) {
  Life& life = lives_.at(holder);
  life.seen.insert(event);
  life.waiting.insert(event);
  if (life.early.contains(event))
    violated_(absl::StrCat(event.to_string(), " comes to ", holder,
                           ", and its publisher was told that it is taken there"));
}

void HoldBook::took(const std::string& holder, const EventId& event) {
  std::erase_if(lives_.at(holder).waiting,
                [&](const EventId& each) { return each.origin == event.origin && each <= event; });
}

HoldBook::Held HoldBook::held(const EventId& event, const std::set<std::string>& holders) const {
  Held held{.event = event, .since = world_.now()};
  for (const std::string& holder : holders)
    if (const auto life = lives_.find(holder); life != lives_.end())
      held.lives[holder] = life->second.number;
  return held;
}

void HoldBook::told(const Held& held) {
  told_ += held.lives.empty() ? 0 : 1;
  for (const auto& [holder, number] : held.lives) {
    const auto found = lives_.find(holder);
    if (found == lives_.end() || found->second.number != number) continue;
    Life& life = found->second;
    if (life.waiting.contains(held.event))
      violated_(absl::StrCat(held.event.to_string(), " waits at ", holder,
                             ", and its publisher was told that it is taken"));
    if (!life.seen.contains(held.event) &&
        world_.now() - held.since < HeldEvents::unseen_max - clocks_differ)
      life.early.insert(held.event);
  }
}

// ---- who holds -----------------------------------------------------------------------------------------------------

SimulatedHolder::SimulatedHolder(Context& context, HoldBook& book)
    : context_(context), book_(book), name_(context.self().to_string()) {
  book_.began(name_);
  if (context_.random().chance(500'000))
    context_.subscribe(Pattern::of(">"), nullptr,
                       {.full = Queueing::Full::drop_oldest, .events_max = queue_max});
  for (const char* each : patterns) {
    const Pattern pattern = Pattern::of(each);
    context_.subscribe(pattern, [this, pattern] { book_.holds(name_, pattern); },
                       {.full = Queueing::Full::hold});
  }
}

SimulatedHolder::~SimulatedHolder() { book_.ended(name_); }

void SimulatedHolder::receive(const Event& event) {
  if (!holds(event)) return;
  book_.came(name_, event.id());
  const auto late = context_.random().between(0, absl::ToInt64Milliseconds(takes_max));
  context_.after(absl::Milliseconds(late), [this, event] {
    book_.took(name_, event.id());
    context_.taken(event);
  });
}

}  // namespace supercloud
