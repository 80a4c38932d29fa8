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
constexpr std::int64_t price_step_nano_usd = 100'000;
constexpr Duration target_kept = absl::Seconds(60);

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

PlaceName place_of(const std::string& node) {
  return {"aws", "us-east-1", absl::StrCat("us-east-1", node), "process", true};
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
  site_.reset();
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
  config.market.emplace();
  config.market->clock = {.origin = started_, .start = started_, .speed = 1};
  if (node == leases_node) {
    config.account.emplace();
    config.account->billing = schema::Billing::PER_SECOND;  // so that a policy may move at any time
    for (const char* host : guest_hosts)
      config.account->initial.push_back({place_of(host), host, Money{first_price.nano_usd * 10}});
    site_ = std::make_unique<NodeThread>(
        std::move(config),
        [prices = prices_](NodeActorsOptions& options) { options.market->feed = prices->feed(); });
    return site_->started();
  }
  config.seeds = {absl::StrCat("ipc://", socket(leases_node), ".req")};
  config.link_endpoint = absl::StrCat("unix:", socket(node), ".link");
  HostConfig host;
  host.place = place_of(node);
  host.memory_bytes = options_.memory_bytes;
  host.qemu = options_.qemu;
  host.qemu->run = socket(node);
  config.host = std::move(host);
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
  for (const char* domain : {"migration.>", "vm.>", "storage.>", "spot.price_changed.>"})
    if (const absl::Status listening =
            client_->subscribe(Pattern::of(domain), [this](const Event& event) { heard(event); });
        !listening.ok())
      return listening;
  return absl::OkStatus();
}

void GuestCluster::heard(const Event& event) {
  if (event.type() == Payload::MIGRATION_COMPLETED)
    completed_.emplace(event.migration(), loop().clock().now());
  if (!step_of(event).empty() || event.type() == Payload::SPOT_PRICE_CHANGED ||
      event.type() == Payload::MIGRATION_ABORTED || event.type() == Payload::MIGRATION_REFUSED ||
      event.type() == Payload::MIGRATION_CLEANED)
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

// It is the cheaper one from now on.
void GuestCluster::give_price(const std::string& node) {
  lowest_price_.nano_usd -= price_step_nano_usd;
  site_->post([prices = prices_, price = Price{place_of(node), lowest_price_, absl::Now()}] {
    prices->add(price);
  });
}

absl::Status GuestCluster::create(const MeasuredVm& vm) {
  const auto spec =
      parse_vm_file(absl::StrCat("name = \"", vm.name, "\"\nmemory = \"", vm.memory_bytes >> 20U,
                                 "MiB\"\naddress = \"10.1.0.", ++addresses_, "\"\nimage = \"",
                                 measured_image, "\"\narguments = \"", vm.arguments,
                                 "\"\npolicy = \"", vm.follows_prices ? "cheapest" : "stay", "\"\n",
                                 vm.prepared ? "prepared = [\"b\", \"c\"]\n" : ""),
                    vm.name, {.policies = {"cheapest", "stay"}, .tenant_asked = ""});
  if (!spec.ok()) return spec.status();
  const auto request = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { builder.setCreateVm(spec->reader()); });
  if (vm.follows_prices) {
    give_price(guest_hosts[1]);
    give_price(guest_hosts[0]);
  }
  // It may be a moment before a node knows the others.
  absl::Status last;
  const absl::Status created = until(absl::StrCat("the creation of ", vm.name), [&] {
    last = ask(guest_hosts[0], request).status();
    return last.ok();
  });
  if (!created.ok()) return last.ok() ? created : last;
  vms_[vm.name].node = guest_hosts[0];
  if (vm.prepared) vms_[vm.name].prepared = *spec;
  const VmName name{.tenant = "main", .name = vm.name};
  const auto show = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { name.write(builder.initShowVm()); });
  return until(absl::StrCat("the start of ", vm.name), [&] {
    const auto answer = ask(guest_hosts[0], show);
    return answer.ok() && answer->reader().isVms() && answer->reader().getVms().size() == 1 &&
           text(answer->reader().getVms()[0].getState()) == "running";
  });
}

absl::StatusOr<std::string> GuestCluster::await_target(const std::string& name) {
  const Vm& vm = vms_.at(name);
  const std::string target = vm.node == guest_hosts[0] ? guest_hosts[1] : guest_hosts[0];
  const auto checks = migrate_request({.tenant = "main", .name = name}, target, true);
  const absl::Status possible = until(absl::StrCat("that ", name, " could move"), [&] {
    const auto told = ask(vm.node, checks);
    if (!told.ok() || !told->reader().isChecks()) return false;
    for (const auto check : told->reader().getChecks())
      if (check.getCure().size() > 0) return false;  // what has no cure is told, not failed
    return true;
  });
  if (!possible.ok()) return possible;
  if (!vm.prepared) return target;
  // As the node that holds it asks: the answer says that it is ready.
  const auto keep = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto prepare = builder.initPrepareIncoming();
    prepare.setVm(vm.prepared->reader());
    prepare.setHoldNs(absl::ToInt64Nanoseconds(target_kept));
  });
  const absl::Status ready = until(absl::StrCat("a target of ", name, " on ", target),
                                   [&] { return ask(target, keep).ok(); });
  if (!ready.ok()) return ready;
  return target;
}

absl::Status GuestCluster::await_end(const std::string& name, const std::string& target,
                                     const EventId& migration) {
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
  if (!completed_.contains(migration)) {
    MigrationFollower follower(migration);
    for (const Event& event : heard_) follower.fold(event);
    return absl::FailedPreconditionError(
        absl::StrCat("the migration of ", name, " did not complete: ", follower.last()));
  }
  vms_.at(name).node = target;
  return absl::OkStatus();
}

absl::StatusOr<ClusterMove> GuestCluster::move(const std::string& name) {
  const auto target = await_target(name);
  if (!target.ok()) return target.status();
  heard_.clear();
  completed_.clear();
  const absl::Time asked = absl::Now();
  const Instant begun = loop().clock().now();
  const auto answer =
      ask(vms_.at(name).node, migrate_request({.tenant = "main", .name = name}, *target, false));
  if (!answer.ok()) return answer.status();
  if (!answer->reader().isAccepted())
    return absl::InternalError("a request to migrate was answered with something else");
  const EventId migration = EventId::from(answer->reader().getAccepted().getMigration());
  if (const absl::Status ended = await_end(name, *target, migration); !ended.ok()) return ended;
  ClusterMove move{.total = completed_.at(migration) - begun, .steps = {}};
  for (const Event& event : heard_)
    if (const std::string step = step_of(event);
        !step.empty() && (event.migration() == migration || event.id() == migration))
      move.steps.emplace(step, absl::ToDoubleSeconds(event.time().wall() - asked));
  return move;
}

absl::StatusOr<absl::Time> GuestCluster::move_by_price(const std::string& name) {
  const VmName vm{.tenant = "main", .name = name};
  const auto explain = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { vm.write(builder.initExplainPolicy()); });
  const absl::Status content =
      until(absl::StrCat("that the policy of ", name, " lets it stay"), [&] {
        const auto told = client_->ask({vms_.at(name).node, "policy"}, explain, executor_answers);
        return told.ok() && told->reader().isJson() &&
               text(told->reader().getJson()).find("is the cheapest place") !=
                   std::string_view::npos;
      });
  if (!content.ok()) return content;
  const auto target = await_target(name);
  if (!target.ok()) return target.status();
  heard_.clear();
  completed_.clear();
  give_price(*target);
  const auto heard = [&](Payload::Which type) {
    return std::ranges::find_if(heard_, [&](const Event& event) { return event.type() == type; });
  };
  const absl::Status proposed = until(absl::StrCat("a move of ", name, " for a price"), [&] {
    return heard(Payload::MIGRATION_PROPOSED) != heard_.end();
  });
  if (!proposed.ok()) return proposed;
  const EventId migration = heard(Payload::MIGRATION_PROPOSED)->id();
  if (const absl::Status ended = await_end(name, *target, migration); !ended.ok()) return ended;
  const auto price = heard(Payload::SPOT_PRICE_CHANGED);
  if (price == heard_.end()) return absl::InternalError("nothing was heard of a price");
  return price->time().wall();
}

absl::Status GuestCluster::destroy(const std::string& name) {
  const VmName vm{.tenant = "main", .name = name};
  const auto request = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { vm.write(builder.initDestroyVm()); });
  const auto show = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { vm.write(builder.initShowVm()); });
  const std::string node = vms_.at(name).node;
  if (const auto told = ask(node, request); !told.ok()) return told.status();
  vms_.erase(name);
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
