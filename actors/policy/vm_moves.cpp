#include "actors/policy/vm_moves.h"

#include <utility>

#include "core/text.h"

namespace supercloud {
namespace {

// Whether it was refused for something about where it was to go, and not about the VM, its node or another move.
bool blames_place(schema::Refused::Reader refused) {
  for (const auto failure : refused.getFailures())
    for (const std::string_view name : {"busy", "replaced", "vm", "state", "time", "cancelled"})
      if (text(failure.getName()) == name) return false;
  return true;
}

}  // namespace

VmMoves::Heard VmMoves::hear(const Event& event, Instant now) {
  const EventId migration = event.migration();
  const bool of_proposed = !migration.empty() && migration == proposed_;
  const bool of_under_way = !migration.empty() && migration == under_way_;
  switch (event.type()) {
    case schema::Payload::MIGRATION_ACCEPTED:
      under_way_ = migration;
      under_way_place_ = of_proposed ? place_ : "";
      target_ = str(event.payload().getMigrationAccepted().getTarget());
      proposed_ = {};
      return Heard::begins;
    case schema::Payload::MIGRATION_REFUSED:
      if (!of_proposed) return Heard::nothing;
      fail(now, blames_place(event.payload().getMigrationRefused()));
      return under_way() ? Heard::goes_on : Heard::failed;
    case schema::Payload::MIGRATION_ABORTED:
      if (!of_proposed && !of_under_way) return Heard::nothing;
      if (of_under_way && waits_for_answer()) {  // it made way for what is proposed
        under_way_ = {};
        target_.clear();
        return Heard::nothing;
      }
      fail(now);
      return under_way() ? Heard::goes_on : Heard::failed;
    case schema::Payload::MIGRATION_COMPLETED:
      return Heard::completed;
    default:
      return Heard::nothing;
  }
}

void VmMoves::propose(const EventId& migration, std::string place, bool leaving) {
  proposed_ = migration;
  place_ = std::move(place);
  proposed_leaving_ = leaving;
}

void VmMoves::fail(Instant now, bool of_place) {
  const std::string place = waits_for_answer() ? place_ : under_way_place_;
  if (!place.empty()) failures_[place] = {now, !of_place, of_place};
  if (!waits_for_answer()) return over();
  proposed_ = {};
}

void VmMoves::settle() {
  over();
  failures_.clear();
}

void VmMoves::over() {
  proposed_ = {};
  under_way_ = {};
  target_.clear();
}

std::optional<Instant> VmMoves::held_until(const std::string& place, Instant now,
                                           const Backoff& backoff) const {
  const auto found = failures_.find(place);
  if (found == failures_.end()) return std::nullopt;
  const Instant until =
      found->second.at + (found->second.changed ? backoff.changed : backoff.failed);
  return now < until ? std::optional(until) : std::nullopt;
}

std::map<std::string, Instant> VmMoves::held(Instant now, const Backoff& backoff) const {
  std::map<std::string, Instant> held;
  for (const auto& [place, failure] : failures_)
    if (const auto until = held_until(place, now, backoff); until && failure.of_place)
      held.emplace(place, *until);
  return held;
}

void VmMoves::place_changed(const std::string& place) {
  if (const auto found = failures_.find(place); found != failures_.end())
    found->second.changed = true;
}

void VmMoves::all_changed() {
  for (auto& [place, failure] : failures_) failure.changed = true;
}

}  // namespace supercloud
