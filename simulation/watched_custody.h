// What publishers are told of events that are archived or held, beside what is on the archives' disks, and what holders took; and whether
// those that are waited for are all of whom the node was told.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/archive/archived_events.h"
#include "core/held_events.h"
#include "simulation/checker.h"
#include "simulation/told_holds.h"

namespace supercloud {

// Thread-bound. `real` and `checker` outlive it.
class WatchedCustody final : public Custody {
 public:
  WatchedCustody(ArchivedEvents& real, ArchivedTypes types, Checker& checker, std::string machine)
      : real_(real),
        types_(std::move(types)),
        checker_(checker),
        machine_(std::move(machine)),
        told_(checker.world()) {
    real_.on_release([this](const EventId& event, const std::string& holder) {
      if (const auto found = held_.find(event); found != held_.end())
        found->second.lives.erase(holder);
    });
  }

  // Of what the node's actors are told, who holds. Before they are, and long before if the machine is frozen.
  void heard(const Event& event, bool frozen) { told_.heard(event, frozen); }
  // What was told is not known to be known.
  void custodian_failed() { told_.forget(); }

  bool holds(schema::Payload::Which type, std::string_view topic) const override {
    const bool holds = real_.holds(type, topic);
    if (!holds) demand(type, topic, {});
    return holds;
  }
  absl::Status room() const override { return real_.room(); }
  void keep(Event event, Kept kept) override {
    const EventId id = event.id();
    const std::set<std::string> holders = real_.holders_of(event.type(), event.topic());
    demand(event.type(), event.topic(), holders);
    held_[id] = checker_.holds().held(id, holders);
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
  void demand(schema::Payload::Which type, std::string_view topic,
              const std::set<std::string>& holders) const {
    if (!may_be_held(type)) return;
    for (const std::string& holder : told_.holders_of(topic))
      if (!holders.contains(holder))
        checker_.violated("who holds is waited for",
                          absl::StrCat(machine_, " does not wait for ", holder, " with ",
                                       std::string(topic), ", and was told that it holds that"));
  }

  ArchivedEvents& real_;
  const ArchivedTypes types_;
  Checker& checker_;
  const std::string machine_;
  ToldHolds told_;
  std::map<EventId, HoldBook::Held> held_;  // of what waits, without those that were released
};

}  // namespace supercloud
