#include "actors/observer/cluster_fold.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
ConsideredFact considered_fact(const Event& event) {
  const auto e = event.payload().getPolicyConsidered();
  ConsideredFact fact{.time = event.time(),
                      .event = event.id(),
                      .policy = str(e.getPolicy()),
                      .choice = str(e.getChoice()),
                      .reason = str(e.getReason()),
                      .unchanged_looks = e.getUnchangedLooks(),
                      .last_look = {e.getLastLook()},
                      .wake_at_ns = e.getWakeAtNs()};
  for (const auto candidate : e.getCandidates())
    fact.candidates.push_back({str(candidate.getPlace()), str(candidate.getExcluded()),
                               candidate.getCostNanoUsd(), candidate.getGainNanoUsd()});
  for (const auto id : e.getEvidence()) fact.evidence.push_back(EventId::from(id));
  return fact;
}

const VmHistory::Running* running_now(const VmHistory& vm) {
  if (!vm.running || (vm.halt && vm.halt->time > vm.running->since)) return nullptr;
  return &*vm.running;
}

VmHistory& ClusterFold::vm_of(const Event& event) {
  const std::string key = absl::StrCat(event.tenant(), "/", event.subject());
  VmHistory& vm = vms_[key];
  vm.vm = key;
  return vm;
}

void ClusterFold::apply(const Event& event) {
  if (const EventId id = migration_of(event); !id.empty()) apply_migration(event, id);
  const auto p = event.payload();
  switch (p.which()) {
    case schema::Payload::NODE_JOINED:
      joined(event, p.getNodeJoined());
      break;
    case schema::Payload::NODE_CAPACITY:
      joined(event, p.getNodeCapacity().getJoined());
      break;
    case schema::Payload::SPOT_PRICE_CHANGED: {
      const auto e = p.getSpotPriceChanged();
      prices_[str(e.getPlace().getId())][{event.time(), event.id()}] = {
          event.time(), event.id(), e.getPriceNanoUsdPerHour(), e.getSinceNs()};
      break;
    }
    case schema::Payload::POLICY_CONSIDERED: {
      VmHistory& vm = vm_of(event);
      if (!vm.considered || std::pair(vm.considered->time, vm.considered->event) <
                                std::pair(event.time(), event.id()))
        vm.considered = considered_fact(event);
      break;
    }
    default:
      apply_vm(event);
      break;
  }
}

void ClusterFold::apply_migration(const Event& event, const EventId& id) {
  MigrationState& state = migrations_[id];
  state = fold(std::move(state), event);
  const auto [first, is_new] = first_.try_emplace(id, event.time());
  if (!is_new && event.time() >= first->second) return;
  VmHistory& vm = vm_of(event);
  vm.moves.erase({first->second, id});
  first->second = event.time();
  vm.moves.insert({first->second, id});
}

void ClusterFold::apply_vm(const Event& event) {
  const auto p = event.payload();
  const auto runs = [&](std::string node, std::string why) {
    VmHistory& vm = vm_of(event);
    const bool newer =
        !vm.running || event.epoch() > vm.running->epoch ||
        (event.epoch() == vm.running->epoch &&
         std::pair(event.time(), event.id()) < std::pair(vm.running->since, vm.running->event));
    if (newer)
      vm.running = VmHistory::Running{event.epoch(),     event.time(),    event.id(),
                                      event.migration(), std::move(node), std::move(why)};
  };
  switch (p.which()) {
    case schema::Payload::VM_DEFINED:
      vm_of(event);
      break;
    case schema::Payload::VM_STARTED:
      runs(str(p.getVmStarted().getNode()), str(p.getVmStarted().getWhy()));
      break;
    case schema::Payload::VM_RESUMED:
      runs(str(p.getVmResumed().getNode()), str(p.getVmResumed().getWhy()));
      break;
    case schema::Payload::VM_STOPPED:
      halted(event, "stopped", str(p.getVmStopped().getNode()), str(p.getVmStopped().getWhy()));
      break;
    case schema::Payload::VM_FAILED:
      halted(event, "failed", str(p.getVmFailed().getNode()), str(p.getVmFailed().getWhy()));
      break;
    case schema::Payload::VM_DESTROYED:
      halted(event, "destroyed", str(p.getVmDestroyed().getNode()), "");
      break;
    case schema::Payload::VM_PAUSED:
      // A migration's pause is part of its blackout.
      if (event.migration().empty())
        halted(event, "paused", str(p.getVmPaused().getNode()), str(p.getVmPaused().getWhy()));
      break;
    default:
      break;
  }
}

void ClusterFold::halted(const Event& event, std::string what, std::string node, std::string why) {
  VmHistory& vm = vm_of(event);
  if (!vm.halt || std::pair(vm.halt->time, vm.halt->event) < std::pair(event.time(), event.id()))
    vm.halt =
        VmHistory::Halt{event.time(), event.id(), std::move(node), std::move(what), std::move(why)};
}

void ClusterFold::joined(const Event& event, schema::NodeJoined::Reader node) {
  if (node.getNode().size() == 0) return;
  NodeFact& fact = nodes_[str(node.getNode())];
  if (event.time() < fact.joined) return;
  fact = {str(node.getPlace().getId()), str(node.getInstance()), event.time()};
}

const MigrationState* ClusterFold::migration(const EventId& id) const {
  const auto found = migrations_.find(id);
  return found == migrations_.end() ? nullptr : &found->second;
}

std::vector<const MigrationState*> ClusterFold::migrations_like(std::string_view id) const {
  std::vector<const MigrationState*> like;
  if (id.empty()) return like;
  for (const auto& [known, state] : migrations_)
    if (known.short_id().starts_with(id) || known.to_string() == id) like.push_back(&state);
  std::sort(like.begin(), like.end(), [&](const MigrationState* a, const MigrationState* b) {
    return std::pair(first_.at(a->id), a->id) < std::pair(first_.at(b->id), b->id);
  });
  return like;
}

std::string ClusterFold::place_of(const std::string& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? "" : found->second.place;
}

const PriceFact* ClusterFold::price_at(const std::string& place, HybridTime when) const {
  const auto known = prices_.find(place);
  if (known == prices_.end()) return nullptr;
  const PriceFact* newest = nullptr;
  for (const auto& [key, price] : known->second) {
    if (key.first > when) break;
    newest = &price;
  }
  return newest;
}

void ClusterFold::keep(std::size_t migrations_max, std::size_t prices_per_place_max) {
  for (auto& [place, prices] : prices_)
    while (prices.size() > prices_per_place_max) prices.erase(prices.begin());
  while (migrations_.size() > migrations_max) {
    const auto quietest =
        std::min_element(migrations_.begin(), migrations_.end(), [](const auto& a, const auto& b) {
          return std::pair(!ended(a.second), a.second.last) <
                 std::pair(!ended(b.second), b.second.last);
        });
    if (const auto vm = vms_.find(quietest->second.vm); vm != vms_.end())
      vm->second.moves.erase({first_.at(quietest->first), quietest->first});
    first_.erase(quietest->first);
    migrations_.erase(quietest);
  }
}

}  // namespace supercloud
