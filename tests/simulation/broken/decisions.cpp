// An executor that decides wrongly. What the worker itself refuses to do, the broken decision does past it, through the seams.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/simulation/broken/breakage.h"

namespace supercloud {
namespace {

using State = GuestStatus::State;
using BrokenDecision =
    std::function<Decision(const View& view, const Decision& right, const NodeActorsSeams& seams)>;

std::function<void(MachineOptions&)> decides(BrokenDecision broken) {
  return [broken = std::move(broken)](MachineOptions& machine) {
    auto seams = std::make_shared<std::optional<NodeActorsSeams>>();
    machine.in_place.seams = [seams](const NodeActorsSeams& real, Scheduler&) {
      seams->emplace(real);
      return std::shared_ptr<const NodeActorsSeams>();
    };
    machine.actors.executor.decide = [seams, broken](const View& view) {
      return broken(view, next_step(view), **seams);
    };
  };
}

// As the worker does it at an epoch that it has won.
void let_execute(const View& view, Epoch epoch, const NodeActorsSeams& seams) {
  const std::string vm = view.record->key.substr(3);
  const GuestSeams& guests = *seams.guests;
  arm_guest(guests.hypervisor, guests.volumes, guests.fabric, vm, seams.session.deadline());
  guests.volumes.serve(vm, epoch, Reply<VolumeStatus>());
  guests.fabric.open(vm, epoch).IgnoreError();
  guests.hypervisor.resume(vm, epoch, Reply<Done>());
}

Decision resumes_before_swap(const View& view, const Decision& right,
                             const NodeActorsSeams& seams) {
  if (right.step == Step::swap_commit) let_execute(view, view.record->epoch + 1, seams);
  return right;
}

Decision resumes_without_swap(const View& view, const Decision& right,
                              const NodeActorsSeams& seams) {
  if (right.step != Step::swap_reclaim || !view.out || !view.out->paused) return right;
  let_execute(view, view.record->epoch + 1, seams);
  return {Step::none, "the source has waited long enough"};
}

Decision resumes_at_same_epoch(const View& view, const Decision& right,
                               const NodeActorsSeams& seams) {
  if (right.step != Step::swap_reclaim || view.out || view.copy->epoch != view.record->epoch)
    return right;
  let_execute(view, view.record->epoch, seams);
  return {Step::none, "this node holds that epoch"};
}

// It finds its own swap in the record, and not that this was won under a session that has ended since: anyone may take over. The
// worker would look at the session once more before it resumes; this does not.
Decision believes_old_win(const View& view, const Decision& right, const NodeActorsSeams& seams) {
  const bool old_win = won_by_copy(view) && view.session && view.record->session != *view.session;
  if (right.step != Step::swap_reclaim || !old_win) return right;
  let_execute(view, view.record->epoch, seams);
  return {Step::none, "this node won that epoch"};
}

Decision gives_up_in_flight(const View& view, const Decision& right, const NodeActorsSeams&) {
  const bool unanswered =
      view.in && view.in->commit_asked && view.record && view.record->epoch == view.in->epoch;
  if (!unanswered || (right.step != Step::swap_commit && right.step != Step::none)) return right;
  return {Step::drop_incoming, "the record still names the source"};
}

Decision drops_abort(const View& view, const Decision& right, const NodeActorsSeams&) {
  if (right.step != Step::abort || view.out->epoch == 0) return right;
  return {Step::none, "who should care?"};
}

Decision knows_no_deadline(const View& view, const Decision&, const NodeActorsSeams&) {
  View patient = view;
  if (patient.out) patient.out->deadline = patient.out->pause_deadline = far_future;
  if (patient.in) patient.in->deadline = far_future;
  return next_step(patient);
}

Decision ignores_loss_bound(const View& view, const Decision&, const NodeActorsSeams&) {
  View careless = view;
  careless.loss_bound = absl::InfiniteDuration();
  return next_step(careless);
}

// A source that knows that it lost, whatever its target misses.
Decision lets_go_at_once(const View& view, const Decision&, const NodeActorsSeams&) {
  View hasty = view;
  const bool half_way = hasty.copy && (hasty.copy->memory == GuestStatus::Memory::needed ||
                                       hasty.copy->memory == GuestStatus::Memory::broken);
  if (half_way && hasty.record && hasty.record->holder != hasty.node)
    hasty.copy->memory = GuestStatus::Memory::whole;
  return next_step(hasty);
}

// A session's length after the last renewal that was answered.
void put_in_late_fence(MachineOptions& machine) {
  machine.actors.fence.fence_after = machine.actors.fence.ttl + absl::Milliseconds(200);
}

// Neither for a migration nor for an answer.
void put_in_patience(MachineOptions& machine) {
  decides(knows_no_deadline)(machine);
  machine.actors.executor.call_deadline = absl::Hours(1);
}

}  // namespace

FaultOptions no_faults() {
  FaultOptions faults;
  faults.commands = faults.network = faults.processes = faults.machines = faults.table =
      faults.hypervisor = faults.disks = faults.swaps = faults.slow_subscribers =
          faults.half_open_links = faults.hubs = faults.commits = false;
  return faults;
}

std::vector<Breakage> broken_decisions() {
  const auto users = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.commands = true;
  };
  const auto users_and_network = [users](RunOptions& run) {
    users(run);
    run.faults.network = true;
  };
  const auto busy = [](std::function<void(RunOptions&)> circumstances) {
    return [circumstances = std::move(circumstances)](RunOptions& run) {
      circumstances(run);
      run.faults.between_max = absl::Seconds(1);
    };
  };
  // What was swapped takes effect, and its sender does not hear of it for longer than it waits, or than its session lasts.
  const auto users_and_cut_off_swaps = [users_and_network](RunOptions& run) {
    users_and_network(run);
    run.faults.swaps = true;
  };
  const auto users_and_table = [users_and_network](RunOptions& run) {
    users_and_network(run);
    run.faults.table = true;
  };
  const auto lost_machines = [users_and_network](RunOptions& run) {
    users_and_network(run);
    run.faults.machines = true;
  };
  const auto post_copy = [users](RunOptions& run) {
    users(run);
    run.cluster.post_copy = true;
    run.cluster.host.bytes_per_second = 160 << 20U;
  };
  return {
      {"resumes_before_swap", "1", "1:", users, decides(resumes_before_swap)},
      {"source_resumes_without_swap", "1", "1:", busy(users_and_network),
       decides(resumes_without_swap)},
      {"resumes_at_same_epoch", "2", "1:", users_and_network, decides(resumes_at_same_epoch)},
      {"believes_a_swap_of_an_ended_session", "3", "1:", users_and_cut_off_swaps,
       decides(believes_old_win)},
      {"target_gives_up_in_flight", "4", "2:", users_and_cut_off_swaps,
       decides(gives_up_in_flight)},
      {"fences_too_late", "8", "1:", users_and_network, put_in_late_fence},
      {"lets_go_of_what_is_needed", "14", "2:", post_copy, decides(lets_go_at_once)},
      {"takes_over_beyond_its_bound", "13", "2:", lost_machines, decides(ignores_loss_bound)},
      {"drops_an_abort", "20", "4:", busy(users), decides(drops_abort)},
      {"knows_no_deadline", "23", "4:", users_and_table, put_in_patience},
  };
}

}  // namespace supercloud
