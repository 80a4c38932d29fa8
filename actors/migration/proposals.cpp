#include "actors/migration/proposals.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr std::size_t seen_max = 4096;
constexpr std::size_t early_max = 256;
constexpr Duration early_patience = absl::Seconds(5);

constexpr std::ptrdiff_t unreachable_max = 2;  // of one place; then it is the place

// What may be otherwise on another node of the same place.
bool is_of_the_node(const Failure& failure) {
  static const std::set<std::string_view> names = {"copy", "disk",   "drain",     "lease",
                                                   "link", "memory", "reachable", "time"};
  return failure.there && names.contains(failure.name);
}

// Longer than a target takes to hear that it is to prepare.
Duration hold_of(const ExecutorOptions& options) { return options.call_deadline * 5; }

}  // namespace

void Proposals::proposed(const Event& event) {
  const auto proposed = event.payload().getMigrationProposed();
  const std::string vm = VmName::of(event).to_string();
  VmWorker* worker = find_(vm);
  const EventId id = event.id();
  const auto source = text(proposed.getSourceNode());
  const bool made_here = source == shared_.context.node();
  if (!source.empty() && !made_here) return;
  if (!holds(worker) && !(made_here && comes(worker))) {
    // By a policy that read of the new lease sooner: it waits until the record has been read.
    if (made_here && early_.size() < early_max && !seen_.contains(id))
      early_.try_emplace(id, Early{event, shared_.context.now() + early_patience});
    return;
  }
  early_.erase(id);
  if (!answered(id)) return;

  Pending pending{.proposal = event, .vm = vm, .id = id};
  pending.ahead = !holds(worker);
  const Duration allowed = proposed.getDeadlineNs() > 0
                               ? absl::Nanoseconds(proposed.getDeadlineNs())
                               : shared_.options.migration_deadline;
  const Duration age = std::max(absl::ZeroDuration(), shared_.context.wall() - event.time().wall());
  pending.deadline = shared_.context.now() + allowed - age;
  // Who has to be gone by the deadline drains (16).
  const NodeFacts* here = shared_.nodes.find(shared_.context.node());
  if (proposed.getLeaving() || (here != nullptr && here->noticed))
    pending.no_return = drained_by(shared_.context.now(), pending.deadline, shared_.options);
  if (!make_way(pending, *worker)) {
    refuse(pending, std::string(text(proposed.getTargetNode())),
           {{"busy", "another migration of this VM is under way",
             "wait until it has ended, or cancel it"}});
    return;
  }
  auto [entry, inserted] = pending_.emplace(vm, std::move(pending));
  place(entry->second);
}

bool Proposals::holds(const VmWorker* worker) const {
  return worker != nullptr && worker->record() &&
         worker->record()->holder == shared_.context.node() && worker->spec();
}

// On its way to this node.
bool Proposals::comes(const VmWorker* worker) const {
  return worker != nullptr && worker->record() && worker->record()->hand_over_open() &&
         worker->record()->heir->node == shared_.context.node() && worker->spec();
}

// Who has to leave goes before what would only like to, and before a flight that leads elsewhere: before what still looks for a target, and
// before a move that has not come to its pause and leads to a node that goes as well. A move to one that stays goes on (and is hurried, see Executor::noticed): to
// begin anew would only take longer.
bool Proposals::make_way(Pending& pending, VmWorker& worker) {
  const auto found = pending_.find(pending.vm);
  if (found != pending_.end()) {
    const auto before = found->second.proposal.payload().getMigrationProposed();
    const auto now = pending.proposal.payload().getMigrationProposed();
    const bool places =
        !text(now.getTargetPlace()).empty() && !text(before.getTargetPlace()).empty();
    const bool same_place = places && text(now.getTargetPlace()) == text(before.getTargetPlace());
    if (!pending.leaving() || (found->second.leaving() && (!places || same_place))) return false;
    const Pending waiting = std::move(found->second);
    pending_.erase(found);
    if (same_place) {
      pending.rented_for = waiting.rented_for;
      pending.rent_problem = waiting.rent_problem;
    }
    refuse(
        waiting,
        std::string(text(before.getTargetNode()).empty() ? text(before.getTargetPlace())
                                                         : text(before.getTargetNode())),
        {{"replaced",
          absl::StrCat(shared_.context.node(), " has to be left, and migration ",
                       pending.id.short_id(), " does that: ", std::string(text(now.getReason()))),
          "propose it again where the VM is then"}});
  }
  if (!worker.outgoing()) return true;
  const Outgoing& out = *worker.outgoing();
  if (!out.failure.empty() && !out.paused) return true;  // on its way out
  const NodeFacts* target = shared_.nodes.find(out.target);
  const bool target_goes = target != nullptr && target->goes();
  const bool elsewhere =
      text(pending.proposal.payload().getMigrationProposed().getTargetNode()) != out.target;
  if (!pending.leaving() || out.paused || !target_goes || !elsewhere) return false;
  worker.fail_outgoing(absl::StrCat(out.target, " goes as well: migration ", pending.id.short_id(),
                                    " leads elsewhere"));
  return true;
}

bool Proposals::answered(const EventId& id) {
  if (!seen_.insert(id).second) return false;
  seen_in_order_.push_back(id);
  if (seen_in_order_.size() > seen_max) {
    seen_.erase(seen_in_order_.front());
    seen_in_order_.pop_front();
  }
  return true;
}

bool Proposals::promised(const NodeFacts& node, std::string_view rented_with) const {
  return !node.rented_with.empty() && node.rented_with != rented_with &&
         node.memory_free_bytes >= node.memory_bytes &&
         shared_.context.wall() - node.joined.wall() < shared_.options.migration_deadline;
}

std::string Proposals::resolve(const std::string& vm, const std::string& target,
                               std::string_view rented_with, std::string* why) const {
  if (shared_.nodes.find(target) != nullptr) return target;
  const VmWorker* worker = find_(vm);
  *why = absl::StrCat("no node at ", target);
  // Where a target is ready the move begins at once.
  std::vector<const NodeFacts*> nodes;
  const auto known = worker == nullptr ? std::nullopt : worker->spec();
  for (const bool ready : {true, false})
    for (const NodeFacts* node : shared_.nodes.at_place(target))
      if ((known && is_prepared(known->reader(), node->name)) == ready) nodes.push_back(node);
  const auto flight = pending_.find(vm);
  const std::optional<NodeFacts> here = here_until(
      flight != pending_.end() && flight->second.leaving() ? flight->second.deadline : far_future);
  const NodeFacts* ours = shared_.nodes.rented(rented_with);
  // Before the others. One that the cloud takes as well, but later than this node, is better than none: the policy sees to it that there
  // is no time for another.
  if (ours != nullptr && ours->place == target && here && ours->outlives(*here)) {
    std::erase(nodes, ours);
    nodes.insert(nodes.begin(), ours);
  }
  for (const NodeFacts* node : nodes) {
    if (node->name == shared_.context.node()) continue;
    if (flight != pending_.end()) {
      const auto no = flight->second.passed_over.find(node->name);
      if (no != flight->second.passed_over.end() && shared_.context.now() < no->second.until) {
        *why = absl::StrCat(node->name, " at ", target, ": ", no->second.why.front().detail);
        continue;
      }
    }
    if (promised(*node, rented_with)) {
      *why = absl::StrCat(node->name, " at ", target, " was rented for another move");
      continue;
    }
    if (worker == nullptr || !worker->spec()) continue;
    const auto spec = worker->spec()->reader();
    if (const auto failures = constraint_failures(spec, *node); !failures.empty()) {
      *why = absl::StrCat(node->name, " at ", target, ": ", failures.front());
      continue;
    }
    if (free_for(spec, *node) >= spec.getMemoryBytes()) return node->name;
    *why = absl::StrCat("no room on ", node->name, " at ", target);
  }
  return {};
}

void Proposals::place(Pending& pending) {
  if (pending.checking) return;
  const VmWorker* worker = find_(pending.vm);
  // What made way for this one is being ended.
  if (worker != nullptr && worker->outgoing() && shared_.context.now() < pending.deadline) return;
  const bool waits = pending.ahead && !holds(worker);
  if (waits && !comes(worker)) {
    const Pending ended = std::move(pending);
    pending_.erase(ended.vm);
    return refuse(ended, "",
                  {{"vm", absl::StrCat(ended.vm, " has not come to ", shared_.context.node()),
                    "the node that holds it decides anew"}});
  }
  const auto proposed = pending.proposal.payload().getMigrationProposed();
  const bool to_node = !text(proposed.getTargetNode()).empty();
  const std::string wanted(to_node ? text(proposed.getTargetNode())
                                   : text(proposed.getTargetPlace()));
  std::string why;
  const std::string target =
      resolve(pending.vm, wanted,
              pending.rented_for.empty() ? std::string() : pending.rented_for.short_id(), &why);
  if (target.empty()) {
    if (!pending.rented_for.empty() && pending.rent_problem.empty()) {
      const auto here = here_until(pending.leaving() ? pending.deadline : far_future);
      if (const auto gone =
              shared_.nodes.taken_back(pending.rented_for.short_id(), here ? &*here : nullptr))
        pending.rent_problem =
            absl::StrCat("instance ", *gone, ", which was rented for it, is taken back already");
    }
    // Before anything is paid for; once it is, only what its machine turns out not to be.
    std::vector<Failure> failures;
    if (!to_node && worker != nullptr && worker->spec())
      failures = check_rented(*worker, wanted, pending.deadline - shared_.context.now());
    if (!pending.rented_for.empty() || waits)
      std::erase_if(failures, [](const Failure& it) { return it.name != "constraints"; });
    const std::string& problem =
        pending.rent_problem.empty() ? pending.rent_answer : pending.rent_problem;
    if (to_node || !pending.rent_problem.empty() || shared_.context.now() >= pending.deadline)
      failures.push_back({"target", absl::StrCat(why, problem.empty() ? "" : "; ", problem),
                          "choose another place, or try again later"});
    if (!failures.empty()) {
      for (const auto& [node, no] : pending.passed_over)
        for (Failure failure : no.why) {
          failure.detail = absl::StrCat(node, ": ", failure.detail);
          failures.push_back(std::move(failure));
        }
      const Pending ended = std::move(pending);
      pending_.erase(ended.vm);
      refuse(ended, wanted, failures);
      return;
    }
    if (!pending.renting) rent(pending);
    return;
  }
  if (waits) return;
  pending.checking = true;
  check(pending.vm, target, pending.deadline - shared_.context.now(), hold_of(shared_.options),
        /*measure=*/false,
        [this, vm = pending.vm, id = pending.id, target](const std::vector<Failure>& failures,
                                                         const std::optional<Way>&) {
          const auto found = pending_.find(vm);
          if (found == pending_.end() || found->second.id != id) return;
          if (failures.empty()) return begin(vm, id, target);
          found->second.checking = false;
          if (pass_over(found->second, target, failures)) return place(found->second);
          const Pending ended = found->second;
          pending_.erase(found);
          refuse(ended, target, failures);
        });
}

bool Proposals::pass_over(Pending& pending, const std::string& node,
                          const std::vector<Failure>& failures) {
  const auto proposed = pending.proposal.payload().getMigrationProposed();
  if (!text(proposed.getTargetNode()).empty()) return false;
  const NodeFacts* ours =
      pending.rented_for.empty() ? nullptr : shared_.nodes.rented(pending.rented_for.short_id());
  if (ours != nullptr && ours->name == node) return false;
  if (!std::ranges::all_of(failures, is_of_the_node)) return false;
  pending.passed_over[node] = {shared_.context.now() + hold_of(shared_.options), failures};
  // The way to a machine that would be rented there carries no more.
  if (std::ranges::any_of(failures, [](const Failure& it) { return it.name == "time"; })) {
    std::string why;
    return !resolve(pending.vm, std::string(text(proposed.getTargetPlace())),
                    ours == nullptr ? std::string_view() : ours->rented_with, &why)
                .empty();
  }
  return std::ranges::count_if(pending.passed_over, [](const auto& no) {
           return no.second.why.front().name == "reachable";
         }) < unreachable_max;
}

// The provider's role is held by a lease: its holder is asked. Where it changes hands, or does not answer, it is asked again at the
// next look, with the same token: that rents no second time.
void Proposals::rent(Pending& pending) {
  if (pending.rented_for.empty()) pending.rented_for = pending.id;
  pending.renting = true;
  const std::string place(text(pending.proposal.payload().getMigrationProposed().getTargetPlace()));
  const std::string token = pending.rented_for.short_id();
  const auto told = [this, vm = pending.vm, id = pending.id](const absl::Status& status) {
    const auto found = pending_.find(vm);
    if (found == pending_.end() || found->second.id != id) return;
    Pending& asked = found->second;
    const std::string why(status.message());
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
      asked.renting = false;
      asked.rent_answer = why;
    } else if (!status.ok()) {
      asked.rent_problem = why;
      look();
    }
  };
  shared_.seams.leases.read(
      absl::StrCat("role/provider/", place.substr(0, place.find('/'))),
      shared_.context.reply<LeaseRecord>(
          shared_.options.call_deadline,
          [this, place, told, token, id = pending.id](const absl::StatusOr<LeaseRecord>& role) {
            if (absl::IsNotFound(role.status()))
              return told(absl::NotFoundError(
                  "no provider holds its role, so nothing can be rented there"));
            if (!role.ok()) return told(role.status());
            const auto request =
                Message<schema::Request>::build([&](schema::Request::Builder builder) {
                  auto rent = builder.initRent();
                  rent.setPlace(place);
                  rent.setClientToken(token);
                  rent.setWhy(absl::StrCat("migration ", id.short_id()));
                  id.write(rent.initMigration());
                });
            shared_.context.request(
                {role->holder, "provider"}, request, shared_.options.call_deadline * 3,
                [told](const absl::StatusOr<Message<schema::Response>>& rented) {
                  if (!rented.ok())
                    return told(absl::Status(rented.status().code(),
                                             absl::StrCat("renting: ", rented.status().message())));
                  if (rented->reader().isRedirect())
                    told(absl::UnavailableError("renting: the provider's role changes hands"));
                });
          }));
}

void Proposals::instance_refused(const Event& event) {
  const auto refused = event.payload().getInstanceRefused();
  for (auto& [vm, pending] : pending_)
    if (!pending.rented_for.empty() &&
        pending.rented_for.short_id() == text(refused.getClientToken()))
      pending.rent_problem =
          absl::StrCat("the provider refused: ", std::string(text(refused.getWhy())));
  look();
}

void Proposals::look() {
  for (const auto& [id, early] : std::exchange(early_, {})) {
    proposed(early.proposal);
    const auto still = early_.find(id);
    if (still == early_.end()) continue;
    still->second.until = early.until;
    if (shared_.context.now() < early.until) continue;
    early_.erase(still);
    answered(id);
    refuse({.proposal = early.proposal, .vm = {}, .id = id}, "",
           {{"vm", absl::StrCat(shared_.context.node(), " does not hold the VM any more"),
             "the node that holds it now decides anew"}});
  }
  std::vector<std::string> vms;
  for (const auto& [vm, pending] : pending_) vms.push_back(vm);
  for (const std::string& vm : vms)
    if (const auto found = pending_.find(vm); found != pending_.end()) place(found->second);
}

bool Proposals::cancel(const std::string& vm, const std::string& why) {
  const auto found = pending_.find(vm);
  if (found == pending_.end()) return false;
  const Pending ended = found->second;
  pending_.erase(found);
  refuse(ended, "", {{"cancelled", why, "propose it again"}});
  return true;
}

void Proposals::begin(const std::string& vm, const EventId& id, const std::string& target) {
  const auto found = pending_.find(vm);
  const Pending pending = found->second;
  pending_.erase(found);
  VmWorker* worker = find_(vm);
  if (worker == nullptr || worker->outgoing())
    return refuse(pending, target,
                  {{"busy", "the VM has gone, or another migration of it has begun meanwhile",
                    "propose it again"}});
  Outgoing out;
  out.migration = id;
  out.target = target;
  out.deadline = pending.deadline;
  out.no_return = pending.no_return;
  out.blackout_max = absl::Nanoseconds(std::max<std::int64_t>(
      pending.proposal.payload().getMigrationProposed().getBlackoutMaxNs(), 0));
  const bool leaves = out.no_return < far_future;
  worker->begin(std::move(out));
  if (!leaves) measure_way(vm, id, target);
}

void Proposals::refuse(const Pending& pending, const std::string& target,
                       const std::vector<Failure>& failures) {
  Draft draft = shared_.context.draft(pending.proposal.subject(), pending.proposal.tenant());
  draft.migration(pending.id);
  auto refused = draft.payload().initMigrationRefused();
  refused.setNode(shared_.context.node());
  refused.setTarget(target);
  write_failures(failures, refused.initFailures(static_cast<unsigned>(failures.size())));
  shared_.context.publish(std::move(draft));
}

}  // namespace supercloud
