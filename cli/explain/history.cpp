#include "cli/explain/history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/observer/words.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr const char* started_anew_suffix = "-again";

std::string vm_of(const Event& event) { return absl::StrCat(event.tenant(), "/", event.subject()); }

}  // namespace

History::History(std::vector<Event> events, bool ended)
    : events_(std::move(events)),
      ended_(ended),
      dated_(!events_.empty() && need_dates(events_.front().time(), events_.back().time())) {
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const Event& event = events_[i];
    by_id_.try_emplace(event.id(), i);
    if (const EventId migration = migration_of(event); !migration.empty())
      by_migration_[migration].push_back(i);
    // What a move sent is the ledger's word, and no step of it.
    if (const auto payload = event.payload();
        payload.isLedgerCharged() && payload.getLedgerCharged().getSentBytes() > 0)
      by_migration_[EventId::from(payload.getLedgerCharged().getDecision())].push_back(i);
    if (event.type() == schema::Payload::POLICY_CONSIDERED) considered_[vm_of(event)].push_back(i);
    if (event.type() == schema::Payload::POLICY_FAILED) policy_failed_[vm_of(event)].push_back(i);
    fold_.apply(event);
  }
}

const Event* History::find(const EventId& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &events_[found->second];
}

std::vector<const Event*> History::of_migration(const EventId& migration) const {
  std::vector<const Event*> events;
  if (const auto found = by_migration_.find(migration); found != by_migration_.end())
    for (const std::size_t i : found->second) events.push_back(&events_[i]);
  return events;
}

const Event* History::considered(const std::string& vm, HybridTime when,
                                 std::string_view choice) const {
  const auto found = considered_.find(vm);
  if (found == considered_.end()) return nullptr;
  for (auto i = found->second.rbegin(); i != found->second.rend(); ++i) {
    const Event& event = events_[*i];
    if (event.time() > when) continue;
    if (choice.empty() || text(event.payload().getPolicyConsidered().getChoice()) == choice)
      return &event;
  }
  return nullptr;
}

const Event* History::revoked(const std::string& node, HybridTime when) const {
  std::string instance;
  if (const auto fact = fold_.nodes().find(node); fact != fold_.nodes().end())
    instance = fact->second.instance;
  const Event* found = nullptr;
  for (const Event& event : events_) {
    if (event.time() > when) break;
    const auto payload = event.payload();
    if (event.type() == schema::Payload::INSTANCE_LAUNCHED) {
      if (text(payload.getInstanceLaunched().getNode()) != node) continue;
      instance = str(payload.getInstanceLaunched().getInstance());
      found = nullptr;  // that was another machine of this name
    } else if (event.type() == schema::Payload::INSTANCE_REVOKED && !instance.empty() &&
               text(payload.getInstanceRevoked().getInstance()) == instance) {
      found = &event;
    }
  }
  return found;
}

const VmHistory* History::started_anew(const std::string& vm, HybridTime when) const {
  const std::string began = vm.substr(0, vm.find(started_anew_suffix));
  const VmHistory* next = nullptr;
  for (const auto& [key, other] : fold_.vms())
    if (key != vm && key.starts_with(absl::StrCat(began, started_anew_suffix)) && other.running &&
        other.running->since > when &&
        (next == nullptr || other.running->since < next->running->since))
      next = &other;
  return next;
}

std::vector<const Event*> History::policy_failures(const std::string& vm, HybridTime since) const {
  std::vector<const Event*> events;
  if (const auto found = policy_failed_.find(vm); found != policy_failed_.end())
    for (const std::size_t i : found->second)
      if (events_[i].time() > since) events.push_back(&events_[i]);
  return events;
}

std::vector<const MigrationState*> History::migrations_like(std::string_view id) const {
  std::vector<const MigrationState*> like = fold_.migrations_like(id);
  if (!like.empty() || id.empty()) return like;
  for (const Event& event : events_) {
    const EventId migration = migration_of(event);
    if (migration.empty()) continue;
    const EventId own = event.id();
    if (!own.short_id().starts_with(id) && own.to_string() != id) continue;
    const MigrationState* state = fold_.migration(migration);
    if (std::find(like.begin(), like.end(), state) == like.end()) like.push_back(state);
  }
  return like;
}

std::vector<const VmHistory*> History::vms_named(std::string_view name) const {
  std::vector<const VmHistory*> named;
  for (const auto& [key, vm] : fold_.vms()) {
    const std::string_view own = std::string_view(key).substr(key.find('/') + 1);
    if (key == name || own == name) named.push_back(&vm);
  }
  return named;
}

}  // namespace supercloud
