#include "cli/bench/migration/guest_cluster.h"

#include <poll.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/guests/guest_watch.h"
#include "cli/migration_follower.h"
#include "cli/vm_file.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

using schema::Payload;

constexpr const char* measured_cluster = "measured";
constexpr const char* measured_image = "measured";
constexpr const char* leases_node = "a";
constexpr const char* guest_hosts[] = {"b", "c"};
constexpr Duration cluster_patience = absl::Seconds(60);
constexpr int connect_again_ms = 10;
constexpr Duration executor_answers = absl::Seconds(5);

// What is told of a move's way; empty: nothing.
std::string step_of(const Event& event) {
  switch (event.type()) {
    case Payload::MIGRATION_PROPOSED:
      return "proposed";
    case Payload::MIGRATION_ACCEPTED:
      return "accepted";
    case Payload::MIGRATION_TARGET_READY:
      return "target_ready";
    case Payload::STORAGE_REPLICA_READY:
      return "replica_ready";
    case Payload::MIGRATION_STARTED:
      return "started";
    case Payload::VM_PAUSED:
      return "paused";
    case Payload::STORAGE_SEALED:
      return "sealed";
    case Payload::STORAGE_VERIFIED:
      return "verified";
    case Payload::VM_RESUMED:
      return "resumed";
    case Payload::MIGRATION_COMPLETED:
      return "completed";
    default:
      return "";
  }
}

Message<schema::Request> migrate_request(const VmName& vm, const std::string& target,
                                         bool dry_run) {
  return Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto request = builder.initMigrateVm();
    vm.write(request.initVm());
    request.setTarget(target);
    request.setReason("measured");
    request.setDryRun(dry_run);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuestCluster>> GuestCluster::start(GuestClusterOptions options) {
  std::unique_ptr<GuestCluster> cluster(new GuestCluster(std::move(options)));
  for (const char* node : {leases_node, guest_hosts[0], guest_hosts[1]})
    if (const absl::Status started = cluster->start_node(node); !started.ok()) return started;
  if (const absl::Status connected = cluster->connect(); !connected.ok()) return connected;
  if (const absl::Status listening = cluster->listen(); !listening.ok()) return listening;
  return cluster;
}

GuestCluster::~GuestCluster() {
  heard_.clear();  // before the client, whose they are
  client_.reset();
  processes_.stop_all();
}

absl::Status GuestCluster::start_node(const std::string& node) {
  const auto socket = [&](const std::string& of) { return (options_.sockets / of).string(); };
  NodeConfig config;
  config.name = node;
  config.cluster = measured_cluster;
  config.site = leases_node;
  config.directory = options_.logs;
  config.publish_endpoint = absl::StrCat("ipc://", socket(node), ".pub");
  config.request_endpoint = absl::StrCat("ipc://", socket(node), ".req");
  if (node != leases_node) {
    config.seeds = {absl::StrCat("ipc://", socket(leases_node), ".req")};
    config.link_endpoint = absl::StrCat("unix:", socket(node), ".link");
    HostConfig host;
    host.place.cloud = "here";
    host.place.region = "machine";
    host.place.zone = node;
    host.place.instance_type = "process";
    host.memory_bytes = options_.memory_bytes;
    host.qemu = options_.qemu;
    host.qemu->run = socket(node);
    config.host = std::move(host);
  }
  return processes_.start(node, to_toml(config));
}

// Once all of its nodes run: a client knows those that are there.
absl::Status GuestCluster::connect() {
  const absl::Time end = absl::Now() + cluster_patience;
  while (!options_.stop()) {
    if (const auto ended = processes_.reap(); !ended.empty())
      return absl::FailedPreconditionError(
          absl::StrCat("a node of the measurement ended: ", processes_.last_words(ended[0].first)));
    const auto target = load_cluster(options_.logs);
    if (target.ok() && std::ranges::count_if(target->nodes, &NodeEntry::alive) == 3) {
      auto client = ClusterClient::connect(*target);
      if (client.ok()) {
        client_ = *std::move(client);
        return absl::OkStatus();
      }
    }
    if (absl::Now() > end)
      return absl::DeadlineExceededError("the nodes of the measurement do not come up");
    ::poll(nullptr, 0, connect_again_ms);
  }
  return absl::CancelledError("interrupted");
}

absl::Status GuestCluster::listen() {
  for (const char* domain : {"migration.>", "vm.>", "storage.>"})
    if (const absl::Status listening =
            client_->subscribe(Pattern::of(domain), [this](const Event& event) { heard(event); });
        !listening.ok())
      return listening;
  return absl::OkStatus();
}

void GuestCluster::heard(const Event& event) {
  if (event.type() == Payload::MIGRATION_COMPLETED)
    completed_.emplace(event.migration(), loop().clock().now());
  if (!step_of(event).empty() || event.type() == Payload::MIGRATION_ABORTED ||
      event.type() == Payload::MIGRATION_REFUSED || event.type() == Payload::MIGRATION_CLEANED)
    heard_.push_back(event);
}

absl::Status GuestCluster::until(const std::string& what, absl::FunctionRef<bool()> done) {
  if (await(loop(), cluster_patience, [&] { return done() || options_.stop(); })) {
    if (options_.stop()) return absl::CancelledError("interrupted");
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      absl::StrCat(what, " was waited for in vain for ", absl::FormatDuration(cluster_patience)));
}

absl::StatusOr<Message<schema::Response>> GuestCluster::ask(
    const std::string& node, const Message<schema::Request>& request) {
  return client_->ask({node, "executor"}, request, executor_answers);
}

absl::Status GuestCluster::create(const std::string& name, std::uint64_t memory_bytes,
                                  const std::string& arguments) {
  const auto spec =
      parse_vm_file(absl::StrCat("name = \"", name, "\"\nmemory = \"", memory_bytes >> 20U,
                                 "MiB\"\naddress = \"10.1.0.", ++addresses_, "\"\nimage = \"",
                                 measured_image, "\"\narguments = \"", arguments, "\"\n"),
                    name, {.policies = {"stay"}, .tenant_asked = ""});
  if (!spec.ok()) return spec.status();
  const auto request = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { builder.setCreateVm(spec->reader()); });
  // It may be a moment before a node knows the others.
  absl::Status last;
  const absl::Status created = until(absl::StrCat("the creation of ", name), [&] {
    last = ask(guest_hosts[0], request).status();
    return last.ok();
  });
  if (!created.ok()) return last.ok() ? created : last;
  node_of_[name] = guest_hosts[0];
  const VmName vm{.tenant = "main", .name = name};
  const auto show = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { vm.write(builder.initShowVm()); });
  return until(absl::StrCat("the start of ", name), [&] {
    const auto answer = ask(node_of_[name], show);
    return answer.ok() && answer->reader().isVms() && answer->reader().getVms().size() == 1 &&
           text(answer->reader().getVms()[0].getState()) == "running";
  });
}

absl::StatusOr<ClusterMove> GuestCluster::move(const std::string& name) {
  std::string& node = node_of_[name];
  const std::string target = node == guest_hosts[0] ? guest_hosts[1] : guest_hosts[0];
  const VmName vm{.tenant = "main", .name = name};
  const absl::Status possible = until(absl::StrCat("that ", name, " could move"), [&] {
    const auto checks = ask(node, migrate_request(vm, target, true));
    if (!checks.ok() || !checks->reader().isChecks()) return false;
    for (const auto check : checks->reader().getChecks())
      if (check.getCure().size() > 0) return false;  // what has no cure is told, not failed
    return true;
  });
  if (!possible.ok()) return possible;

  heard_.clear();
  completed_.clear();
  const absl::Time asked = absl::Now();
  const Instant begun = loop().clock().now();
  const auto answer = ask(node, migrate_request(vm, target, false));
  if (!answer.ok()) return answer.status();
  if (!answer->reader().isAccepted())
    return absl::InternalError("a request to migrate was answered with something else");
  const EventId migration = EventId::from(answer->reader().getAccepted().getMigration());
  const auto said = [&](Payload::Which type) {
    return std::ranges::any_of(heard_, [&](const Event& event) {
      return event.type() == type && event.migration() == migration;
    });
  };
  const absl::Status ended = until(absl::StrCat("the end of the migration of ", name), [&] {
    return said(Payload::MIGRATION_CLEANED) || said(Payload::MIGRATION_ABORTED) ||
           said(Payload::MIGRATION_REFUSED);
  });
  if (!ended.ok()) return ended;
  const auto completed = completed_.find(migration);
  if (completed == completed_.end()) {
    MigrationFollower follower(migration);
    for (const Event& event : heard_) follower.fold(event);
    return absl::FailedPreconditionError(
        absl::StrCat("the migration of ", name, " did not complete: ", follower.last()));
  }
  node = target;
  ClusterMove move{.total = completed->second - begun, .steps = {}};
  for (const Event& event : heard_)
    if (const std::string step = step_of(event);
        !step.empty() && (event.migration() == migration || event.id() == migration))
      move.steps.emplace(step, absl::ToDoubleSeconds(event.time().wall() - asked));
  return move;
}

absl::Status GuestCluster::destroy(const std::string& name) {
  const VmName vm{.tenant = "main", .name = name};
  const auto request = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { vm.write(builder.initDestroyVm()); });
  const auto show = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { vm.write(builder.initShowVm()); });
  const std::string node = node_of_[name];
  if (const auto told = ask(node, request); !told.ok()) return told.status();
  node_of_.erase(name);
  return until(absl::StrCat("the end of ", name),
               [&] { return absl::IsNotFound(ask(node, show).status()); });
}

pid_t GuestCluster::process(const std::string& node) const {
  const auto target = load_cluster(options_.logs);
  if (target.ok())
    for (const NodeEntry& entry : target->nodes)
      if (entry.name == node) return entry.pid;
  return 0;
}

}  // namespace supercloud
