#include "bus/hub_reports.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

HubReports::HubReports(Scheduler& scheduler, EventPool& pool, HybridClock& clock, std::string hub,
                       std::uint64_t incarnation, Publish publish, Complain complain)
    : scheduler_(scheduler),
      pool_(pool),
      clock_(clock),
      hub_(std::move(hub)),
      origin_(hub_ + "/reports"),
      incarnation_(incarnation),
      publish_(std::move(publish)),
      complain_(std::move(complain)) {}

HubReports::~HubReports() { scheduler_.cancel(timer_); }

void HubReports::slow(const std::string& subscriber, std::uint64_t backlog) {
  slow_[subscriber] += backlog;
  arm();
}

void HubReports::rejected(std::string from, std::string why) {
  from.resize(std::min(from.size(), text_max));
  why.resize(std::min(why.size(), text_max));
  if (rejected_.size() >= sources_max && !rejected_.contains(from)) from = "others";
  Source& source = rejected_[from];
  ++source.count;
  source.why = std::move(why);
  arm();
}

void HubReports::arm() {
  Instant next = slow_.empty() ? far_future : scheduler_.clock().now();
  for (const auto& [from, source] : rejected_)
    if (source.count > 0) next = std::min(next, source.quiet_until);
  if (next == far_future) return;
  scheduler_.cancel(timer_);
  timer_ = scheduler_.at(next, [this] {
    timer_ = 0;
    tell();
    arm();
  });
}

void HubReports::tell() {
  const Instant now = scheduler_.clock().now();
  for (const auto& [subscriber, backlog] : std::exchange(slow_, {})) {
    const std::string who =
        subscriber.empty() ? absl::StrCat("a process that subscribes to ", hub_) : subscriber;
    if (complain_)
      complain_(who, absl::StrCat("it is slow: ", backlog, " events wait or found no room"));
    Draft draft = pool_.draft(hub_);
    auto said = draft.payload().initBusSlowSubscriber();
    said.setSubscriber(who);
    said.setBacklog(backlog);
    said.setDone("dropped: it gets them from the log, or is told");
    publish(std::move(draft));
  }
  for (auto next = rejected_.begin(); next != rejected_.end();) {
    auto& [from, source] = *next;
    if (now < source.quiet_until) {
      ++next;
      continue;
    }
    if (source.count == 0) {
      next = rejected_.erase(next);
      continue;
    }
    const std::uint64_t count = std::exchange(source.count, 0);
    source.quiet_until = now + quiet;
    if (complain_)
      complain_(from, count == 1 ? source.why : absl::StrCat(source.why, " (", count, " times)"));
    Draft draft = pool_.draft(hub_);
    auto said = draft.payload().initBusRejected();
    said.setFrom(from);
    said.setWhy(source.why);
    said.setCount(count);
    publish(std::move(draft));
    ++next;
  }
}

void HubReports::publish(Draft draft) {
  if (!draft.set_topic().ok()) return;  // of the hub's name, which is a token
  std::uint64_t& last_of = last_of_[std::string(draft.topic())];
  Envelope envelope{.origin = origin_, .incarnation = incarnation_, .sequence = last_ + 1};
  // Topics differ by their second token.
  envelope.previous[0] = envelope.previous[1] = last_;
  envelope.previous[2] = envelope.previous[3] = last_of;
  envelope.time = clock_.tick();
  absl::StatusOr<Event> event = std::move(draft).seal(envelope);
  if (!event.ok()) return;
  last_of = ++last_;
  publish_(*event);
}

}  // namespace supercloud
