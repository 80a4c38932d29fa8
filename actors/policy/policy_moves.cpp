// What comes of a policy's wish to move: what keeps the VM from it, the proposal, and what is heard of that.
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/policy/outlook.h"
#include "actors/policy/policy_actor.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

bool ends_move(const Event& event) {
  return event.type() == schema::Payload::MIGRATION_COMPLETED ||
         event.type() == schema::Payload::MIGRATION_ABORTED ||
         event.type() == schema::Payload::MIGRATION_REFUSED;
}

// Whether nobody could go there now, however many others do.
bool closed(schema::World::Reader world, std::string_view place) {
  const Outlook outlook(world);
  for (unsigned i = 0; i < outlook.size(); ++i)
    if (text(outlook.place(i).getPlace().getId()) == place) return !outlook.exclusion(i).empty();
  return false;
}

}  // namespace

void PolicyActor::hear_move(const Event& event) {
  // There may be room again for those that had to wait.
  if (ends_move(event))
    for (auto& [key, vm] : vms_)
      if (vm.budget_spent) look_soon(key, vm);
  const std::string key = key_of_vm(VmName::of(event).to_string());
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  // Of the move that brings it here.
  if (vm.arriving && event.migration() != vm.moves.proposed()) return refresh(key);
  switch (vm.moves.hear(event, context_.now())) {
    case VmMoves::Heard::begins:
      return wait_for(key, vm, options_.move_deadline);
    case VmMoves::Heard::goes_on:
      wait_for(key, vm, options_.move_deadline);
      return look_soon(key, vm);
    case VmMoves::Heard::failed:
      context_.cancel(std::exchange(vm.patience, 0));
      return look_soon(key, vm);
    case VmMoves::Heard::completed:
      return refresh(key);
    case VmMoves::Heard::nothing:
      return;
  }
}

// Of what is proposed or under way, to be heard of.
void PolicyActor::wait_for(const std::string& key, Vm& vm, Duration deadline) {
  context_.cancel(vm.patience);
  vm.patience = context_.after(deadline, [this, key] {
    const auto found = vms_.find(key);
    if (found == vms_.end()) return;
    found->second.patience = 0;
    Vm& waiting = found->second;
    waiting.moves.fail(context_.now());
    if (waiting.moves.under_way()) wait_for(key, waiting, options_.move_deadline);
    look_soon(key, waiting);
  });
}

PolicyActor::Obstacle PolicyActor::obstacle(const std::string& key, const Vm& vm,
                                            schema::World::Reader world,
                                            schema::Decision::Reader decision) const {
  const std::string choice(text(decision.getChoice()));
  // What was proposed before the notice gives way, and so does a flight to a place that is no choice any more; but not where there is no
  // time for another: a machine that the cloud takes later than this one is a refuge for a while.
  const bool leaving = world.getNoticeDeadlineNs() != 0;
  const bool time_left = in_time(world, choice);
  const std::string flight = vm.moves.flight_to();
  const bool flees = !flight.empty() && !(closed(world, flight) && time_left);
  if (vm.moves.waits_for_answer() && (!leaving || flees))
    return {absl::StrCat("a move to ", vm.moves.proposed_place(), " is proposed already"), {}};
  // A move under way does what is wanted, unless its target goes as well.
  if (vm.moves.under_way() && !(leaving && time_left && state_.noticed(vm.moves.target())))
    return {absl::StrCat("it is on its way to ", vm.moves.target()), {}};
  if (!knowing() && !leaving) return {"what happened before is not known yet", {}};
  // Nothing runs that could move.
  if (!vm.spec.reader().getRunning()) return {"it is stopped", {}};
  if (vm.spec.reader().getPaused()) return {"it is paused", {}};
  // What was not seen running yet could not move.
  const Epoch* seen = resumed_.find(key);
  const Instant started = vm.since + options_.start_patience;
  if (!vm.arriving && (seen == nullptr || *seen < vm.epoch) && context_.now() < started)
    return {"it was not seen running yet", started};
  const VmMoves::Backoff& backoff = leaving ? options_.flight_backoff : options_.backoff;
  if (const auto until = vm.moves.held_until(choice, context_.now(), backoff))
    return {absl::StrCat("a move to ", choice, " has just failed"), until};
  return {};
}

void PolicyActor::propose(const std::string& key, Vm& vm, schema::World::Reader world,
                          schema::Decision::Reader decision) {
  const bool leaving = world.getNoticeDeadlineNs() != 0;
  // What a flight failed at is a choice again in a moment.
  if (leaving && vm.moves.idle())
    for (const auto& [place, until] : vm.moves.held(context_.now(), options_.flight_backoff))
      look_at(key, vm, until);
  const std::string choice(text(decision.getChoice()));
  if (choice.empty() || choice == text(world.getCurrentPlace())) return;
  const Obstacle obstacle = this->obstacle(key, vm, world, decision);
  if (obstacle.until) look_at(key, vm, *obstacle.until);
  if (!obstacle.why.empty()) return;
  Draft draft = context_.draft(vm.name, vm.tenant);
  auto proposed = draft.payload().initMigrationProposed();
  proposed.setVm(vm.name);
  proposed.setTargetPlace(choice);
  proposed.setReason(decision.getReason());
  proposed.setGainNanoUsd(decision.getGainNanoUsd());
  proposed.setCostNanoUsd(decision.getCostNanoUsd());
  proposed.setEvidence(decision.getEvidence());
  proposed.setProposer(absl::StrCat("policy ", std::string(text(vm.spec.reader().getPolicy()))));
  proposed.setSourceNode(context_.node());
  proposed.setLeaving(leaving);
  if (leaving) {
    const Duration left = market_.until(absl::FromUnixNanos(world.getNoticeDeadlineNs()));
    proposed.setDeadlineNs(absl::ToInt64Nanoseconds(left));
  }
  const Event event = context_.publish(std::move(draft));
  if (!event) return;
  vm.moves.propose(event.id(), choice, leaving);
  wait_for(key, vm, options_.answer_deadline);
}

}  // namespace supercloud
