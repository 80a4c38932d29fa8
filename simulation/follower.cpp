#include "simulation/follower.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {

void FollowerBook::began(absl::Time now) {
  if (!began_) began_ = now;
  last_.clear();
}

void FollowerBook::given(const Event& event) {
  Stand& last = last_[str(event.origin())];
  const Stand stand{event.incarnation(), event.sequence()};
  if (stand <= last)
    wrong_.push_back(
        absl::StrCat(event.id().to_string(), " came after ", last.incarnation, ":", last.sequence));
  last = std::max(last, stand);
  given_[{str(event.origin()), event.incarnation()}].insert(event.sequence());
}

void FollowerBook::missed(const MissedEvents& missed) { missed_.push_back(missed); }

void FollowerBook::judge(const MemoryLogDisk& log, absl::Time before, EventPool& pool,
                         const std::function<void(std::string what)>& say) const {
  if (began_ && *began_ + catching_up >= before) return;
  const Pattern wanted = Pattern::of(pattern);
  for (std::size_t i = 0; i < log.events.size(); ++i) {
    const MemoryLogDisk::Stored& stored = log.events[i];
    if (stored.time.wall() >= before || !wanted.matches(stored.topic)) continue;
    if (!log.past.keeps(stored.topic, i + 1)) continue;  // who came later could not have it
    const Event event = pool.restore(stored.span());
    const auto known = given_.find({str(event.origin()), event.incarnation()});
    if (known != given_.end() && known->second.contains(event.sequence())) continue;
    // An open end is of passing events: what is in a log is told, however long that could not be read.
    const bool told = std::ranges::any_of(missed_, [&](const MissedEvents& missed) {
      return missed.origin == event.origin() && missed.incarnation == event.incarnation() &&
             missed.after < event.sequence() && missed.up_to && event.sequence() <= *missed.up_to;
    });
    if (!told)
      say(absl::StrCat(event.id().to_string(), " (", absl_view(event.topic()),
                       ") is in its node's log, and was neither given nor told as missing"));
  }
}

Follower::Follower(Context& context, FollowerBook& book, Change change)
    : follow_(context,
              {.pattern = Pattern::of(FollowerBook::pattern),
               .from = From::beginning(),
               .durable = "book"},
              {.on_event =
                   [&book, change = std::move(change)](const Event& event) {
                     if (!change) return book.given(event);
                     change(event, [&book](const Event& changed) { book.given(changed); });
                   },
               .on_gap = [&book](const MissedEvents& missed) { book.missed(missed); }}) {
  book.began(context.wall());
}

}  // namespace supercloud
