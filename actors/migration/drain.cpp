#include "actors/migration/drain.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/answers.h"
#include "actors/migration/preflight.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

// A target that refused, or a move that failed: others first, then it is asked once more.
constexpr Duration ask_again = absl::Seconds(5), ask_again_max = absl::Minutes(1);
constexpr int doublings_max = 8;
constexpr Duration word_again =
    absl::Seconds(10);                  // between two words about what stands in the way
constexpr std::size_t reasons_max = 4;  // nodes that a word about a guest names
constexpr char no_target_cure[] = "make room for it elsewhere, or stop it";
constexpr Duration heard_within = absl::Seconds(30);
constexpr Duration deadline_max = absl::Hours(24 * 365);

absl::Status being_changed(const std::string& node) {
  return absl::UnavailableError(absl::StrCat(
      "that ", node, " is drained, or not any more, is on its way to its log; ask again"));
}

}  // namespace

// ---- what its user says ----------------------------------------------------------------------------------------------

void Drain::order(schema::Request::DrainNode::Reader request, Answer answer) {
  if (changing_) return answer(being_changed(shared_.context.node()));
  Ordered wanted;
  wanted.why = text(request.getWhy()).empty() ? "the node is drained" : str(request.getWhy());
  if (request.getDeadlineNs() > 0)
    wanted.deadline =
        shared_.context.now() + std::min(absl::Nanoseconds(request.getDeadlineNs()), deadline_max);
  changing_ = true;
  say_draining(wanted, look_at_guests(wanted.deadline != far_future),
               [this, wanted, told = shared(std::move(answer))](const absl::Status& logged) {
                 changing_ = false;
                 if (logged.ok()) {
                   ordered_ = wanted;
                   shared_.draining = true;
                   shared_.seams.hypervisor.drop_standbys();
                   rate_ = 0;
                   for (auto& [vm, tried] : tried_) {
                     tried.refused.clear();
                     tried.failures = 0;
                     tried.stuck.clear();
                   }
                   next_word_ = shared_.context.now() + word_again;
                   said_.clear();
                   look(false);
                 }
                 answer_status(*told, logged);
               });
}

void Drain::end(schema::Request::DrainNode::Reader request, Answer answer) {
  if (changing_) return answer(being_changed(shared_.context.node()));
  const NodeFacts* facts = shared_.nodes.find(shared_.context.node());
  if (!ordered_ && (facts == nullptr || !facts->draining)) return answer_done(answer);
  Draft draft = shared_.context.draft(shared_.context.node());
  auto undrained = draft.payload().initNodeUndrained();
  undrained.setNode(shared_.context.node());
  undrained.setWhy(request.getWhy());
  changing_ = true;
  shared_.context.publish(std::move(draft),
                          [this, told = shared(std::move(answer))](const absl::Status& logged) {
                            changing_ = false;
                            if (logged.ok()) {
                              ordered_.reset();
                              shared_.draining = false;
                              tried_.clear();
                            }
                            answer_status(*told, logged);
                          });
}

void Drain::recovered(const Event& event) {
  if (event.origin() != shared_.context.self().to_string()) return;
  switch (event.type()) {
    case schema::Payload::NODE_DRAINING: {
      const auto draining = event.payload().getNodeDraining();
      const Duration left = event.time().wall() + absl::Nanoseconds(draining.getDeadlineNs()) -
                            shared_.context.wall();
      Ordered ordered;
      ordered.why = str(draining.getWhy());
      if (draining.getDeadlineNs() > 0) ordered.deadline = shared_.context.now() + left;
      ordered_ = std::move(ordered);
      shared_.draining = true;
      break;
    }
    case schema::Payload::NODE_UNDRAINED:
      ordered_.reset();
      shared_.draining = false;
      break;
    default:
      break;
  }
}

void Drain::heard(const Event& event) {
  if (event.type() == schema::Payload::NODE_CAPACITY) {
    const auto capacity = event.payload().getNodeCapacity();
    if (text(capacity.getNode()) == shared_.context.node()) agent_knows_ = capacity.getDraining();
    return;
  }
  const auto found = tried_.find(VmName::of(event).to_string());
  if (found == tried_.end() || found->second.migration != event.migration() ||
      event.migration().empty())
    return;
  switch (event.type()) {
    case schema::Payload::MIGRATION_COMPLETED:
      tried_.erase(found);
      return;
    case schema::Payload::MIGRATION_REFUSED: {
      const auto failures = event.payload().getMigrationRefused().getFailures();
      return failed(found->second,
                    failures.size() == 0 ? "it refused" : str(failures[0].getDetail()));
    }
    case schema::Payload::MIGRATION_ABORTED:
      return failed(found->second, str(event.payload().getMigrationAborted().getWhy()));
    default:
      return;
  }
}

void Drain::failed(Tried& tried, std::string why) {
  tried.refused[tried.target] = std::move(why);
  tried.migration = {};
  tried.again = shared_.context.now() +
                std::min(ask_again * (1 << std::min(tried.failures, doublings_max)), ask_again_max);
  ++tried.failures;
}

// ---- what is to be done ----------------------------------------------------------------------------------------------

void Drain::look(bool all_known) {
  if (changing_) return;
  if (!ordered_) return flee();
  const Instant now = shared_.context.now();
  // Who outlives its deadline was not taken away; its guests go on leaving, and none of them is left behind for that.
  const Instant ordered = ordered_->deadline > now ? ordered_->deadline : far_future;
  const Instant deadline = std::min(ordered, noticed());
  Here here = look_at_guests(deadline != far_future);
  move_off(here, ordered_->why, deadline);
  // Twice, so that what was accepted or asked for before it was ordered has been seen.
  if (!all_known || !std::exchange(ordered_->looked, true)) return;
  if (here.guests == 0 && agent_knows_) {
    if (!ordered_->drained) say_drained(here);
    ordered_->drained = true;
    return;
  }
  const std::string stands = absl::StrJoin(
      here.stays, " ", [](std::string* out, const Stays& it) { absl::StrAppend(out, it.vm); });
  const bool news = !agent_knows_ || stands != said_;
  if (!ordered_->drained && (!news || now < next_word_)) return;
  say_draining(*ordered_, here);
  ordered_->drained = false;
  said_ = stands;
  next_word_ = now + word_again;
}

Instant Drain::noticed() const {
  const NodeFacts* facts = shared_.nodes.find(shared_.context.node());
  if (facts == nullptr || !facts->noticed || shared_.context.wall() >= facts->gone_by)
    return far_future;
  return shared_.context.now() + (facts->gone_by - shared_.context.wall());
}

void Drain::flee() {
  const Instant now = shared_.context.now();
  const Instant deadline = noticed();
  noticed_at_ = deadline == far_future ? far_future : std::min(noticed_at_, now);
  if (deadline == far_future) return;
  const bool late = now - noticed_at_ >= (deadline - noticed_at_) / 3;
  Here here = look_at_guests(true);
  std::erase_if(here.waiting, [&](const LeavingGuest& guest) {
    return !late && workers_.at(guest.vm)->spec()->reader().getPolicy() != "stay";
  });
  move_off(here, absl::StrCat("the cloud takes ", shared_.context.node()), deadline);
}

// It is on its way, or looks for it. What does not have to leave, or goes where it cannot stay, gives way to what has to.
bool Drain::leaves(const VmWorker& worker, bool leaving) {
  const auto tried = tried_.find(worker.vm());
  if (tried != tried_.end() && !tried->second.migration.empty() && !worker.outgoing() &&
      !proposals_.waits(worker.vm()) && shared_.context.now() >= tried->second.heard_by)
    failed(tried->second, "what became of the move was not heard");
  const bool asked = tried != tried_.end() && !tried->second.migration.empty();
  if (const auto& out = worker.outgoing()) {
    const NodeFacts* target = shared_.nodes.find(out->target);
    const bool in_vain = leaving && !asked && !out->paused && target != nullptr && target->goes();
    return !in_vain;
  }
  return asked || (leaving ? proposals_.flees(worker.vm()) : proposals_.waits(worker.vm()));
}

Drain::Here Drain::look_at_guests(bool leaving) {
  Here here;
  std::erase_if(tried_, [this](const auto& entry) { return !workers_.contains(entry.first); });
  for (const auto& [vm, worker] : workers_) {
    const auto& record = worker->record();
    const bool held = record && record->holder == shared_.context.node() && worker->spec();
    if (!held) {
      here.guests += worker->may_come() ? 1 : 0;
      continue;
    }
    const auto spec = worker->spec()->reader();
    const std::string state = worker->state();
    if (state == "stopped") {
      if (!spec.getDestroyed())
        here.stopped.push_back({vm, "it is stopped, and its disk is here",
                                "start it, so that it is moved, or destroy it"});
      continue;
    }
    ++here.guests;
    const std::uint64_t dirty =
        shared_.seams.hypervisor.dirty_rate(vm).pages_per_second * guest_page_bytes;
    if (leaves(*worker, leaving)) {
      const bool sends = worker->outgoing() && worker->outgoing()->sending;
      ++here.under_way;
      here.dirty += dirty;
      here.rate += sends ? worker->progress().bytes_per_second : 0;
      here.to_send += sends && worker->progress().pass > 0 ? worker->progress().remaining_bytes
                                                           : bytes_of(*worker);
      if (const auto tried = tried_.find(vm); tried != tried_.end() && !tried->second.stuck.empty())
        here.stays.push_back({vm, tried->second.stuck, no_target_cure});
    } else if (state == "running" || worker->outgoing()) {
      here.waiting.push_back({vm, bytes_of(*worker), dirty, spec.getDowntimeNanoUsdPerHour()});
    } else if (state == "paused") {
      here.stays.push_back(
          {vm, "it is paused, and only a running VM moves live", "resume it, or stop it"});
    } else if (state == "failed") {
      here.stays.push_back(
          {vm, "it cannot run here", absl::StrCat("see `supercloud explain ", vm, "`")});
    }
  }
  rate_ = std::max(rate_, here.rate);
  return here;
}

// That its move sends: its memory, and its disk unless another node has all of it.
std::uint64_t Drain::bytes_of(const VmWorker& worker) const {
  const auto spec = worker.spec()->reader();
  const bool replicated =
      std::ranges::any_of(shared_.seams.volumes.replicas(worker.vm()),
                          [](const ReplicaStatus& it) { return it.connected && it.caught_up; });
  return spec.getMemoryBytes() + (replicated ? 0 : spec.getDiskBytes());
}

void Drain::move_off(Here& here, const std::string& why, Instant deadline) {
  const Instant now = shared_.context.now();
  if (deadline != far_future)
    for (const auto& [vm, worker] : workers_)
      if (const auto& out = worker->outgoing()) {
        const NodeFacts* target = shared_.nodes.find(out->target);
        if (target != nullptr && !target->goes()) worker->hurry(deadline, why);
      }
  order_to_leave(here.waiting, {rate_, here.to_send}, deadline - now);
  for (const LeavingGuest& guest : here.waiting) {
    const std::uint64_t dirty = here.dirty + guest.dirty_bytes_per_second;
    if (!may_leave_too(here.under_way, dirty, rate_)) continue;
    const VmWorker& worker = *workers_.at(guest.vm);
    Tried& tried = tried_[guest.vm];
    if (now >= tried.again) tried.refused.clear();
    std::string problem;
    const NodeFacts* target = target_of(worker, tried, &problem);
    if (target == nullptr) {
      tried.stuck = problem;
      here.stays.push_back({guest.vm, problem, no_target_cure});
      continue;
    }
    if (!tried.stuck.empty()) here.stays.push_back({guest.vm, tried.stuck, no_target_cure});
    if (!propose(worker, *target, why, deadline, patience(here, guest, tried)))
      continue;  // the log says why
    ++here.under_way;
    here.dirty = dirty;
    here.to_send += guest.bytes;
  }
}

// One that has its disk already, then one that has a target ready, then the roomiest.
const NodeFacts* Drain::target_of(const VmWorker& worker, const Tried& tried,
                                  std::string* why) const {
  const auto spec = worker.spec()->reader();
  const NodeFacts* here = shared_.nodes.find(shared_.context.node());
  const auto replicas = shared_.seams.volumes.replicas(worker.vm());
  const auto has_disk = [&](const std::string& node) {
    return std::ranges::any_of(replicas, [&](const ReplicaStatus& replica) {
      return replica.node == node && replica.connected && replica.caught_up;
    });
  };
  const NodeFacts* best = nullptr;
  std::uint64_t best_room = 0;
  std::vector<std::string> reasons;
  for (const auto& [name, node] : shared_.nodes.nodes()) {
    if (name == shared_.context.node() || node.left) continue;
    std::uint64_t promised = 0;
    for (const auto& [vm, other] : tried_)
      if (other.target == name && !other.migration.empty())
        promised +=
            workers_.at(vm)->spec() ? workers_.at(vm)->spec()->reader().getMemoryBytes() : 0;
    const std::uint64_t free = free_for(spec, node);
    const std::uint64_t room = free - std::min(promised, free);
    const auto failures =
        preflight_here(spec, "running", here, &node, true, absl::InfiniteDuration());
    const auto refused = tried.refused.find(name);
    const std::string reason = refused != tried.refused.end()  ? refused->second
                               : !failures.empty()             ? failures.front().detail
                               : proposals_.promised(node, "") ? "it was rented for another move"
                               : room < spec.getMemoryBytes()  ? "it has no room"
                                                               : "";
    if (!reason.empty()) {
      reasons.push_back(absl::StrCat(name, ": ", reason));
    } else if (best == nullptr ||
               std::tuple(has_disk(best->name), is_prepared(spec, best->name), best_room) <
                   std::tuple(has_disk(name), is_prepared(spec, name), room)) {
      best = &node;
      best_room = room;
    }
  }
  *why = reasons.empty() ? "there is no other node" : "";
  if (reasons.size() > reasons_max) {
    const std::size_t more = reasons.size() - reasons_max;
    reasons.resize(reasons_max);
    reasons.push_back(absl::StrCat("and ", more, " more"));
  }
  absl::StrAppend(why, absl::StrJoin(reasons, "; "));
  return best;
}

// What is on the way out has to pass first; who was not done in time is given twice as much.
Duration Drain::patience(const Here& here, const LeavingGuest& guest, const Tried& tried) const {
  const Duration usual = shared_.options.migration_deadline;
  const Duration passes = rate_ == 0
                              ? absl::ZeroDuration()
                              : absl::Seconds(static_cast<double>(here.to_send + guest.bytes) /
                                              static_cast<double>(rate_));
  return std::min(std::max(usual, passes * 3) * (1 << std::min(tried.failures, doublings_max)),
                  deadline_max);
}

bool Drain::propose(const VmWorker& worker, const NodeFacts& target, const std::string& why,
                    Instant deadline, Duration patience) {
  const VmName name = VmName::of(worker.vm());
  const bool leaving = deadline != far_future;
  const Duration allowed = leaving ? deadline - shared_.context.now() : patience;
  Draft draft = shared_.context.draft(name.name, name.tenant);
  draft.epoch(worker.record()->epoch);
  auto proposed = draft.payload().initMigrationProposed();
  proposed.setVm(worker.vm());
  proposed.setTargetNode(target.name);
  proposed.setReason(why);
  proposed.setDeadlineNs(absl::ToInt64Nanoseconds(allowed));
  proposed.setProposer("evacuation");
  proposed.setLeaving(leaving);
  proposed.setSourceNode(shared_.context.node());
  const Event event = shared_.context.publish(std::move(draft));
  if (!event) return false;
  Tried& tried = tried_[worker.vm()];
  tried.migration = event.id();
  tried.target = target.name;
  tried.heard_by = shared_.context.now() + heard_within;
  return true;
}

// ---- what is said ----------------------------------------------------------------------------------------------------

void Drain::write(const std::vector<Stays>& stays, capnp::List<schema::Check>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) {
    list[i].setName(stays[i].vm);
    list[i].setDetail(stays[i].why);
    list[i].setCure(stays[i].cure);
  }
}

void Drain::say_draining(const Ordered& ordered, const Here& here,
                         std::function<void(absl::Status)> logged) {
  const Duration left = ordered.deadline - shared_.context.now();
  Draft draft = shared_.context.draft(shared_.context.node());
  auto draining = draft.payload().initNodeDraining();
  draining.setNode(shared_.context.node());
  draining.setWhy(ordered.why);
  if (ordered.deadline != far_future && left > absl::ZeroDuration())
    draining.setDeadlineNs(absl::ToInt64Nanoseconds(left));
  draining.setGuests(static_cast<std::uint32_t>(here.guests));
  write(here.stays, draining.initStays(static_cast<unsigned>(here.stays.size())));
  shared_.context.publish(std::move(draft), std::move(logged));
}

void Drain::say_drained(const Here& here) {
  Draft draft = shared_.context.draft(shared_.context.node());
  auto drained = draft.payload().initNodeDrained();
  drained.setNode(shared_.context.node());
  write(here.stopped, drained.initStays(static_cast<unsigned>(here.stopped.size())));
  shared_.context.publish(std::move(draft));
}

}  // namespace supercloud
