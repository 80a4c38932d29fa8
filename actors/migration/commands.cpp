#include "actors/migration/commands.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/answers.h"
#include "core/vm_name.h"
#include "core/vm_spec.h"

namespace supercloud {
namespace {

void fill_view(schema::Response::VmView::Builder view, const LeaseRecord& record,
               const VmWorker* worker, const NodeFacts* node, bool held_here) {
  if (auto spec = Message<schema::VmSpec>::parse(record.value); spec.ok())
    view.setSpec(spec->reader());
  view.setNode(record.holder);
  if (node != nullptr) view.setPlace(node->place);
  view.setEpoch(record.epoch);
  view.setState(worker != nullptr && held_here ? worker->state()
                : !record.session_alive        ? "lost"
                : record.hand_over_open()      ? "migrating"
                // whether its copy is gone already, its holder alone knows
                : !view.getSpec().getRunning() ? "stopping"
                : view.getSpec().getPaused()   ? "paused"
                                               : "running");
  if (record.hand_over_open()) {
    view.setHeir(record.heir->node);
    record.heir->migration.write(view.initMigration());
  }
  auto in_sync = view.initInSync(static_cast<unsigned>(record.in_sync.size()));
  for (unsigned i = 0; i < record.in_sync.size(); ++i) in_sync.set(i, record.in_sync[i]);
}

// Whether the VM that has this record is the one that is to be created.
absl::Status as_described(const LeaseRecord& record, const Message<schema::VmSpec>& spec) {
  const auto known = Message<schema::VmSpec>::parse(record.value);
  if (known.ok() && known->bytes() == spec.bytes()) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(vm_of_key(record.key), " exists on ", record.holder,
                   " with another description: choose another name, or destroy it first"));
}

absl::Status may_run_here(const ExecutorShared& shared_state, bool draining,
                          schema::VmSpec::Reader spec) {
  const std::string& here = shared_state.context.node();
  if (draining)
    return absl::FailedPreconditionError(absl::StrCat(
        here, " is being drained: create it on another node, or `supercloud node undrain ", here,
        "`"));
  if (const NodeFacts* facts = shared_state.nodes.find(here))
    for (const std::string& why : constraint_failures(spec, *facts))
      return absl::FailedPreconditionError(
          absl::StrCat("it may not run on ", here, ": ", why, "; create it on another node"));
  const std::uint64_t free_bytes = shared_state.seams.hypervisor.memory_free_bytes();
  if (free_bytes < spec.getMemoryBytes())
    return absl::ResourceExhaustedError(
        absl::StrCat(here, " has ", free_bytes >> 20U, " MiB of memory left, it needs ",
                     spec.getMemoryBytes() >> 20U, ": create it on another node"));
  return shared_state.seams.hypervisor.check(spec);
}

}  // namespace

void Commands::serve(const Message<schema::Request>& request, Answer answer) {
  const auto reader = request.reader();
  using Request = schema::Request;
  switch (reader.which()) {
    case Request::CREATE_VM:
      return create(reader.getCreateVm(), std::move(answer));
    case Request::DESTROY_VM:
      return change(reader.getDestroyVm(), reader.which(), std::move(answer));
    case Request::START_VM:
      return change(reader.getStartVm(), reader.which(), std::move(answer));
    case Request::STOP_VM:
      return change(reader.getStopVm(), reader.which(), std::move(answer));
    case Request::PAUSE_VM:
      return change(reader.getPauseVm(), reader.which(), std::move(answer));
    case Request::RESUME_VM:
      return change(reader.getResumeVm(), reader.which(), std::move(answer));
    case Request::MIGRATE_VM:
      return migrate(reader.getMigrateVm(), std::move(answer));
    case Request::CANCEL_MIGRATION:
      return cancel(reader.getCancelMigration(), std::move(answer));
    case Request::LIST_VMS:
      return list(std::move(answer));
    case Request::SHOW_VM:
      return show(reader.getShowVm(), std::move(answer));
    case Request::DRAIN_NODE:
      if (is_here(reader.getDrainNode(), answer))
        executor_.drain_.order(reader.getDrainNode(), std::move(answer));
      return;
    case schema::Request::UNDRAIN_NODE:
      if (is_here(reader.getUndrainNode(), answer))
        executor_.drain_.end(reader.getUndrainNode(), std::move(answer));
      return;
    default:
      return answer(absl::UnimplementedError("the executor does not know this request"));
  }
}

void Commands::held(const std::string& vm, Answer answer,
                    std::function<void(VmWorker&, Answer)> here) {
  Executor& executor = executor_;
  auto waiting = shared(std::move(answer));
  const Instant asked = executor.shared_.context.now();
  executor.shared_.seams.leases.read(
      key_of_vm(vm), executor.shared_.context.reply<LeaseRecord>(
                         executor.shared_.options.call_deadline,
                         [&executor, vm, waiting, asked,
                          here = std::move(here)](absl::StatusOr<LeaseRecord> record) {
                           if (absl::IsNotFound(record.status()))
                             return (*waiting)(absl::NotFoundError(absl::StrCat(
                                 "there is no VM ", vm, ": see `supercloud vm list`")));
                           if (!record.ok()) return (*waiting)(record.status());
                           const bool mine = record->holder == executor.shared_.context.node() ||
                                             !record->session_alive;
                           if (!mine)
                             return (*waiting)(Message<schema::Response>::build(
                                 [&](schema::Response::Builder response) {
                                   response.setRedirect(record->holder);
                                 }));
                           VmWorker& worker = executor.worker(vm);
                           worker.record_read(*std::move(record), asked);
                           here(worker, std::move(*waiting));
                         }));
}

// Idempotent by name: the same description again is answered as done. Of several at once, of one name or of one address, the lease
// table lets one pass; the read before only finds what is there already.
void Commands::create(schema::VmSpec::Reader spec, Answer answer) {
  Executor& executor = executor_;
  ExecutorShared& shared_state = executor.shared_;
  const VmName name = VmName::of(spec);
  const std::string vm = name.to_string();
  if (name.name.empty() || spec.getMemoryBytes() == 0 || text(spec.getAddress()).empty())
    return answer(absl::InvalidArgumentError(
        "a VM needs a name, memory and an address: set `name`, `memory` and `address`"));
  if (const absl::Status topic = validate_topic(
          absl::StrCat("vm.defined.", encode_token(name.tenant), ".", encode_token(name.name)));
      !topic.ok())
    return answer(topic);
  const auto copied = Message<schema::VmSpec>::build(
      [&](schema::VmSpec::Builder builder) { copy_spec(spec, builder); });
  auto waiting = shared(std::move(answer));
  const Instant asked = shared_state.context.now();
  shared_state.seams.leases.read(
      key_of_vm(vm),
      shared_state.context.reply<LeaseRecord>(
          shared_state.options.call_deadline,
          [&executor, vm, copied, waiting, asked](const absl::StatusOr<LeaseRecord>& record) {
            if (record.ok()) return answer_status(*waiting, as_described(*record, copied));
            if (!absl::IsNotFound(record.status())) return (*waiting)(record.status());
            if (const absl::Status room =
                    may_run_here(executor.shared_, executor.drain_.ordered(), copied.reader());
                !room.ok())
              return (*waiting)(room);
            executor.worker(vm).define(
                copied, asked, [&executor, vm, copied, waiting](const absl::Status& defined) {
                  const VmWorker* worker = executor.find(vm);
                  const bool other = absl::IsAlreadyExists(defined) && worker && worker->record();
                  answer_status(*waiting,
                                other ? as_described(*worker->record(), copied) : defined);
                });
          }));
}

void Commands::change(schema::Request::VmRef::Reader vm, schema::Request::Which command,
                      Answer answer) {
  const auto apply = [command](VmWorker& worker, Answer told) {
    if (!worker.spec())
      return told(absl::DataLossError(
          absl::StrCat("the description of ", worker.vm(), " in its lease is damaged")));
    const auto current = worker.spec()->reader();
    const auto wanted = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder builder) {
      copy_spec(current, builder);
      switch (command) {
        case schema::Request::DESTROY_VM:
          builder.setDestroyed(true);
          break;
        case schema::Request::START_VM:
          builder.setRunning(true);
          break;
        case schema::Request::STOP_VM:
          builder.setRunning(false);
          break;
        case schema::Request::PAUSE_VM:
          builder.setPaused(true);
          break;
        case schema::Request::RESUME_VM:
          builder.setPaused(false);
          break;
        default:
          break;
      }
    });
    if (current.getDestroyed() && command != schema::Request::DESTROY_VM)
      return told(absl::FailedPreconditionError(absl::StrCat(worker.vm(), " is being destroyed")));
    if (wanted.bytes() == worker.spec()->bytes()) return answer_done(told);
    auto waiting = shared(std::move(told));
    worker.desire(wanted,
                  [waiting](const absl::Status& desired) { answer_status(*waiting, desired); });
  };
  held(VmName::of(vm).to_string(), std::move(answer), apply);
}

void Commands::migrate(schema::Request::MigrateVm::Reader request, Answer answer) {
  Executor& executor = executor_;
  const std::string target(text(request.getTarget()));
  const std::string reason(text(request.getReason()));
  const bool only_check = request.getDryRun();
  const std::int64_t deadline_ns = request.getDeadlineNs();
  const std::int64_t blackout_ns = request.getBlackoutMaxNs();
  held(VmName::of(request.getVm()).to_string(), std::move(answer),
       [&executor, target, reason, only_check, deadline_ns, blackout_ns](VmWorker& worker,
                                                                         Answer told) {
         auto& context = executor.shared_.context;
         if (only_check)
           return dry_run(executor, worker, target,
                          deadline_ns > 0 ? absl::Nanoseconds(deadline_ns)
                                          : executor.shared_.options.migration_deadline,
                          std::move(told));
         const VmName name = VmName::of(worker.vm());
         Draft draft = context.draft(name.name, name.tenant);
         auto proposed = draft.payload().initMigrationProposed();
         proposed.setVm(worker.vm());
         // A place has slashes, a node has none.
         if (target.find('/') != std::string::npos)
           proposed.setTargetPlace(target);
         else
           proposed.setTargetNode(target);
         proposed.setReason(reason.empty() ? "asked for by a user" : reason);
         proposed.setDeadlineNs(deadline_ns);
         proposed.setBlackoutMaxNs(blackout_ns);
         proposed.setProposer("user");
         proposed.setSourceNode(context.node());
         if (worker.record()) draft.epoch(worker.record()->epoch);
         const Event event = context.publish(std::move(draft));
         if (!event)
           return told(absl::UnavailableError(absl::StrCat("the event log of ", context.node(),
                                                           " takes nothing: look at its disk")));
         told(Message<schema::Response>::build([&](schema::Response::Builder response) {
           auto accepted = response.initAccepted();
           event.id().write(accepted.initMigration());
           accepted.setVm(worker.vm());
           accepted.setNode(context.node());
         }));
       });
}

void Commands::dry_run(Executor& executor, VmWorker& worker, const std::string& target,
                       Duration time, Answer answer) {
  ExecutorShared& shared_state = executor.shared_;
  auto waiting = shared(std::move(answer));
  const auto tell = [waiting](const std::vector<Failure>& failures, bool would_rent) {
    (*waiting)(Message<schema::Response>::build([&](schema::Response::Builder response) {
      write_failures(failures, response.initChecks(static_cast<unsigned>(failures.size())));
      response.setWouldRent(would_rent);
    }));
  };
  std::string why;
  const std::string node = executor.proposals_.resolve(worker.vm(), target, "", &why);
  // A place has slashes, a node has none.
  const bool is_place = target.find('/') != std::string::npos;
  if (!node.empty() || !is_place || !worker.spec())
    return executor.proposals_.check(
        worker.vm(), node.empty() ? target : node, time, absl::ZeroDuration(), /*measure=*/true,
        [tell](std::vector<Failure> failures, const std::optional<Way>& way) {
          if (failures.empty() && way) failures.push_back(way_told(*way));
          tell(failures, false);
        },
        waiting->call());
  const std::string cloud = target.substr(0, target.find('/'));
  shared_state.seams.leases.read(
      absl::StrCat("role/provider/", cloud),
      shared_state.context.reply<LeaseRecord>(
          shared_state.options.call_deadline,
          [tell, cloud, why = std::move(why),
           failures = executor.proposals_.check_rented(worker, target, time)](
              const absl::StatusOr<LeaseRecord>& role) mutable {
            if (!role.ok() || !role->session_alive)
              failures.push_back(
                  {"provider",
                   absl::StrCat(why, ", and ",
                                role.ok() || absl::IsNotFound(role.status())
                                    ? absl::StrCat("nobody holds the provider's role of ", cloud)
                                    : absl::StrCat("the provider of ", cloud, " is not known: ",
                                                   std::string(role.status().message())),
                                ", so nothing can be rented there"),
                   "choose a place where a node is, or start a node with that account"});
            tell(failures, true);
          }));
}

void Commands::cancel(schema::Request::CancelMigration::Reader request, Answer answer) {
  Executor& executor = executor_;
  const std::string why(text(request.getWhy()));
  held(VmName::of(request.getVm()).to_string(), std::move(answer),
       [&executor, why](VmWorker& worker, Answer told) {
         const VmName name = VmName::of(worker.vm());
         Draft draft = executor.shared_.context.draft(name.name, name.tenant);
         auto cancelled = draft.payload().initMigrationCancelRequested();
         cancelled.setVm(worker.vm());
         cancelled.setWhy(why);
         if (worker.outgoing()) {
           worker.outgoing()->migration.write(cancelled.initMigration());
           draft.migration(worker.outgoing()->migration);
         }
         executor.shared_.context.publish(std::move(draft));
         if (executor.proposals_.cancel(worker.vm(), "cancelled: " + why)) return answer_done(told);
         auto waiting = shared(std::move(told));
         worker.cancel(why.empty() ? "by a user" : why,
                       [waiting](const absl::Status& ended) { answer_status(*waiting, ended); });
       });
}

void Commands::list(Answer answer) {
  Executor& executor = executor_;
  auto waiting = shared(std::move(answer));
  executor.shared_.seams.leases.list(
      {.prefix = vm_keys, .node = ""},
      executor.shared_.context.reply<std::vector<LeaseRecord>>(
          executor.shared_.options.call_deadline,
          [&executor, waiting](absl::StatusOr<std::vector<LeaseRecord>> records) {
            if (!records.ok()) return (*waiting)(records.status());
            (*waiting)(Message<schema::Response>::build([&](schema::Response::Builder response) {
              auto views = response.initVms(static_cast<unsigned>(records->size()));
              for (unsigned i = 0; i < records->size(); ++i) {
                const LeaseRecord& record = (*records)[i];
                fill_view(views[i], record, executor.find(vm_of_key(record.key)),
                          executor.shared_.nodes.find(record.holder),
                          record.holder == executor.shared_.context.node());
              }
            }));
          }));
}

void Commands::show(schema::Request::VmRef::Reader vm, Answer answer) {
  Executor& executor = executor_;
  held(VmName::of(vm).to_string(), std::move(answer), [&executor](VmWorker& worker, Answer told) {
    told(Message<schema::Response>::build([&](schema::Response::Builder response) {
      fill_view(response.initVms(1)[0], *worker.record(), &worker,
                executor.shared_.nodes.find(worker.record()->holder),
                worker.record()->holder == executor.shared_.context.node());
    }));
  });
}

bool Commands::is_here(schema::Request::DrainNode::Reader request, Answer& answer) const {
  if (text(request.getNode()) == executor_.shared_.context.node()) return true;
  answer(Message<schema::Response>::build(
      [&](schema::Response::Builder response) { response.setRedirect(request.getNode()); }));
  return false;
}

}  // namespace supercloud
