#include "actors/migration/executor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"
#include "actors/migration/commands.h"
#include "core/vm_name.h"
#include "core/vm_spec.h"

namespace supercloud {

namespace {

// Who asks for longer is not to be trusted with it.
constexpr Duration held_max = absl::Seconds(30);
constexpr Duration standby_held_max = absl::Seconds(60);

}  // namespace

std::string vm_of(const Event& event) { return VmName::of(event).to_string(); }

Executor::Executor(Context& context, ExecutorSeams seams, ExecutorOptions options)
    : shared_{.context = context, .seams = seams, .options = std::move(options)},
      proposals_(shared_, [this](const std::string& vm) { return find(vm); }),
      drain_(shared_, proposals_, workers_),
      alive_(std::make_shared<bool>(true)) {
  for (const char* pattern :
       {"migration.proposed.>", "migration.accepted.>", "migration.completed.>",
        "migration.aborted.>", "migration.refused.>", "migration.target_ready.>", "node.draining.>",
        "node.undrained.>", "storage.replica_ready.>", "vm.resumed.>", "node.joined.>",
        "node.left.>", "node.capacity.>", "instance.launched.>", "instance.refused.>",
        "instance.returned.>", "network.switched.>", "spot.interruption_notice.>",
        "instance.revoked.>"})
    context.subscribe(Pattern::of(pattern));
  recover();
}

Executor::~Executor() { *alive_ = false; }

// ---- after a restart: the log first, then the table, then the world ----------------------------------------------------

void Executor::recover() {
  shared_.context.history(
      Pattern::of(">"), [this](const Event& event) { recovered(event); },
      [this](const absl::Status& read) {
        if (!read.ok()) return shared_.context.fail(read);
        for (auto& [vm, found] : recovered_) {
          for (auto& [id, out] : found.outgoing) worker(vm).recover_outgoing(out);
          for (auto& [id, in] : found.incoming) worker(vm).recover_incoming(in);
        }
        recovered_.clear();
        ready_ = true;
        for (const auto& [id, proposal] : std::exchange(unanswered_, {}))
          proposals_.proposed(proposal);
        shared_.seams.hypervisor.watch([this, alive = alive_](const std::string& vm) {
          if (!*alive) return;
          // Not from inside a call of ours: a turn of its own.
          shared_.context.after(absl::ZeroDuration(), [this, vm] {
            if (VmWorker* worker = find(vm)) worker->look();
          });
        });
        look_around();
      });
}

void Executor::recovered(const Event& event) {
  const std::string& node = shared_.context.node();
  const auto payload = event.payload();
  drain_.recovered(event);
  switch (event.type()) {
    case schema::Payload::LEASE_SWAP_REQUESTED: {
      const auto swap = payload.getLeaseSwapRequested();
      if (event.origin() != shared_.context.self().to_string()) break;
      worker(vm_of(event)).recover_asked(swap.getKind(), swap.getEpoch());
      if (swap.getKind() == SwapKind::DEFINE)
        worker(vm_of(event)).recover_define(str(swap.getSession()), str(swap.getSwapId()));
      break;
    }
    case schema::Payload::VM_DEFINED:
      if (event.origin() == shared_.context.self().to_string())
        worker(vm_of(event)).recover_defined();
      break;
    case schema::Payload::VM_RESUMED:
      if (event.origin() == shared_.context.self().to_string())
        worker(vm_of(event)).recover_resumed(event.epoch());
      break;
    case schema::Payload::MIGRATION_PROPOSED:
      if (text(payload.getMigrationProposed().getSourceNode()) == node)
        unanswered_.try_emplace(event.id(), event);
      break;
    case schema::Payload::MIGRATION_REFUSED:
      proposals_.answered(event.migration());
      unanswered_.erase(event.migration());
      if (event.origin() == shared_.context.self().to_string())
        worker(vm_of(event)).recover_end(event.migration());
      break;
    case schema::Payload::MIGRATION_ACCEPTED: {
      const auto accepted = payload.getMigrationAccepted();
      if (text(accepted.getSource()) != node) break;
      proposals_.answered(event.migration());
      unanswered_.erase(event.migration());
      Outgoing out;
      out.migration = event.migration();
      out.target = text(accepted.getTarget());
      out.epoch = event.epoch();
      out.failure = "the source's executor was restarted";
      recovered_[vm_of(event)].outgoing[out.migration] = out;
      break;
    }
    case schema::Payload::MIGRATION_TARGET_READY: {
      if (text(payload.getMigrationTargetReady().getNode()) != node) break;
      Incoming in;
      in.migration = event.migration();
      in.epoch = event.epoch();
      recovered_[vm_of(event)].incoming[in.migration] = in;
      break;
    }
    case schema::Payload::MIGRATION_COMPLETED:
    case schema::Payload::MIGRATION_ABORTED:
    case schema::Payload::MIGRATION_CLEANED: {
      const EventId migration = event.migration();
      if (event.origin() == shared_.context.self().to_string() &&
          event.type() != schema::Payload::MIGRATION_CLEANED) {
        worker(vm_of(event)).recover_dropped(migration);
        worker(vm_of(event)).recover_end(migration);
        proposals_.answered(migration);
        unanswered_.erase(migration);
      }
      Recovered& found = recovered_[vm_of(event)];
      found.outgoing.erase(migration);
      found.incoming.erase(migration);
      break;
    }
    default:
      shared_.nodes.fold(event);
  }
}

// ---- hints -----------------------------------------------------------------------------------------------------------

void Executor::receive(const Event& event) {
  shared_.nodes.fold(event);
  if (!ready_) return;
  switch (event.type()) {
    case schema::Payload::MIGRATION_PROPOSED:
      proposals_.proposed(event);
      break;
    case schema::Payload::MIGRATION_ACCEPTED:
      if (text(event.payload().getMigrationAccepted().getTarget()) == shared_.context.node())
        worker(vm_of(event)).read_record();
      break;
    case schema::Payload::MIGRATION_TARGET_READY:
      if (VmWorker* worker = find(vm_of(event))) worker->target_ready(event.migration());
      break;
    case schema::Payload::MIGRATION_COMPLETED:
    case schema::Payload::MIGRATION_ABORTED:
      if (VmWorker* worker = find(vm_of(event))) {
        worker->migration_ended(event.migration());
        worker->read_record();
      }
      proposals_.look();
      [[fallthrough]];
    case schema::Payload::MIGRATION_REFUSED:
      drain_.heard(event);
      drain_.look(false);
      break;
    case schema::Payload::STORAGE_REPLICA_READY:
    case schema::Payload::VM_RESUMED:
      if (VmWorker* worker = find(vm_of(event));
          worker && text(event.reader().getId().getOrigin()) != shared_.context.self().to_string())
        worker->read_record();
      break;
    case schema::Payload::NETWORK_SWITCHED:
      if (VmWorker* worker = find(vm_of(event));
          worker && text(event.payload().getNetworkSwitched().getBy()) == shared_.context.node())
        worker->look();
      break;
    case schema::Payload::INSTANCE_REFUSED:
      proposals_.instance_refused(event);
      break;
    case schema::Payload::SPOT_INTERRUPTION_NOTICE:
      noticed(event);
      break;
    case schema::Payload::NODE_JOINED:
    case schema::Payload::NODE_CAPACITY:
      drain_.heard(event);
      proposals_.look();
      break;
    default:
      break;
  }
}

// The cloud takes this node's machine. Policies see to what stays yet; what is on its way has to be done in time.
void Executor::noticed(const Event& event) {
  const auto notice = event.payload().getSpotInterruptionNotice();
  const NodeFacts* here = shared_.nodes.find(shared_.context.node());
  const bool ours = text(notice.getNode()) == shared_.context.node() ||
                    (here != nullptr && here->instance == text(notice.getInstance()));
  if (!ours) return;
  shared_.seams.hypervisor.drop_standbys();
  const Duration age = std::max(absl::ZeroDuration(), shared_.context.wall() - event.time().wall());
  const Instant deadline = shared_.context.now() + absl::Nanoseconds(notice.getNoticeNs()) - age;
  for (const auto& [vm, worker] : workers_)
    worker->hurry(deadline, absl::StrCat("the cloud takes ", shared_.context.node()));
}

// The level: every so often all that this node could have to do with is looked at, whatever the hints said.
void Executor::look_around() {
  shared_.context.after(shared_.options.look_interval, [this] { look_around(); });
  proposals_.look();
  std::set<std::string> here;
  for (const GuestStatus& guest : shared_.seams.hypervisor.list()) here.insert(guest.vm);
  for (const VolumeStatus& volume : shared_.seams.volumes.list()) here.insert(volume.vm);
  for (const auto& [vm, worker] : workers_) here.insert(vm);
  shared_.seams.leases.list(
      {.prefix = vm_keys, .node = shared_.context.node()},
      shared_.context.reply<std::vector<LeaseRecord>>(
          shared_.options.call_deadline, [this, here, asked = shared_.context.now()](
                                             absl::StatusOr<std::vector<LeaseRecord>> listed) {
            std::set<std::string> unlisted = here;
            if (listed.ok()) {
              for (LeaseRecord& record : *listed) {
                const std::string vm = vm_of_key(record.key);
                unlisted.erase(vm);
                worker(vm).record_read(std::move(record), asked);
              }
            }
            for (const std::string& vm : unlisted) {
              if (listed.ok())
                worker(vm).read_record();
              else
                worker(vm).look();
            }
            proposals_.look();
            sweep();
            drain_.look(listed.ok());
          }));
}

VmWorker& Executor::worker(const std::string& vm) {
  auto& entry = workers_[vm];
  if (!entry || entry->forgotten()) entry = std::make_unique<VmWorker>(shared_, vm);
  return *entry;
}

VmWorker* Executor::find(const std::string& vm) {
  const auto found = workers_.find(vm);
  return found == workers_.end() || found->second->forgotten() ? nullptr : found->second.get();
}

void Executor::sweep() {
  std::erase_if(workers_, [](const auto& entry) {
    return entry.second->forgotten() || entry.second->bystander();
  });
}

// ---- requests --------------------------------------------------------------------------------------------------------

namespace {

// Whose name is none a VM can have leaves no worker behind.
absl::Status named(const VmName& vm) {
  return validate_topic(
      absl::StrCat("vm.named.", encode_token(vm.tenant), ".", encode_token(vm.name)));
}

}  // namespace

void Executor::serve(Message<schema::Request> request, Answer answer) {
  if (!ready_) return answer(absl::UnavailableError("the executor is reading its log: try again"));
  const auto reader = request.reader();
  switch (reader.which()) {
    case schema::Request::PREPARE_INCOMING:
      return prepare_incoming(reader.getPrepareIncoming(), std::move(answer));
    case schema::Request::SWITCH_OVER: {
      const VmName vm = VmName::of(reader.getSwitchOver().getVm());
      if (const absl::Status good = named(vm); !good.ok()) return answer(good);
      return worker(vm.to_string()).switch_over(reader.getSwitchOver(), std::move(answer));
    }
    default:
      Commands(*this).serve(request, std::move(answer));
  }
}

void Executor::prepare_incoming(schema::Request::PrepareIncoming::Reader request, Answer answer) {
  const auto spec = request.getVm();
  if (const absl::Status good = named(VmName::of(spec)); !good.ok()) return answer(good);
  const std::string vm = VmName::of(spec).to_string();
  if (!request.getCheckOnly() && EventId::from(request.getMigration()).empty())
    return keep_standby(request, std::move(answer));
  if (request.getCheckOnly()) {
    const std::vector<Failure> failures = check_incoming(request);
    return answer(Message<schema::Response>::build([&](schema::Response::Builder response) {
      write_failures(failures, response.initChecks(static_cast<unsigned>(failures.size())));
    }));
  }
  VmWorker& target = worker(vm);
  const EventId migration = EventId::from(request.getMigration());
  if (target.dropped() == migration)
    return answer(absl::FailedPreconditionError("the target has given this migration up"));
  const bool begun = target.incoming() && target.incoming()->migration == migration;
  if (drain_.ordered() && !begun)
    return answer(absl::FailedPreconditionError(shared_.context.node() + " is being drained"));
  target.expect(migration, shared_.context.now() + absl::Nanoseconds(std::max<std::int64_t>(
                                                       request.getDeadlineNs(), 0)));
  if (!target.incoming() || target.incoming()->migration != migration) target.read_record();
  const bool ready =
      target.incoming() && target.incoming()->migration == migration &&
      target.incoming()->prepared && target.incoming()->failure.empty() &&
      shared_.seams.session.deadline() - shared_.context.now() > shared_.options.blackout_deadline;
  if (!ready) return answer(absl::UnavailableError("not prepared yet"));
  answer(Message<schema::Response>::build([](auto response) { response.setDone(); }));
}

std::vector<Failure> Executor::failures_here(schema::VmSpec::Reader spec) {
  const std::string vm = VmName::of(spec).to_string();
  ExecutorSeams& seams = shared_.seams;
  bool volume_here = false;
  for (const VolumeStatus& volume : seams.volumes.list()) {
    volume_here = volume_here || volume.vm == vm;
    held_room_.disk_came(volume.vm);
  }
  for (const GuestStatus& guest : seams.hypervisor.list()) held_room_.memory_came(guest.vm);
  const HeldRoom::Room held = held_room_.for_others(vm, shared_.context.now());
  const auto left = [](std::uint64_t free, std::uint64_t taken) {
    return free - std::min(free, taken);
  };
  const VmWorker* known = find(vm);
  const std::uint64_t memory =
      seams.hypervisor.memory_free_bytes() + seams.hypervisor.standby_bytes(vm);
  return preflight_there(spec,
                         {.facts = shared_.nodes.find(shared_.context.node()),
                          .made = seams.hypervisor.check(spec),
                          .memory_free_bytes = left(memory, held.memory_bytes),
                          .disk_free_bytes = left(seams.volumes.bytes_free(), held.disk_bytes),
                          .volume_here = volume_here,
                          .copy_here = known != nullptr && known->copy().has_value(),
                          .session_valid = seams.session.current().has_value(),
                          .draining = drain_.ordered(),
                          .owners = seams.fabric.owners()});
}

std::vector<Failure> Executor::check_incoming(schema::Request::PrepareIncoming::Reader request) {
  const auto spec = request.getVm();
  const std::string vm = VmName::of(spec).to_string();
  auto failures = failures_here(spec);
  held_room_.drop(vm);
  if (!failures.empty() || request.getHoldNs() <= 0) return failures;
  held_room_.hold(
      vm, {spec.getMemoryBytes(), spec.getDiskBytes()},
      shared_.context.now() + std::min(absl::Nanoseconds(request.getHoldNs()), held_max));
  for (const VolumeStatus& volume : shared_.seams.volumes.list()) held_room_.disk_came(volume.vm);
  // Which holds it itself.
  if (shared_.seams.hypervisor.standby_bytes(vm) > 0) held_room_.memory_came(vm);
  return failures;
}

void Executor::keep_standby(schema::Request::PrepareIncoming::Reader request, Answer answer) {
  Hypervisor& hypervisor = shared_.seams.hypervisor;
  const auto reply = [&](Answer to) {
    return shared_.context.reply<Done>(
        shared_.options.make_deadline,
        [told = shared(std::move(to))](const absl::StatusOr<Done>& done) {
          answer_status(*told, done.status());
        });
  };
  if (request.getHoldNs() <= 0) {
    const std::string vm = VmName::of(request.getVm()).to_string();
    if (hypervisor.standby_bytes(vm) == 0) return answer_done(answer);
    return hypervisor.destroy(vm, reply(std::move(answer)));
  }
  auto failures = failures_here(request.getVm());
  const NodeFacts* here = shared_.nodes.find(shared_.context.node());
  if (failures.empty() && here != nullptr && here->goes())
    failures.push_back({"target", here->name + " has to be left", "name another node"});
  if (!failures.empty())
    return answer(absl::FailedPreconditionError(
        absl::StrCat("no target is kept ready at ", shared_.context.node(), ": ",
                     failures.front().detail, "; ", failures.front().cure)));
  hypervisor.keep_standby(
      Message<schema::VmSpec>::build(
          [&](schema::VmSpec::Builder spec) { copy_spec(request.getVm(), spec); }),
      shared_.context.now() + std::min(absl::Nanoseconds(request.getHoldNs()), standby_held_max),
      reply(std::move(answer)));
}

}  // namespace supercloud
