#include "simulation/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/generated_feed.h"
#include "core/vm_spec.h"

namespace supercloud {
namespace {

constexpr const char* site_name = SimulatedCluster::site_node;
constexpr const char* resource_name = "genome";
constexpr std::uint64_t mib = 1ULL << 20;
// What VMs with bounded loss declare: a little more than it takes to find out that their holder is lost.
constexpr Duration loss_bound = absl::Seconds(4);

std::string zone_name(int index) {
  return absl::StrCat("us-east-1", std::string(1, static_cast<char>('a' + index)));
}

PlaceName place_of(int index, const ClusterOptions& options) {
  if (!options.places.empty()) return options.places.at(static_cast<std::size_t>(index));
  const int nodes = options.nodes;
  const bool spot = !options.post_copy && (index + 1 < nodes || nodes == 1);
  return {.cloud = "aws",
          .region = "us-east-1",
          .zone = zone_name(spot || options.post_copy ? index : 0),
          .instance_type = "r3.large",
          .spot = spot};
}

// The machine where the cluster's resource lives: with a market, one that no price takes away.
std::string resource_home(const ClusterOptions& options) {
  return absl::StrCat("node-", options.nodes - 1);
}

Message<schema::Request> request(absl::FunctionRef<void(schema::Request::Builder)> fill) {
  return Message<schema::Request>::build(fill);
}

constexpr Duration rarely = absl::Hours(1);

// As a cluster is whose options say nothing_fails.
void look_rarely(NodeActorsOptions& actors) {
  actors.session.renew_interval = absl::Minutes(15);
  actors.executor.look_interval = rarely;
  actors.replicator.interval = rarely;
  actors.network.reconcile_interval = rarely;
  actors.orphans.interval = rarely;
  actors.beat = rarely;
  actors.policy.relist = rarely;
}

ClusterOptions with_consequences(ClusterOptions options) {
  if (!options.nothing_fails) return options;
  options.fence.ttl = FencePolicy::ttl_max;
  options.fence.fence_after = absl::Minutes(50);
  options.bus.ping_interval = rarely;
  options.bus.silence_max = rarely * 3;
  options.bus.resets_heard = true;
  options.heartbeat = rarely;
  options.site_drift_ppm = 0;
  look_rarely(options.site);
  return options;
}

std::size_t batch_of(const ClusterOptions& options) {
  return options.nothing_fails ? NodeOptions{}.batch : 1;
}

// A process that asks and does not listen.
class Asker final : public BusReceiver {
 public:
  void on_event(Event) override {}
  void on_gap(const BusGap&) override {}
  void on_request(std::string, std::string, Reply<std::string>) override {}
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool) override {}
};

}  // namespace

class SimulatedCluster::Faults final : public HostFaults {
 public:
  explicit Faults(Random random) : random_(random) {}
  CallFault on_call(std::string_view, const std::string&) override {
    CallFault fault;
    if (random_.chance(slow)) fault.delay = absl::Milliseconds(random_.between(1, 3000));
    if (random_.chance(failing)) {
      const bool lost = random_.chance(500'000);
      if (lost)
        fault.answer_lost = true;
      else
        fault.error = absl::InternalError("a simulated failure of the hypervisor");
    }
    return fault;
  }
  std::uint64_t slow = 0, failing = 0;

 private:
  Random random_;
};

struct SimulatedCluster::Site {
  Site(SimulatedCluster& cluster, MemoryLogDisk& disk, const MemoryLeaseTableOptions& options)
      : bus(site_name, cluster.networks_.of(site_name), cluster.site_clock_, cluster.pool_,
            telling(cluster.options_.bus, cluster.keys())),
        watched(cluster.options_.nothing_fails
                    ? nullptr
                    : std::make_unique<WatchedBus>(cluster.deliveries_, bus, bus, disk.origins)),
        log(cluster.site_clock_, cluster.pool_, disk, {.retention = cluster.options_.retention}),
        archive(cluster.options_.archive
                    ? std::make_unique<MemoryEventLog>(
                          cluster.site_clock_, cluster.pool_, cluster.site_archive_,
                          MemoryEventLogOptions{.retention = cluster.options_.retention})
                    : nullptr),
        notary(cluster.keys() ? cluster.keys()->notary(cluster.pool_, site_name) : nullptr),
        table(cluster.site_clock_, cluster.lease_disk_, options),
        session(cluster.site_clock_.clock(), cluster.options_.fence),
        node({cluster.site_clock_, watched ? static_cast<Bus&>(*watched) : bus, log, cluster.pool_,
              archive.get(), notary.get()},
             {.name = site_name,
              .heartbeat_interval = cluster.options_.heartbeat,
              .batch = batch_of(cluster.options_)}) {
    node.spawn(std::string(lease_site_actor),
               [this](Context&) { return std::make_unique<LeaseSite>(table); });
    NodeActorsOptions actors = cluster.options_.site;
    actors.session.identity = site_name;
    actors.session.fresh = true;
    if (cluster.options_.market && cluster.options_.nothing_fails)
      actors.market = cluster.market_actors();
    if (cluster.options_.archive) actors.archive = *cluster.options_.archive;
    spawn_node_actors(node,
                      {.leases = table,
                       .log = log,
                       .session = session,
                       .provider = cluster.provider(),
                       .archive = archive.get()},
                      {}, actors);
  }
  SimulatedBusOptions telling(SimulatedBusOptions options, ClusterKeys* keys) {
    if (keys != nullptr) options.keys_of = keys->keys_of();
    options.on_slow_subscriber = [this](const std::string& slow, std::uint64_t backlog) {
      node.on_slow_subscriber(slow, backlog);
    };
    return options;
  }
  SimulatedBus bus;
  std::unique_ptr<WatchedBus> watched;  // null: none
  MemoryEventLog log;
  std::unique_ptr<MemoryEventLog> archive;  // null: none
  std::unique_ptr<Notary> notary;           // null: no keys
  MemoryLeaseTable table;
  NodeSession session;
  Node node;
};

// The account as the cluster sees it: what it launches becomes a machine, what it revokes is gone with its disk.
class SimulatedCluster::Account final : public Provider {
 public:
  Account(SimulatedCluster& cluster, SimulatedMarketOptions options)
      : cluster_(cluster), market_(cluster.scheduler_, std::move(options)) {
    market_.watch([this](const InstanceChange& change) {
      if (change.kind == InstanceChange::Kind::launched) cluster_.launched(change.instance);
      if (change.kind == InstanceChange::Kind::notice)
        cluster_.checker_.hurried(change.instance.node);
      if (change.kind == InstanceChange::Kind::revoked ||
          change.kind == InstanceChange::Kind::returned)
        cluster_.gone(change.instance);
      if (watcher_) watcher_(change);
    });
  }
  std::string account() const override { return market_.account(); }
  void rent(RentRequest rent_request, Reply<Done> reply) override {
    market_.rent(std::move(rent_request), std::move(reply));
  }
  void give_back(std::string instance, Reply<Done> reply) override {
    market_.give_back(std::move(instance), std::move(reply));
  }
  void list(Reply<std::vector<Instance>> reply) override { market_.list(std::move(reply)); }
  void watch(std::function<void(const InstanceChange&)> change) override {
    watcher_ = std::move(change);
  }
  void price_changed(const Price& price) override { market_.price_changed(price); }

 private:
  SimulatedCluster& cluster_;
  SimulatedMarket market_;
  std::function<void(const InstanceChange&)> watcher_;
};

SimulatedCluster::SimulatedCluster(ClusterOptions options)
    : options_(with_consequences(std::move(options))),
      random_(options_.seed),
      scheduler_(options_.start),
      site_clock_(scheduler_, random_.between(-options_.site_drift_ppm, options_.site_drift_ppm),
                  absl::ZeroDuration()),
      checker_(scheduler_),
      deliveries_(scheduler_),
      networks_(scheduler_, random_.fork(), options_.clouds),
      links_(scheduler_),
      faults_(std::make_unique<Faults>(random_.fork())) {
  links_.set_blocked([this](const std::string& from, const std::string& to) {
    return !networks_.reachable(from, to);
  });
  checker_.set_eyes(
      {.excused =
           [this](const std::string& name) {
             return machine(name) == nullptr || machine(name)->excused();
           },
       .session_alive =
           [this](const SessionId& id) { return lease_disk_.contents.sessions.contains(id); },
       .disk =
           [this](const std::string& name, const std::string& vm) {
             std::map<std::uint64_t, KnownBlock> content;
             const SimulatedMachine* found = machine(name);
             const auto volume = found->disk().volumes().find(vm);
             if (volume != found->disk().volumes().end())
               for (const auto& [index, block] : volume->second.blocks())
                 content[index] = {block.value, block.epoch, block.version};
             return content;
           },
       .executing =
           [this](const std::string& vm) {
             std::vector<std::string> where;
             for (const auto& machine : machines_)
               for (const GuestProbe& probe : machine->probes())
                 if (probe.vm == vm && probe.executes) where.push_back(machine->name());
             return where;
           },
       .archive_disks = [this] { return archive_disks(); },
       .in_archive = [this](const std::string& name,
                            const EventId& event) { return archives().at(name)->has(event); }});
  deliveries_.set_logs([this](const Event& event) { return logged(event); });
  if (!options_.places.empty()) options_.nodes = static_cast<int>(options_.places.size());
  market_clock_ = {
      .origin = options_.prices.origin, .start = scheduler_.wall(), .speed = options_.market_speed};
  if (options_.market) {
    SimulatedMarketOptions market = options_.prices.account;
    market.market = market_clock_;
    for (int i = 0; i < options_.nodes; ++i) {
      const PlaceName place = place_of(i, options_);
      if (place.cloud != market.account) continue;
      market.initial.push_back({place, absl::StrCat("node-", i),
                                options_.prices.bid.value_or(options_.prices.on_demand_per_hour)});
      if (place.spot && !options_.prices.feed) spot_places_.push_back(place);
    }
    account_ = std::make_unique<Account>(*this, std::move(market));
  }
  add_hubs();
  start_site();
  for (int i = 0; i < options_.nodes; ++i)
    add_machine(absl::StrCat("node-", i), place_of(i, options_), "");
  client_ = std::make_unique<Asker>();
  client_bus_ = std::make_unique<SimulatedBus>("client", networks_.of("client"), scheduler_, pool_,
                                               options_.bus);
  client_bus_->start(*client_, {});
}

SimulatedCluster::~SimulatedCluster() {
  client_bus_.reset();
  machines_.clear();
  hubs_.clear();
  account_.reset();
  site_.reset();
}

void SimulatedCluster::add_machine(const std::string& name, const PlaceName& place,
                                   const std::string& instance) {
  MachineOptions machine;
  machine.description = {.place = place,
                         .labels = {{"zone", place.zone}, {"trust", "high"}},
                         .instance = instance,
                         .cpus = 2,
                         .memory_bytes = options_.memory_bytes,
                         .cpu_model = "simulated"};
  if (name == resource_home(options_))
    machine.description.labels[absl::StrCat("resource.", resource_name)] = "here";
  machine.site_node = site_name;
  machine.bus = options_.bus;
  machine.heartbeat = options_.heartbeat;
  machine.batch = batch_of(options_);
  machine.host = options_.host;
  machine.host.memory_bytes = options_.memory_bytes;
  // To both sides as far as the fence allows for.
  const std::int64_t drift_max = options_.fence.drift_ppm;
  machine.drift_ppm = random_.between(-drift_max, drift_max);
  machine.wall_offset = absl::Milliseconds(random_.between(-200, 200));
  machine.seed = random_.next();
  machine.xen = options_.xen;
  machine.actors.fence = options_.fence;
  machine.actors.executor = options_.executor;
  machine.actors.policies = built_in_policies();
  machine.actors.policy.market = market_clock_;
  machine.actors.policy.world.lead = options_.prices.lead;
  machine.actors.observer.emplace();
  machine.retention = options_.retention;
  if (options_.archive && !options_.nothing_fails && name == resource_home(options_)) {
    machine.archive = true;
    machine.lies = options_.archives_lie;
    machine.actors.archive = *options_.archive;
  }
  machine.archived = options_.archived;
  machine.holder = options_.holders.contains(name);
  machine.follower = options_.followers && !options_.nothing_fails;
  machine.listeners = options_.listeners && !options_.nothing_fails;
  if (options_.nothing_fails) {
    machine.drift_ppm = 0;
    machine.wall_offset = absl::ZeroDuration();
    machine.volumes.pulse = rarely;
    look_rarely(machine.actors);
  } else if (options_.market) {
    machine.actors.market = market_actors();
  }
  if (options_.adjust) options_.adjust(machine);
  networks_.put(name, machines_.size() % networks_.clouds());
  const SimulatedWorld world{scheduler_, networks_.of(name),
                             links_,     pool_,
                             checker_,   options_.nothing_fails ? nullptr : &deliveries_,
                             keys()};
  machines_.push_back(std::make_unique<SimulatedMachine>(world, name, std::move(machine),
                                                         faults_.get(), account_.get()));
  machines_by_name_[name] = machines_.back().get();
  machines_.back()->start_daemon();
}

Provider* SimulatedCluster::provider() { return account_.get(); }

NodeActorsOptions::Market SimulatedCluster::market_actors() {
  NodeActorsOptions::Market market;
  market.feed = options_.prices.feed;
  if (!market.feed) {
    GeneratedMarket prices;
    for (const PlaceName& place : spot_places_)
      prices.zones.push_back({place, options_.prices.on_demand_per_hour});
    prices.start = market_clock_.origin;
    prices.seed = options_.seed;
    market.feed = [this, prices]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      return std::make_unique<FaultyFeed>(std::make_unique<GeneratedFeed>(prices), feed_faults_);
    };
  }
  market.watcher.market = market_clock_;
  market.watcher.fixed = {
      {options_.prices.on_demand, options_.prices.on_demand_per_hour, market_clock_.origin}};
  market.provider.market = market_clock_;
  market.provider.return_lead = options_.prices.lead;
  market.provider.bid = options_.prices.bid;
  market.ledger.market = market_clock_;
  market.ledger.charges_kept = options_.retention.age / 2;
  if (options_.nothing_fails)
    for (Duration* retry :
         {&market.watcher.role_retry, &market.provider.role_retry, &market.ledger.role_retry})
      *retry = rarely;
  if (options_.adjust_market) options_.adjust_market(market);
  return market;
}

void SimulatedCluster::launched(const Instance& instance) {
  rented_[instance.id] = instance;
  if (machine(instance.node) == nullptr) add_machine(instance.node, instance.place, instance.id);
}

// What is returned may be the machine whose actor returns it: it goes when that one's turn is over.
void SimulatedCluster::gone(const Instance& instance) {
  given_up_.insert(instance.node);
  rented_.erase(instance.id);
  scheduler_.at(scheduler_.now(), [this, node = instance.node] {
    if (SimulatedMachine* lost = machine(node)) lose_machine(*lost);
  });
}

void SimulatedCluster::lose_machine(SimulatedMachine& machine) {
  if (!lost_.insert(machine.name()).second) return;
  lost_logs_.emplace_back(machine.name(), machine.take_log_disk());
  machine.power_off(true, random_);
}

SimulatedMachine* SimulatedCluster::machine(std::string_view name) {
  const auto found = machines_by_name_.find(name);
  return found == machines_by_name_.end() ? nullptr : found->second;
}

void SimulatedCluster::start_site() {
  if (site_) return;
  MemoryLeaseTableOptions table;
  table.table.ttl = options_.fence.ttl;
  site_ = std::make_unique<Site>(*this, site_log_, table);
}

void SimulatedCluster::kill_site() {
  if (site_ && random_.chance(500'000)) site_->table.finish_sync();
  site_.reset();
}

MemoryLeaseTable* SimulatedCluster::table() { return site_ ? &site_->table : nullptr; }

bool SimulatedCluster::step() {
  if (!scheduler_.step()) return false;
  ++steps_;
  look();
  return true;
}

void SimulatedCluster::run_for(Duration span) {
  const Instant end = scheduler_.now() + span;
  while (scheduler_.step_until(end)) {
    ++steps_;
    look();
  }
  scheduler_.run_until(end);
}

void SimulatedCluster::forget_removed_leases() {
  for (auto seen = seen_revisions_.begin(); seen != seen_revisions_.end();) {
    if (lease_disk_.contents.leases.contains(seen->first)) {
      ++seen;
      continue;
    }
    checker_.lease_changed(vm_of_key(seen->first), nullptr);
    seen = seen_revisions_.erase(seen);
  }
}

// The table's stable contents, after every step; the guests' self-checks, now and then.
void SimulatedCluster::look() {
  if (std::exchange(looked_changes_, lease_disk_.lease_changes) != lease_disk_.lease_changes)
    look_at_leases();
  if (steps_ % 256 != 0) return;
  for (const auto& machine : machines_)
    for (const GuestProbe& probe : machine->probes())
      if (!probe.memory_intact) checker_.memory_broken(machine->name(), probe.vm);
}

void SimulatedCluster::look_at_leases() {
  // A new one may have what a removed one had, its name too.
  forget_removed_leases();
  for (const auto& [key, stored] : lease_disk_.contents.leases) {
    if (!key.starts_with(vm_keys)) continue;
    const auto known = seen_revisions_.find(key);
    if (known != seen_revisions_.end() && known->second == stored.record.revision) continue;
    seen_revisions_[key] = stored.record.revision;
    checker_.lease_changed(vm_of_key(key), &stored.record);
  }
}

std::shared_ptr<Call> SimulatedCluster::ask(const std::string& node,
                                            Message<schema::Request> request, Told told,
                                            Call::OnProgress on_progress) {
  return ask({node, "executor"}, std::move(request), std::move(told), std::move(on_progress));
}

std::shared_ptr<Call> SimulatedCluster::ask(const Address& to, Message<schema::Request> request,
                                            Told told, Call::OnProgress on_progress) {
  auto call = std::make_shared<Call>(std::move(on_progress));
  client_bus_->request(
      to, std::string(request.bytes()),
      Reply<std::string>(
          scheduler_.now() + absl::Seconds(5),
          [told = std::move(told)](const absl::StatusOr<std::string>& answer) {
            if (!told) return;
            if (!answer.ok()) return told(answer.status());
            auto response = Message<schema::Response>::parse(*answer);
            if (response.ok() && response->reader().getCode() != 0)
              return told(absl::Status(static_cast<absl::StatusCode>(response->reader().getCode()),
                                       std::string(text(response->reader().getMessage()))));
            told(response);
          },
          call));
  return call;
}

void SimulatedCluster::create_vm(const std::string& node, const std::string& name,
                                 schema::DiskLoss loss, const std::string& address) {
  const char* const policy = !options_.market          ? "stay"
                             : random_.chance(500'000) ? "smart-spot"
                                                       : "cheapest";
  ask(node, request([&](schema::Request::Builder builder) {
        auto spec = builder.initCreateVm();
        spec.setName(name);
        spec.setMemoryBytes(256 * mib);
        spec.setDiskBytes(64 * mib);
        spec.setAddress(absl::StrCat("10.0.0.", address.empty() ? name : address));
        spec.setPolicy(policy);
        spec.setDiskLoss(loss);
        if (loss == schema::DiskLoss::BOUNDED_LOSS)
          spec.setLossBoundNs(static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(loss_bound)));
        spec.setPostCopy(options_.post_copy);
        if (options_.post_copy) spec.setDirtyPagesPerSecond(200'000);
        spec.setReplicas(loss == schema::DiskLoss::WAIT ? 0 : 1);
        spec.setRunning(true);
        spec.setReads(absl::StrCat(resource_home(options_), "/", resource_name));
        auto prepared = spec.initPrepared(static_cast<unsigned>(options_.prepared.size()));
        for (unsigned i = 0; i < prepared.size(); ++i) prepared.set(i, options_.prepared[i]);
      }));
}

void SimulatedCluster::create_vm(const std::string& node, Message<schema::VmSpec> spec) {
  ask(node, request([&](schema::Request::Builder builder) {
        copy_spec(spec.reader(), builder.initCreateVm());
      }));
}

void SimulatedCluster::migrate(const std::string& node, const std::string& vm,
                               const std::string& target) {
  ask(node, request([&](schema::Request::Builder builder) {
        auto migrate = builder.initMigrateVm();
        migrate.initVm().setName(vm);
        migrate.setTarget(target);
        migrate.setReason("asked for by a user");
      }));
}

void SimulatedCluster::set_call_faults(std::uint64_t slow_per_million,
                                       std::uint64_t failing_per_million) {
  faults_->slow = slow_per_million;
  faults_->failing = failing_per_million;
}

void SimulatedCluster::set_site_archive_full(bool full) {
  if (site_ && site_->archive) site_->archive->set_full(full);
}

}  // namespace supercloud
