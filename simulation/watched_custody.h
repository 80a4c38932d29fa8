// What publishers are told of archived events, beside what is on the archives' disks.
#pragma once

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
    if (!types_.contains(event.type())) return real_.keep(std::move(event), std::move(kept));
    Checker::Archived archived{.machine = machine_,
                               .event = event.id(),
                               .machines = types_.at(event.type()),
                               .disks = checker_.archive_disks()};
    real_.keep(std::move(event), [this, archived = std::move(archived),
                                  kept = std::move(kept)](absl::Status status) mutable {
      if (status.ok()) checker_.told_archived(std::move(archived));
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
