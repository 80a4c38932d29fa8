#include "actors/network/manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

const AddressOwner* find_address(const std::vector<AddressOwner>& owners,
                                 const std::string& address) {
  for (const AddressOwner& owner : owners) {
    if (owner.address == address) return &owner;
  }
  return nullptr;
}

}  // namespace

NetworkManager::NetworkManager(Context& context, Fabric& fabric, LeaseTable& leases,
                               NetworkManagerOptions options)
    : context_(context), fabric_(fabric), leases_(leases), options_(options) {
  for (const char* pattern :
       {"migration.accepted.>", "vm.defined.>", "vm.paused.>", "vm.resumed.>", "vm.started.>",
        "vm.destroyed.>", "node.joined.>", "node.capacity.>", "lease.swap_requested.>"}) {
    context_.subscribe(Pattern::of(pattern));
  }
  context_.history(
      Pattern::of("node.joined.>"), [this](const Event& event) { handle(event); },
      [this](const absl::Status&) { read_table(); });  // endpoints come with the next join, too
}

void NetworkManager::receive(const Event& event) {
  if (ready_) return handle(event);
  // A fabric that may have rebooted is taught by the table first (rule 11).
  if (waiting_.size() >= options_.waiting_max) waiting_.pop_front();
  waiting_.push_back(event);
}

void NetworkManager::handle(const Event& event) {
  switch (event.type()) {
    case schema::Payload::MIGRATION_ACCEPTED:
      return on_accepted(event);
    case schema::Payload::VM_RESUMED:
      return on_running(event, std::string(text(event.payload().getVmResumed().getNode())));
    case schema::Payload::VM_STARTED:
      return on_running(event, std::string(text(event.payload().getVmStarted().getNode())));
    case schema::Payload::VM_DESTROYED:
      return on_destroyed(event);
    case schema::Payload::VM_DEFINED: {
      const auto defined = event.payload().getVmDefined();
      if (text(defined.getNode()) != context_.node()) return;
      return prepare(VmName::of(event).to_string(),
                     std::string(text(defined.getSpec().getAddress())), event.epoch(), EventId{});
    }
    case schema::Payload::LEASE_SWAP_REQUESTED:
      return on_swap_requested(event);
    case schema::Payload::VM_PAUSED: {
      Pause& pause = pauses_[VmName::of(event).to_string()];
      if (event.epoch() >= pause.epoch) pause = {event.epoch(), event.time().wall()};
      return;
    }
    case schema::Payload::NODE_JOINED:
      return on_joined(event.payload().getNodeJoined());
    case schema::Payload::NODE_CAPACITY:
      // Nodes that were here before a new one may have missed its node.joined.
      return on_joined(event.payload().getNodeCapacity().getJoined());
    default:
      return;
  }
}

void NetworkManager::on_joined(schema::NodeJoined::Reader joined) {
  const std::string node(text(joined.getNode()));
  const std::string endpoint(text(joined.getDataEndpoint()));
  if (node.empty() || endpoint.empty() || endpoints_[node] == endpoint) return;
  endpoints_[node] = endpoint;
  if (!ready_) return;
  for (AddressOwner owner : fabric_.owners()) {
    if (owner.node != node || owner.endpoint == endpoint) continue;
    owner.endpoint = endpoint;
    fabric_.learn(owner);
  }
}

// ---- the table ----------------------------------------------------------------------------------

void NetworkManager::read_table() {
  // What is learned from events while the table is being read is newer than its answer.
  leases_.list({.prefix = vm_keys, .node = {}},
               context_.reply<Records>(
                   options_.call_deadline,
                   [this, before = fabric_.owners()](absl::StatusOr<Records> records) {
                     if (records.ok()) reconcile(*records, before);
                     context_.after(ready_ ? options_.reconcile_interval : options_.retry_interval,
                                    [this] { read_table(); });
                   }));
}

void NetworkManager::reconcile(const Records& records,
                               const std::vector<AddressOwner>& known_before) {
  std::set<std::string> exist;
  for (const LeaseRecord& record : records) {
    const std::string vm = vm_of_key(record.key);
    exist.insert(vm);
    const auto spec = Message<schema::VmSpec>::parse(record.value);
    if (spec.ok()) reconcile_vm(record, vm, spec->reader(), known_before);
  }
  for (const AddressOwner& owner : known_before) {
    if (exist.contains(owner.vm)) continue;
    fabric_.forget(owner.address, owner.epoch);
    if (!fabric_.port(owner.vm).has_value()) remove_port(owner.vm);
  }
  const auto gone = [&](const std::string& vm) { return !exist.contains(vm); };
  std::erase_if(removed_, gone);
  std::erase_if(prepared_, gone);
  std::erase_if(absent_, gone);
  const auto of_gone = [&](const auto& each) { return !exist.contains(each.first); };
  std::erase_if(announced_, of_gone);
  std::erase_if(pauses_, of_gone);
  std::erase_if(measured_, of_gone);
  if (ready_) return;
  ready_ = true;
  std::deque<Event> waiting;
  waiting.swap(waiting_);
  for (const Event& event : waiting) handle(event);
}

void NetworkManager::reconcile_vm(const LeaseRecord& record, const std::string& vm,
                                  schema::VmSpec::Reader spec,
                                  const std::vector<AddressOwner>& known_before) {
  AddressOwner owner;
  owner.address = text(spec.getAddress());
  owner.vm = vm;
  owner.node = record.holder;
  owner.endpoint = endpoints_[record.holder];
  owner.epoch = record.epoch;
  if (owner.address.empty()) return;

  // What the fabric believed before the table was asked, and the table contradicts, came from an
  // event that was wrong, or from an earlier VM of this name or address.
  const AddressOwner* known = find_address(known_before, owner.address);
  const bool wrong =
      known != nullptr && (known->vm != vm || known->epoch > record.epoch ||
                           (known->epoch == record.epoch && known->node != record.holder));
  if (wrong) fabric_.forget(known->address, known->epoch);
  for (const AddressOwner& other : known_before) {
    if (other.vm == vm && other.address != owner.address) {
      fabric_.forget(other.address, other.epoch);
    }
  }
  // The first that is heard of a VM is no switch: a manager that starts would tell of every VM
  // there is.
  const std::vector<AddressOwner> known_now = fabric_.owners();
  if (find_address(known_now, owner.address) == nullptr) {
    fabric_.learn(owner);
  } else {
    learn(owner, EventId{});
  }

  const std::string& self = context_.node();
  const bool heir_here = record.heir.has_value() && record.heir->node == self;
  const auto& in_sync = record.in_sync;
  const bool may_take_over = std::find(in_sync.begin(), in_sync.end(), self) != in_sync.end();
  if (record.holder == self || heir_here || may_take_over) absent_.erase(vm);
  if (record.holder == self || (may_take_over && !heir_here)) {
    prepare(vm, owner.address, record.epoch, EventId{});
  } else if (heir_here) {
    prepare(vm, owner.address, record.epoch, record.heir->migration);
  } else if (!fabric_.port(vm).has_value()) {
    not_ours(vm);
  }
}

void NetworkManager::not_ours(const std::string& vm) {
  // An answer of the table may be older than a port that was just made for a move to here: only the
  // second one counts.
  if (absent_.insert(vm).second) return;
  remove_port(vm);
}

// ---- events -------------------------------------------------------------------------------------

void NetworkManager::on_accepted(const Event& event) {
  if (text(event.payload().getMigrationAccepted().getTarget()) != context_.node()) return;
  const std::string vm = VmName::of(event).to_string();
  const EventId migration = event.migration();
  leases_.read(
      key_of_vm(vm),
      context_.reply<LeaseRecord>(
          options_.call_deadline, [this, vm, migration](const absl::StatusOr<LeaseRecord>& record) {
            // Without an answer the next look at the table finds the heir.
            if (!record.ok() || !record->heir.has_value() ||
                record->heir->node != context_.node() || record->heir->migration != migration) {
              return;
            }
            const auto spec = Message<schema::VmSpec>::parse(record->value);
            if (!spec.ok()) return;
            const std::string address(text(spec->reader().getAddress()));
            prepare(vm, address, record->epoch, migration);
          }));
}

// This node is about to take a VM over: its port should be ready when it has.
void NetworkManager::on_swap_requested(const Event& event) {
  if (event.payload().getLeaseSwapRequested().getKind() != SwapKind::TAKEOVER) return;
  if (!absl::StartsWith(std::string(event.origin()), absl::StrCat(context_.node(), "/"))) return;
  const std::string vm = VmName::of(event).to_string();
  leases_.read(key_of_vm(vm),
               context_.reply<LeaseRecord>(
                   options_.call_deadline, [this, vm](const absl::StatusOr<LeaseRecord>& record) {
                     if (!record.ok()) return;
                     const auto spec = Message<schema::VmSpec>::parse(record->value);
                     if (!spec.ok()) return;
                     absent_.erase(vm);
                     prepare(vm, std::string(text(spec->reader().getAddress())), record->epoch,
                             EventId{});
                   }));
}

void NetworkManager::on_running(const Event& event, const std::string& node) {
  const std::string vm = VmName::of(event).to_string();
  const Epoch epoch = event.epoch();
  const EventId migration = event.migration();
  AddressOwner owner;
  owner.vm = vm;
  owner.node = node;
  owner.endpoint = endpoints_[node];
  owner.epoch = epoch;
  if (event.type() == schema::Payload::VM_RESUMED) {
    owner.address = text(event.payload().getVmResumed().getAddress());
  }
  if (owner.address.empty()) {
    if (const auto known = owner_of(vm); known.has_value()) owner.address = known->address;
  }
  if (!owner.address.empty()) {
    learn(owner, migration);
  } else {
    leases_.read(key_of_vm(vm),
                 context_.reply<LeaseRecord>(
                     options_.call_deadline,
                     [this, owner, migration](const absl::StatusOr<LeaseRecord>& record) mutable {
                       if (!record.ok() || record->epoch != owner.epoch) return;
                       const auto spec = Message<schema::VmSpec>::parse(record->value);
                       if (!spec.ok()) return;
                       owner.address = text(spec->reader().getAddress());
                       if (!owner.address.empty()) learn(owner, migration);
                     }));
  }
  if (node != context_.node()) return;
  Epoch& measured = measured_[vm];
  if (measured >= epoch) return;
  measured = epoch;
  measure_blackout(vm, epoch, migration, context_.now() + options_.blackout_wait,
                   options_.blackout_poll);
}

void NetworkManager::on_destroyed(const Event& event) {
  const std::string vm = VmName::of(event).to_string();
  for (const AddressOwner& owner : fabric_.owners()) {
    // A VM of the same name that was defined since has a higher epoch: only what is not newer goes.
    if (owner.vm == vm && owner.epoch <= event.epoch()) fabric_.forget(owner.address, owner.epoch);
  }
  if (!fabric_.port(vm).has_value()) remove_port(vm);
  announced_.erase(vm);
  pauses_.erase(vm);
  measured_.erase(vm);
}

// ---- the fabric ---------------------------------------------------------------------------------

void NetworkManager::prepare(const std::string& vm, const std::string& address, Epoch epoch,
                             const EventId& migration) {
  const auto said = announced_.find(vm);
  const bool silent = migration.empty() || (said != announced_.end() && said->second == migration);
  if (silent && prepared_.contains(vm)) return;
  if (!preparing_.insert(vm).second) return;
  fabric_.prepare(
      vm, address,
      context_.reply<Done>(options_.call_deadline,
                           [this, vm, epoch, migration, silent](const absl::StatusOr<Done>& done) {
                             preparing_.erase(vm);
                             if (!done.ok()) return;  // tried again at the next look at the table
                             prepared_.insert(vm);
                             removed_.erase(vm);
                             if (silent) return;
                             announced_[vm] = migration;
                             const VmName name = VmName::of(vm);
                             Draft draft = context_.draft(name.name, name.tenant);
                             draft.payload().initNetworkPathReady().setNode(context_.node());
                             draft.epoch(epoch);
                             draft.migration(migration);
                             context_.publish(std::move(draft));
                           }));
}

void NetworkManager::remove_port(const std::string& vm) {
  if (preparing_.contains(vm) || !removed_.insert(vm).second) return;
  prepared_.erase(vm);
  fabric_.remove(vm, context_.reply<Done>(options_.call_deadline,
                                          [this, vm](const absl::StatusOr<Done>& done) {
                                            if (!done.ok()) removed_.erase(vm);
                                          }));
}

void NetworkManager::learn(AddressOwner owner, const EventId& migration) {
  const std::vector<AddressOwner> owners = fabric_.owners();
  const AddressOwner* before = find_address(owners, owner.address);
  if (owner.endpoint.empty() && before != nullptr && before->node == owner.node) {
    owner.endpoint = before->endpoint;
  }
  const bool new_owner = before == nullptr || before->node != owner.node || before->vm != owner.vm;
  if (before != nullptr && *before == owner) return;
  if (!fabric_.learn(owner) || !new_owner) return;
  const VmName name = VmName::of(owner.vm);
  Draft draft = context_.draft(name.name, name.tenant);
  auto switched = draft.payload().initNetworkSwitched();
  switched.setNode(owner.node);
  switched.setAddress(owner.address);
  switched.setBy(context_.node());
  draft.epoch(owner.epoch);
  if (!migration.empty()) draft.migration(migration);
  context_.publish(std::move(draft));
}

void NetworkManager::measure_blackout(const std::string& vm, Epoch epoch, const EventId& migration,
                                      Instant until, Duration poll) {
  const auto traffic = fabric_.traffic(vm, epoch);
  if (!traffic.has_value()) {
    if (context_.now() >= until || fabric_.port(vm) > epoch) return;
    // The first frame is due at once; a guest that stays silent is looked for ever more rarely.
    const Duration next = std::min(poll + poll / 16, absl::Milliseconds(200));
    context_.after(poll, [this, vm, epoch, migration, until, next] {
      measure_blackout(vm, epoch, migration, until, next);
    });
    return;
  }
  std::optional<Duration> silent = fabric_.blackout(vm, epoch);
  if (!silent.has_value()) {
    // The guest came from another node: from the source's word of the pause to the first frame
    // here, by both nodes' wall clocks, and so only as exact as they agree.
    const auto pause = pauses_.find(vm);
    if (pause == pauses_.end() || pause->second.epoch >= epoch) return;
    const absl::Time first = context_.wall() - (context_.now() - traffic->first);
    silent = std::max(first - pause->second.at, absl::ZeroDuration());
  }
  const VmName name = VmName::of(vm);
  Draft draft = context_.draft(name.name, name.tenant);
  auto measured = draft.payload().initNetworkBlackoutMeasured();
  measured.setNode(context_.node());
  measured.setMilliseconds(absl::ToDoubleMilliseconds(*silent));
  draft.epoch(epoch);
  if (!migration.empty()) draft.migration(migration);
  context_.publish(std::move(draft));
}

std::optional<AddressOwner> NetworkManager::owner_of(const std::string& vm) const {
  for (const AddressOwner& owner : fabric_.owners()) {
    if (owner.vm == vm) return owner;
  }
  return std::nullopt;
}

}  // namespace supercloud
