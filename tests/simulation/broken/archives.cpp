// Archives that do not keep what they were given.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/broken/breakage.h"

namespace supercloud {
namespace {

// A log that changes what is appended.
class ChangedLog final : public EventLog {
 public:
  using Change = std::vector<Event> (*)(std::vector<Event> events);

  ChangedLog(EventLog& real, Change change) : real_(real), change_(change) {}

  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override {
    real_.append(change_(std::move(events)), std::move(reserve), std::move(reply));
  }
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override {
    real_.read(from, std::move(pattern), limit, std::move(reply));
  }
  void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) override {
    real_.seek(std::move(beginning), std::move(pattern), std::move(reply));
  }
  void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) override {
    real_.read_stream(std::move(range), bytes_max, std::move(reply));
  }
  OriginState origin(std::string_view name) const override { return real_.origin(name); }
  std::vector<std::string> origins() const override { return real_.origins(); }

 private:
  EventLog& real_;
  Change change_;
};

// A log that says of what is appended that it is on the disk, a second before it is.
class EarlyLog final : public EventLog {
 public:
  EarlyLog(EventLog& real, Scheduler& scheduler) : real_(real), scheduler_(scheduler) {}

  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override {
    for (const Event& event : events) early_[event.id()] = event;
    scheduler_.at(scheduler_.clock().now() + absl::Seconds(1),
                  [this, alive = std::weak_ptr<bool>(alive_), events, reserve]() mutable {
                    if (!alive.expired())
                      real_.append(std::move(events), std::move(reserve), Reply<Done>());
                  });
    scheduler_.post([reply = std::move(reply)]() mutable { reply(Done()); });
  }
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override {
    real_.read(from, std::move(pattern), limit, std::move(reply));
  }
  void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) override {
    real_.seek(std::move(beginning), std::move(pattern), std::move(reply));
  }
  void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) override {
    const auto found = early_.find({range.origin, range.incarnation, range.up_to});
    if (found == early_.end() || range.after + 1 != range.up_to)
      return real_.read_stream(std::move(range), bytes_max, std::move(reply));
    scheduler_.post([reply = std::move(reply), event = found->second]() mutable {
      const std::uint64_t through = event.sequence();
      reply(StreamPart{.events = {std::move(event)}, .through = through});
    });
  }
  OriginState origin(std::string_view name) const override { return real_.origin(name); }
  std::vector<std::string> origins() const override { return real_.origins(); }

 private:
  EventLog& real_;
  Scheduler& scheduler_;
  std::map<EventId, Event> early_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

void put_early_log(MachineOptions& machine) {
  machine.in_place.seams = [](const NodeActorsSeams& real,
                              Scheduler& scheduler) -> std::shared_ptr<const NodeActorsSeams> {
    if (real.archive == nullptr) return nullptr;
    struct Owned {
      EarlyLog log;
      NodeActorsSeams seams;
    };
    const auto owned = std::make_shared<Owned>(Owned{{*real.archive, scheduler}, real});
    owned->seams.archive = &owned->log;
    return {owned, &owned->seams};
  };
}

template <ChangedLog::Change change>
void put_in_archive(MachineOptions& machine) {
  machine.in_place.seams = [](const NodeActorsSeams& real,
                              Scheduler&) -> std::shared_ptr<const NodeActorsSeams> {
    if (real.archive == nullptr) return nullptr;
    struct Owned {
      ChangedLog log;
      NodeActorsSeams seams;
    };
    const auto owned = std::make_shared<Owned>(Owned{{*real.archive, change}, real});
    owned->seams.archive = &owned->log;
    return {owned, &owned->seams};
  };
}

std::vector<Event> some_dropped(std::vector<Event> events) {
  std::erase_if(events, [](const Event& event) { return event.sequence() % 7 == 3; });
  return events;
}

std::vector<Event> some_doubled(std::vector<Event> events) {
  if (!events.empty()) events.push_back(events.front());
  return events;
}

std::vector<Event> turned_around(std::vector<Event> events) {
  std::ranges::reverse(events);
  return events;
}

std::vector<Event> all_dropped(std::vector<Event>) { return {}; }

}  // namespace

std::vector<Breakage> broken_archives() {
  constexpr const char* rule = "the archive's own: once, in order, without a hole";
  constexpr const char* caught = "an archive has";
  const auto calm = [](RunOptions& run) { run.faults = no_faults(); };
  const auto waited_for = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.commands = true;
    run.cluster.archived = {{schema::Payload::MIGRATION_ACCEPTED, 2}};
  };
  return {
      {"archive_that_answers_before_it_has_stored", "archived(k): on k disks before it is told",
       "an event that its publisher was told is archived", waited_for, put_early_log},
      {"archive_that_drops_events", rule, caught, calm, put_in_archive<some_dropped>},
      {"archive_that_doubles_events", rule, caught, calm, put_in_archive<some_doubled>},
      {"archive_that_turns_pages_around", rule, caught, calm, put_in_archive<turned_around>},
      {"archive_that_keeps_nothing", rule, caught, calm, put_in_archive<all_dropped>},
  };
}

}  // namespace supercloud
