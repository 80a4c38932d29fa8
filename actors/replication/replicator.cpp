#include "actors/replication/replicator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"
#include "core/vm_name.h"
#include "nlohmann/json.hpp"

namespace supercloud {
namespace {

using Role = VolumeStatus::Role;

const char* to_string(Role role) {
  switch (role) {
    case Role::replica:
      return "replica";
    case Role::serving:
      return "serving";
    case Role::sealed:
      return "sealed";
  }
  return "unknown";
}

nlohmann::json describe(const VolumeStatus& volume, const std::vector<ReplicaStatus>& replicas) {
  nlohmann::json json{
      {"vm", volume.vm},
      {"role", to_string(volume.role)},
      {"epoch", volume.epoch},
      {"closed", volume.closed},
      {"version", volume.version},
      {"version_stable", volume.version_stable},
      {"version_flushed", volume.version_flushed},
      {"digest", volume.digest},
      {"bytes", volume.bytes},
      {"complete", volume.complete},
      {"crashed", volume.crashed},
      {"streaming", volume.streaming},
      {"flushes_waiting", volume.flushes_waiting},
      {"replicas", nlohmann::json::array()},
  };
  for (const ReplicaStatus& replica : replicas) {
    json["replicas"].push_back({
        {"node", replica.node},
        {"connected", replica.connected},
        {"caught_up", replica.caught_up},
        {"version_received", replica.version_received},
        {"version_stable", replica.version_stable},
        {"lag_bytes", replica.lag_bytes},
        {"lag_ms", absl::ToInt64Milliseconds(replica.lag)},
        {"error", replica.error},
    });
  }
  return json;
}

}  // namespace

Replicator::Replicator(Context& context, ReplicatorSeams seams, ReplicatorOptions options)
    : context_(context), seams_(seams), options_(options), alive_(std::make_shared<bool>(true)) {
  for (const char* pattern :
       {"vm.defined.>", "vm.started.>", "vm.resumed.>", "vm.released.>", "vm.destroyed.>",
        "migration.accepted.>", "node.joined.>", "node.left.>", "node.capacity.>",
        "instance.launched.>", "instance.returned.>", "instance.revoked.>",
        "spot.interruption_notice.>"}) {
    context_.subscribe(Pattern::of(pattern));
  }
  seams_.volumes.watch([this, alive = std::weak_ptr<bool>(alive_)](const std::string&) {
    if (alive.lock() == nullptr) return;
    context_.after(absl::ZeroDuration(), [this] { look(); });
  });
  recover();
}

Replicator::~Replicator() = default;

// ---- recovery: what has been said already, and which nodes there are -----------------------------------------------

void Replicator::recover() {
  context_.history(
      Pattern::of(">"), [this](const Event& event) { recovered(event); },
      [this](absl::Status read) {
        // Without a log it goes on all the same: what it says twice, everyone takes once.
        static_cast<void>(read);
        recovered_ = true;
        start();
      });
}

void Replicator::recovered(const Event& event) {
  const auto said = [&](std::string_view node, const std::string& migration = {}) {
    return Said{VmName::of(event).to_string(), event.epoch(), std::string(node), migration};
  };
  switch (event.type()) {
    case schema::Payload::STORAGE_SEALED:
      if (text(event.payload().getStorageSealed().getNode()) == context_.node())
        sealed_.insert(said(context_.node()));
      break;
    case schema::Payload::STORAGE_VERIFIED:
      if (text(event.payload().getStorageVerified().getNode()) == context_.node())
        verified_.insert(said(context_.node()));
      break;
    case schema::Payload::STORAGE_REPLICA_READY: {
      const EventId migration = event.migration();
      if (event.origin() == context_.self().to_string()) {
        ready_.insert(said(text(event.payload().getStorageReplicaReady().getNode()),
                           migration.empty() ? std::string() : migration.to_string()));
      }
      break;
    }
    default:
      nodes_.fold(event);
  }
}

void Replicator::start() { tick(); }

void Replicator::tick() {
  look();
  say_lags();
  context_.after(options_.interval, [this] { tick(); });
}

void Replicator::receive(const Event& event) {
  nodes_.fold(event);
  if (event.type() != schema::Payload::NODE_CAPACITY) look();
}

// ---- looking --------------------------------------------------------------------------------------------------------

void Replicator::look() {
  if (!recovered_) return;
  if (looking_) {
    look_again_ = true;
    return;
  }
  looking_ = true;
  look_again_ = false;
  // The blackout's facts do not wait for the table.
  for (const VolumeStatus& volume : seams_.volumes.list()) say_states(volume);
  looked_ = true;
  seams_.leases.list(
      {vm_keys, context_.node()},
      context_.reply<std::vector<LeaseRecord>>(
          options_.call_deadline, [this](absl::StatusOr<std::vector<LeaseRecord>> records) {
            looking_ = false;
            // Without the table everything goes on as it is.
            if (records.ok()) consider(*std::move(records));
            if (look_again_) look();
          }));
}

void Replicator::consider(std::vector<LeaseRecord> records) {
  records_.clear();
  for (LeaseRecord& record : records) {
    const std::string vm = vm_of_key(record.key);
    if (record.heir) migrations_[vm] = record.heir->migration;
    records_.emplace(vm, std::move(record));
  }
  std::set<std::string> here;
  for (const VolumeStatus& volume : seams_.volumes.list()) {
    here.insert(volume.vm);
    const auto record = records_.find(volume.vm);
    const bool named = record != records_.end();
    const bool holder = named && record->second.holder == context_.node();
    // After the commit a sealed source is still named, but feeds nobody: the new holder feeds it.
    if (holder && volume.role != Role::replica && volume.epoch == record->second.epoch) {
      feed(volume, record->second);
    } else if (!holder) {
      rest(volume.vm);
    }
    if (named || volume.streaming) {
      unneeded_since_.erase(volume.vm);
    } else {
      doubt(volume);
    }
  }
  std::erase_if(unneeded_since_, [&](const auto& each) { return !here.contains(each.first); });
  std::erase_if(down_since_, [&](const auto& each) { return !here.contains(each.first); });
  std::erase_if(migrations_, [&](const auto& each) {
    return !here.contains(each.first) && !records_.contains(each.first);
  });
  // A VM of which nothing is left needs no memory of what was said; the log has it.
  for (std::set<Said>* said : {&sealed_, &verified_, &ready_}) {
    std::erase_if(*said, [&](const Said& each) {
      return !here.contains(each.vm) && !records_.contains(each.vm);
    });
  }
}

void Replicator::feed(const VolumeStatus& volume, const LeaseRecord& record) {
  auto spec = Message<schema::VmSpec>::parse(record.value);
  if (!spec.ok()) return;  // nothing is known of what it wants; the others' disks are not to suffer
  std::map<std::string, Instant>& down = down_since_[volume.vm];
  std::map<std::string, CopyFacts> copies;
  for (const ReplicaStatus& replica : seams_.volumes.replicas(volume.vm)) {
    if (replica.connected) {
      down.erase(replica.node);
    } else {
      down.emplace(replica.node, context_.now());
    }
    const auto since = down.find(replica.node);
    copies[replica.node] = {
        replica.caught_up,
        since != down.end() && context_.now() - since->second > options_.down_after};
  }
  const Placement placement = place_replicas(record, spec->reader(), nodes_, copies);
  for (const auto& [node, facts] : copies) {
    if (std::binary_search(placement.nodes.begin(), placement.nodes.end(), node)) continue;
    seams_.volumes.stop_replicating(volume.vm, node);
    down.erase(node);
  }
  for (const std::string& node : placement.nodes) {
    const NodeFacts* facts = nodes_.find(node);
    if (facts != nullptr && !facts->endpoint.empty())
      seams_.volumes.replicate(volume.vm, node, facts->endpoint);
  }
  say_ready(record, placement.heir);
}

void Replicator::rest(const std::string& vm) {
  for (const ReplicaStatus& replica : seams_.volumes.replicas(vm))
    seams_.volumes.stop_replicating(vm, replica.node);
}

// ---- telling --------------------------------------------------------------------------------------------------------

Draft Replicator::draft(const std::string& vm, Epoch epoch, const EventId* migration) {
  const VmName name = VmName::of(vm);
  Draft draft = context_.draft(name.name, name.tenant);
  draft.epoch(epoch);
  if (migration != nullptr && !migration->empty()) draft.migration(*migration);
  return draft;
}

void Replicator::say_lags() {
  for (const VolumeStatus& volume : seams_.volumes.list()) {
    for (const ReplicaStatus& replica : seams_.volumes.replicas(volume.vm)) {
      Draft event = draft(volume.vm, volume.epoch, nullptr);
      auto lag = event.payload().initStorageReplicaLag();
      lag.setNode(replica.node);
      lag.setBytes(replica.lag_bytes);
      lag.setLagMs(static_cast<std::uint64_t>(absl::ToInt64Milliseconds(replica.lag)));
      context_.publish(std::move(event));
    }
  }
}

void Replicator::say_states(const VolumeStatus& volume) {
  const auto known = migrations_.find(volume.vm);
  const EventId* migration = known == migrations_.end() ? nullptr : &known->second;
  if (volume.role == Role::sealed && volume.version_stable == volume.version && !volume.crashed &&
      sealed_.insert({volume.vm, volume.epoch, context_.node(), {}}).second) {
    Draft event = draft(volume.vm, volume.epoch, migration);
    if (!looked_) event.reconstructed();
    auto sealed = event.payload().initStorageSealed();
    sealed.setNode(context_.node());
    sealed.setVersion(volume.version);
    sealed.setDigest(volume.digest);
    context_.publish(std::move(event));
  }
  if (volume.role == Role::replica && volume.closed > 0 && volume.closed == volume.epoch &&
      volume.version_stable == volume.version &&
      verified_.insert({volume.vm, volume.closed, context_.node(), {}}).second) {
    Draft event = draft(volume.vm, volume.closed, migration);
    if (!looked_) event.reconstructed();
    auto verified = event.payload().initStorageVerified();
    verified.setNode(context_.node());
    verified.setVersion(volume.version);
    verified.setDigest(volume.digest);
    context_.publish(std::move(event));
  }
}

// Once per epoch and node; of an heir also once per migration. Said again when a replica fell out and has caught up anew.
void Replicator::say_ready(const LeaseRecord& record, const std::string& heir) {
  const std::string vm = vm_of_key(record.key);
  for (const ReplicaStatus& replica : seams_.volumes.replicas(vm)) {
    const bool is_heir = replica.node == heir;
    Said said{vm, record.epoch, replica.node,
              is_heir ? record.heir->migration.to_string() : std::string()};
    if (!replica.caught_up) {
      const auto down = down_since_[vm].find(replica.node);
      if (down != down_since_[vm].end() && context_.now() - down->second > options_.down_after)
        ready_.erase(said);
      continue;
    }
    if (!ready_.insert(std::move(said)).second) continue;
    Draft event = draft(vm, record.epoch, is_heir ? &record.heir->migration : nullptr);
    auto ready = event.payload().initStorageReplicaReady();
    ready.setNode(replica.node);
    ready.setVersion(replica.version_stable);
    context_.publish(std::move(event));
  }
}

// ---- copies that nobody names ---------------------------------------------------------------------------------------

void Replicator::doubt(const VolumeStatus& volume) {
  const Instant since = unneeded_since_.emplace(volume.vm, context_.now()).first->second;
  if (context_.now() - since >= options_.grace && !asking_.contains(volume.vm))
    ask_table(volume.vm);
}

void Replicator::ask_table(const std::string& vm) {
  asking_.insert(vm);
  seams_.leases.read(key_of_vm(vm),
                     context_.reply<LeaseRecord>(
                         options_.call_deadline, [this, vm](absl::StatusOr<LeaseRecord> record) {
                           // Of a VM that is gone the executor takes the disk away: it knows whether one of that name
                           // is being made here.
                           if (!record.ok() || record->holder == context_.node()) {
                             asking_.erase(vm);
                             return;
                           }
                           ask_holder(*record);
                         }));
}

// It may be the last good copy (rule 12): it goes when the holder, at the record's epoch, has as many others caught up as the VM
// asks for, and does not count on this one.
void Replicator::ask_holder(const LeaseRecord& record) {
  const std::string vm = vm_of_key(record.key);
  auto spec = Message<schema::VmSpec>::parse(record.value);
  const std::uint64_t declared = spec.ok() ? spec->reader().getReplicas() : ~0ULL;
  const auto request = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { VmName::of(vm).write(builder.initVolumeState()); });
  context_.request(
      {record.holder, "replicator"}, request, options_.call_deadline,
      [this, vm, declared, epoch = record.epoch](absl::StatusOr<Message<schema::Response>> answer) {
        asking_.erase(vm);
        if (!answer.ok() || !answer->reader().isJson()) return;
        const auto json = nlohmann::json::parse(text(answer->reader().getJson()), nullptr, false);
        if (!json.is_object() || !json.contains("volumes") || !json["volumes"].is_array()) return;
        for (const auto& volume : json["volumes"]) {
          if (!volume.is_object() || volume.value("vm", "") != vm ||
              volume.value("role", "") != "serving" || volume.value("epoch", Epoch{0}) != epoch ||
              !volume.contains("replicas")) {
            continue;
          }
          std::uint64_t good = 0;
          for (const auto& replica : volume["replicas"]) {
            if (!replica.is_object() || replica.value("node", "") == context_.node()) return;
            const bool stable = replica.value("version_stable", std::uint64_t{0}) >=
                                volume.value("version_flushed", ~std::uint64_t{0});
            good += stable && replica.value("caught_up", false) ? 1 : 0;
          }
          if (good >= declared) confirm(vm, epoch);
          return;
        }
      });
}

// A holder may answer although its session has ended, and then this copy may be about to take over: the executor of this node waits
// longer after the end of a session than this answer may take.
void Replicator::confirm(const std::string& vm, Epoch epoch) {
  asking_.insert(vm);
  const Instant sent = context_.now();
  seams_.leases.read(
      key_of_vm(vm),
      context_.reply<LeaseRecord>(
          options_.confirm_deadline, [this, vm, epoch, sent](absl::StatusOr<LeaseRecord> record) {
            asking_.erase(vm);
            const bool in_time = context_.now() - sent <= options_.confirm_deadline;
            if (in_time && record.ok() && record->session_alive && record->epoch == epoch)
              discard(vm);
          }));
}

void Replicator::discard(const std::string& vm) {
  // Asking took time: what has changed meanwhile counts.
  if (!unneeded_since_.contains(vm)) return;
  for (const VolumeStatus& volume : seams_.volumes.list()) {
    if (volume.vm == vm && volume.streaming) return;
  }
  seams_.volumes.destroy(vm,
                         context_.reply<Done>(options_.call_deadline, [](absl::StatusOr<Done>) {}));
  unneeded_since_.erase(vm);
}

// ---- requests -------------------------------------------------------------------------------------------------------

void Replicator::serve(Message<schema::Request> request, Answer answer) {
  if (!request.reader().isVolumeState()) return Actor::serve(std::move(request), std::move(answer));
  const auto ref = request.reader().getVolumeState();
  const std::string wanted =
      text(ref.getName()).empty() ? std::string() : VmName::of(ref).to_string();
  nlohmann::json json{{"node", context_.node()}, {"volumes", nlohmann::json::array()}};
  for (const VolumeStatus& volume : seams_.volumes.list()) {
    if (wanted.empty() || volume.vm == wanted)
      json["volumes"].push_back(describe(volume, seams_.volumes.replicas(volume.vm)));
  }
  answer(Message<schema::Response>::build([&](schema::Response::Builder response) {
    response.setJson(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }));
}

}  // namespace supercloud
