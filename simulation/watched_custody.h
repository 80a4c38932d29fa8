// What publishers are told of events that are archived or held, beside what is on the archives' disks, and what holders took.
#pragma once

#include <map>
#include <optional>
#include <set>
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
      : real_(real), types_(std::move(types)), checker_(checker), machine_(std::move(machine)) {}

  bool holds(schema::Payload::Which type, std::string_view topic) const override {
    return real_.holds(type, topic);
  }
  absl::Status room() const override { return real_.room(); }
  void keep(Event event, Kept kept) override {
    const std::map<std::string, std::uint64_t> released = real_.released();
    std::set<std::string> holders = real_.holders_of(event.type(), event.topic());
    HoldBook::Held held = checker_.holds().held(event.id(), holders);
    std::optional<Checker::Archived> archived;
    if (const auto type = types_.find(event.type()); type != types_.end())
      archived = {.machine = machine_,
                  .event = event.id(),
                  .machines = type->second,
                  .disks = checker_.archive_disks()};
    real_.keep(std::move(event),
               [this, released, held = std::move(held), archived = std::move(archived),
                kept = std::move(kept)](absl::Status status) mutable {
                 if (status.ok() && archived) checker_.told_archived(*std::move(archived));
                 std::erase_if(held.lives, [&](const auto& life) {
                   const auto before = released.find(life.first);
                   const auto after = real_.released().find(life.first);
                   return after != real_.released().end() &&
                          (before == released.end() || before->second != after->second);
                 });
                 if (status.ok()) checker_.holds().told(held);
                 std::move(kept)(std::move(status));
               });
  }
  void leave() override { real_.leave(); }

 private:
  ArchivedEvents& real_;
  const ArchivedTypes types_;
  Checker& checker_;
  const std::string machine_;
};

}  // namespace supercloud
