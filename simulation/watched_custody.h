// What publishers are told of events that are archived or held, beside what is on the archives' disks, and what holders took.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "actors/archive/archived_events.h"
#include "simulation/checker.h"

namespace supercloud {

// Thread-bound. `real` and `checker` outlive it.
class WatchedCustody final : public Custody {
 public:
  WatchedCustody(ArchivedEvents& real, ArchivedTypes types, Checker& checker, std::string machine)
      : real_(real), types_(std::move(types)), checker_(checker), machine_(std::move(machine)) {
    real_.on_release([this](const EventId& event, const std::string& holder) {
      if (const auto found = held_.find(event); found != held_.end())
        found->second.lives.erase(holder);
    });
  }

  bool holds(schema::Payload::Which type, std::string_view topic) const override {
    return real_.holds(type, topic);
  }
  absl::Status room() const override { return real_.room(); }
  void keep(Event event, Kept kept) override {
    const EventId id = event.id();
    held_[id] = checker_.holds().held(id, real_.holders_of(event.type(), event.topic()));
    std::optional<Checker::Archived> archived;
    if (const auto type = types_.find(event.type()); type != types_.end())
      archived = {.machine = machine_,
                  .event = id,
                  .machines = type->second,
                  .disks = checker_.archive_disks()};
    real_.keep(std::move(event), [this, id, archived = std::move(archived),
                                  kept = std::move(kept)](absl::Status status) mutable {
      if (status.ok() && archived) checker_.told_archived(*std::move(archived));
      const auto held = held_.extract(id);
      if (status.ok() && held) checker_.holds().told(held.mapped());
      std::move(kept)(std::move(status));
    });
  }
  void leave() override { real_.leave(); }

 private:
  ArchivedEvents& real_;
  const ArchivedTypes types_;
  Checker& checker_;
  const std::string machine_;
  std::map<EventId, HoldBook::Held> held_;  // of what waits, without those that were released
};

}  // namespace supercloud
