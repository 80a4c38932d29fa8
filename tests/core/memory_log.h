// An event log in memory for tests of the runtime: every append waits until the test lets it through, or fails it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/event_log.h"
#include "core/scheduler.h"

namespace supercloud {

class MemoryLog final : public EventLog {
 public:
  explicit MemoryLog(Scheduler& scheduler) : scheduler_(&scheduler) {}

  // On a new scheduler after a "restart" of the node.
  void move_to(Scheduler& scheduler) { scheduler_ = &scheduler; }

  bool hold = false;                  // appends wait for release()
  absl::Status next_status;           // of the appends from now on
  std::size_t page_max = SIZE_MAX;    // events per page
  std::vector<Event> events;          // on stable storage
  std::vector<std::size_t> appended;  // events of each append, in order

  void append(std::vector<Event> batch, std::optional<Reservation> reserve,
              Reply<Done> reply) override {
    appended.push_back(batch.size());
    waiting_.push_back({std::move(batch), std::move(reserve), std::move(reply), next_status});
    if (!hold) release();
  }

  void release() {
    while (!waiting_.empty()) {
      Append next = std::move(waiting_.front());
      waiting_.pop_front();
      if (next.status.ok()) {
        for (Event& event : next.batch) keep(std::move(event));
        if (next.reserve) {
          OriginState& state = origins_[next.reserve->origin];
          state.incarnation = next.reserve->incarnation;
          state.sequence_reserved = next.reserve->sequence_reserved;
        }
      }
      scheduler_->post([reply = std::move(next.reply), status = next.status]() mutable {
        if (status.ok()) {
          reply(Done{});
        } else {
          reply(status);
        }
      });
    }
  }

  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override {
    LogPage page;
    std::size_t position = from;
    while (position < events.size() && page.events.size() < std::min(limit, page_max)) {
      if (pattern.matches(events[position].topic())) page.events.push_back(events[position]);
      ++position;
    }
    page.next = position;
    page.end = position == events.size();
    scheduler_->post(
        [reply = std::move(reply), page = std::move(page)]() mutable { reply(std::move(page)); });
  }

  void seek(LogBeginning, Pattern, Reply<std::uint64_t> reply) override {
    scheduler_->post([reply = std::move(reply)]() mutable { reply(std::uint64_t{0}); });
  }
  void read_stream(StreamRange range, std::size_t, Reply<StreamPart> reply) override {
    StreamPart part{.events = {}, .through = range.up_to};
    for (const Event& event : events) {
      if (event.origin() == range.origin && event.incarnation() == range.incarnation &&
          event.sequence() > range.after && event.sequence() <= range.up_to &&
          range.has(event.topic())) {
        part.events.push_back(event);
      }
    }
    scheduler_->post(
        [reply = std::move(reply), part = std::move(part)]() mutable { reply(std::move(part)); });
  }

  OriginState origin(std::string_view name) const override {
    const auto found = origins_.find(std::string(name));
    OriginState state = found == origins_.end() ? OriginState() : found->second;
    for (const Event& event : events) state.newest = std::max(state.newest, event.time());
    if (found == origins_.end()) return state;
    const auto tails = tails_.find(std::string(name));
    if (tails != tails_.end()) state.tails.assign(tails->second.begin(), tails->second.end());
    return state;
  }

  std::vector<std::string> origins() const override {
    std::vector<std::string> names;
    for (const auto& [name, state] : origins_) names.push_back(name);
    return names;
  }

 private:
  struct Append {
    std::vector<Event> batch;
    std::optional<Reservation> reserve;
    Reply<Done> reply;
    absl::Status status;
  };

  void keep(Event event) {
    const std::string origin(event.origin());
    origins_[origin].incarnation = event.incarnation();
    for (std::size_t tokens = 0; tokens <= 3; ++tokens) {
      tails_[origin][topic_prefix(event.topic(), tokens)] = event.sequence();
    }
    events.push_back(std::move(event));
  }

  Scheduler* scheduler_;
  std::deque<Append> waiting_;
  std::map<std::string, OriginState> origins_;
  std::map<std::string, std::map<std::string, std::uint64_t>> tails_;
};

}  // namespace supercloud
