#include "simulation/machine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "simulation/watched_custody.h"

namespace supercloud {
namespace {

constexpr Duration read_deadline = absl::Seconds(5);

}  // namespace

struct SimulatedMachine::Hardware {
  std::unique_ptr<LinkNetwork> links;
  std::unique_ptr<MemoryVolumeStore> volumes;
  std::unique_ptr<GuestDisk> disk_in_place;  // of the volumes; null: none
  std::unique_ptr<FabricHost> fabric;
  std::unique_ptr<SimulatedHost> host;
  std::unique_ptr<SimulatedXen> xen;  // null: it is no Xen host

  GuestDisk& disk() { return disk_in_place ? *disk_in_place : *volumes; }
};

struct SimulatedMachine::Process {
  Process(SimulatedWorld world, const std::string& name, const MachineOptions& options,
          MachineScheduler& scheduler, Hardware& hardware, MemoryLogDisk& disk,
          MemoryLogDisk& archive_disk)
      : bus(name, world.network, scheduler, world.pool, telling(options.bus, world.keys)),
        bus_in_place(options.in_place.bus ? options.in_place.bus(bus) : nullptr),
        watched(world.deliveries == nullptr
                    ? nullptr
                    : std::make_unique<WatchedBus>(*world.deliveries, in_use(), bus, disk.origins)),
        log(scheduler, world.pool, disk, {.retention = options.retention}),
        archive(options.archive ? std::make_unique<MemoryEventLog>(
                                      scheduler, world.pool, archive_disk,
                                      MemoryEventLogOptions{.retention = options.retention})
                                : nullptr),
        lies(archive && options.lies
                 ? std::make_unique<LyingLog>(*archive, world.pool, Random(options.seed))
                 : nullptr),
        notary(world.keys == nullptr ? nullptr : world.keys->notary(world.pool, name)),
        archived({.types = options.archived, .may_hear = options.in_place.may_hear}),
        custody(archived, options.archived, world.checker, name),
        leases(scheduler, bus, options.site_node),
        hypervisor(*hardware.host),
        fabric(*hardware.fabric),
        xen_store(hardware.xen == nullptr ? nullptr
                                          : std::make_unique<SimulatedXenStore>(
                                                scheduler, *hardware.xen, Random(options.seed))),
        session(scheduler.clock(), options.actors.fence) {}

  SimulatedBusOptions telling(SimulatedBusOptions options, ClusterKeys* keys) {
    if (keys != nullptr) options.keys_of = keys->keys_of();
    options.on_slow_subscriber = [this](const std::string& slow, std::uint64_t backlog) {
      if (node) node->on_slow_subscriber(slow, backlog);
    };
    return options;
  }
  Bus& in_use() { return bus_in_place ? *bus_in_place : bus; }
  Bus& of_actors() { return watched ? *watched : in_use(); }
  EventLog* answering() { return lies ? lies.get() : static_cast<EventLog*>(archive.get()); }

  SimulatedBus bus;
  std::unique_ptr<Bus> bus_in_place;    // null: none
  std::unique_ptr<WatchedBus> watched;  // likewise
  MemoryEventLog log;
  std::unique_ptr<MemoryEventLog> archive;  // null: it keeps none
  std::unique_ptr<LyingLog> lies;           // null: it says what is in it
  std::unique_ptr<Notary> notary;           // null: no keys
  ArchivedEvents archived;
  WatchedCustody custody;
  RemoteLeaseTable leases;
  SimulatedHypervisor hypervisor;
  SimulatedFabric fabric;
  std::unique_ptr<SimulatedXenStore> xen_store;
  NodeSession session;
  std::shared_ptr<const NodeActorsSeams> seams;
  Instant started{};  // world time
  bool leaving = false;
  std::unique_ptr<Node> node;  // first to go
};

SimulatedMachine::SimulatedMachine(SimulatedWorld world, std::string name, MachineOptions options,
                                   HostFaults* faults, Provider* provider)
    : world_(world),
      name_(std::move(name)),
      options_(std::move(options)),
      faults_(faults),
      provider_(provider),
      random_(options_.seed),
      scheduler_(world.scheduler, options_.drift_ppm, options_.wall_offset) {
  if (options_.listeners && world_.deliveries != nullptr)
    for (const Queueing::Full full : {Queueing::Full::drop_oldest, Queueing::Full::conflate})
      listened_.emplace_back(full, world_.scheduler.clock());
  power_on();
}

SimulatedMachine::~SimulatedMachine() {
  process_.reset();
  hardware_.reset();
  scheduler_.power_off();
}

void SimulatedMachine::power_on() {
  if (hardware_) return;
  fresh_ = true;
  hardware_ = std::make_unique<Hardware>();
  hardware_->links = world_.links.network(name_, scheduler_);
  MemoryVolumeOptions volumes = options_.volumes;
  volumes.node = name_;
  hardware_->volumes =
      std::make_unique<MemoryVolumeStore>(disk_, scheduler_, *hardware_->links, volumes);
  if (options_.in_place.disk)
    hardware_->disk_in_place = options_.in_place.disk(*hardware_->volumes, scheduler_);
  hardware_->fabric = std::make_unique<FabricHost>(
      scheduler_, name_, [this](const std::string& node, const std::string& vm, Epoch epoch) {
        world_.checker.frame_delivered(node, vm, epoch);
      });
  hardware_->host = std::make_unique<SimulatedHost>(
      scheduler_, *hardware_->links, random_.fork(), static_cast<GuestDevices&>(*this),
      options_.host, faults_, static_cast<GuestObserver*>(this));
  if (options_.xen)
    hardware_->xen =
        std::make_unique<SimulatedXen>(HostRoom{std::uint64_t{16} << 30U, 8}, ++boots_);
  if (const absl::Status started = hardware_->host->start(); !started.ok())
    world_.checker.violated("set-up", absl::StrCat(name_, ": ", started.message()));
  world_.network.set_up(name_, true);
}

void SimulatedMachine::start_daemon() {
  if (!hardware_ || process_) return;
  world_.network.set_up(name_, true);
  // As the process before has kept it.
  const auto& before = options_.bus.heard_before;
  options_.bus.heard_before =
      std::make_shared<HeardBefore>(before ? before->newest() : HeardBefore::Positions());
  process_ = std::make_unique<Process>(world_, name_, options_, scheduler_, *hardware_, log_disk_,
                                       archive_disk_);
  Process& process = *process_;
  process.started = world_.scheduler.now();
  process.node = std::make_unique<Node>(NodeSeams{.scheduler = scheduler_,
                                                  .bus = process.of_actors(),
                                                  .log = process.log,
                                                  .pool = world_.pool,
                                                  .archive = process.answering(),
                                                  .notary = process.notary.get(),
                                                  .custody = &process.custody},
                                        NodeOptions{.name = name_,
                                                    .random_seed = random_.next(),
                                                    .heartbeat_interval = options_.heartbeat,
                                                    .batch = options_.batch});
  NodeDescription description = options_.description;
  description.data_endpoint = hardware_->links->endpoint();
  NodeActorsOptions actors = options_.actors;
  actors.session.identity = absl::StrCat(name_, "/", disks_);
  actors.session.fresh = fresh_;
  NodeActorsSeams real{
      .leases = process.leases,
      .log = process.log,
      .session = process.session,
      .guests = GuestSeams{process.hypervisor, *hardware_->volumes, process.fabric},
      .provider = provider_,
      .archive = process.archive.get(),
      .archived = &process.archived};
  if (process.xen_store) real.domains.emplace(DomainSeams{*process.xen_store, *hardware_->xen});
  if (options_.in_place.seams) process.seams = options_.in_place.seams(real, scheduler_);
  spawn_node_actors(*process.node, process.seams ? *process.seams : real, description, actors);
  if (options_.follower)
    process.node->spawn(follower_actor, [this](Context& context) {
      return std::make_unique<Follower>(context, followed_, options_.in_place.followed);
    });
  if (options_.holder)
    process.node->spawn(holder_actor, [this](Context& context) {
      return std::make_unique<SimulatedHolder>(context, world_.checker.holds());
    });
  if (process.watched == nullptr) return;
  process.watched->tell_of([this, &process](const Event& event) {
    process.custody.heard(event, frozen());
    for (ListenerBook& book : listened_) book.heard(event);
  });
  for (ListenerBook& book : listened_)
    process.node->spawn(book.actor(), [this, &book](Context& context) {
      return std::make_unique<Listener>(context, book, options_.in_place.silent_queues);
    });
}

std::vector<Event> SimulatedMachine::held() const {
  std::vector<Event> events;
  if (process_)
    for (const auto& [number, waiting] : process_->archived.waiting())
      if (!waiting.needs_archives()) events.push_back(waiting.event);
  return events;
}

std::optional<std::map<std::string, std::vector<Pattern>>> SimulatedMachine::known_holders(
    Duration since) const {
  if (!process_ || world_.scheduler.now() - process_->started < since) return std::nullopt;
  return process_->archived.holders();
}

void SimulatedMachine::kill_daemon(bool keep_unsynced) {
  if (!process_) return;
  if (keep_unsynced) {
    process_->log.crash_keeping(process_->log.unsynced() / 2);
    if (process_->archive) process_->archive->crash_keeping(process_->archive->unsynced() / 2);
  }
  end_process();
}

void SimulatedMachine::stop_daemon(std::function<void()> ended) {
  if (!process_ || process_->leaving) return;
  process_->leaving = true;
  // Another task: it is the process's log that says so.
  process_->node->leave(
      "its process was told to end",
      [this, before = daemon_ends_.size(), ended = std::move(ended)](const absl::Status&) {
        scheduler_.post([this, before, ended] {
          if (!process_ || daemon_ends_.size() != before) return;
          end_process();
          ended();
        });
      });
}

void SimulatedMachine::end_process() {
  if (process_) {
    daemon_ends_.push_back(world_.scheduler.now());
    fresh_ = fresh_ && !process_->session.ever_confirmed();
  }
  process_.reset();
}

std::vector<std::string> SimulatedMachine::actors() const {
  return process_ ? process_->node->actors() : std::vector<std::string>();
}

void SimulatedMachine::fail_actor(const std::string& actor) {
  if (!process_ || frozen()) return;
  if (actor == custodian_actor) process_->custody.custodian_failed();
  process_->node->fail_actor(actor, absl::InternalError("a simulated failure"));
}

void SimulatedMachine::strike_at_commit(std::function<bool()> wanted,
                                        std::function<void(std::size_t events)> strike) {
  if (!process_) return;
  process_->log.set_end([this, wanted = std::move(wanted), strike = std::move(strike),
                         before = daemon_ends_.size()](std::size_t durable) {
    if (durable == 0 || !wanted()) return false;
    // Another task: it is the process's log that says so.
    scheduler_.post([this, before, strike, durable] {
      if (process_ && daemon_ends_.size() == before) strike(durable);
    });
    return true;
  });
}

void SimulatedMachine::power_off(bool lose_disk, Random& random) {
  if (!hardware_) return;
  for (const GuestProbe& probe : probes()) world_.checker.memory_lost(probe.vm);
  thaw();
  end_process();
  hardware_.reset();
  scheduler_.power_off();
  world_.network.set_up(name_, false);
  if (lose_disk) {
    disk_ = MemoryDisk();
    log_disk_ = MemoryLogDisk();
    archive_disk_ = MemoryLogDisk();
    options_.bus.heard_before.reset();
    ++disks_;
  } else {
    disk_.crash(&random);
  }
}

void SimulatedMachine::freeze() {
  if (!hardware_ || frozen()) return;
  scheduler_.freeze();
}

void SimulatedMachine::thaw() {
  if (!frozen()) return;
  thawed_at_ = world_.scheduler.now();
  scheduler_.thaw();
}

bool SimulatedMachine::excused() const {
  return frozen() ||
         (thawed_at_ && world_.scheduler.now() - *thawed_at_ <= options_.host.stop_time_max);
}

std::vector<GuestProbe> SimulatedMachine::probes() const {
  return hardware_ ? hardware_->host->probes() : std::vector<GuestProbe>();
}

std::vector<std::string> SimulatedMachine::standbys() const {
  return hardware_ ? hardware_->host->standbys() : std::vector<std::string>();
}

void SimulatedMachine::kill_guest(const std::string& vm) {
  if (!hardware_) return;
  for (const GuestProbe& probe : probes())
    if (probe.vm == vm) world_.checker.memory_lost(vm);
  hardware_->host->kill_guest(vm);
}

void SimulatedMachine::cut_streams() {
  if (hardware_) hardware_->host->cut_streams();
}

void SimulatedMachine::set_log_full(bool full) {
  if (process_) process_->log.set_full(full);
}

void SimulatedMachine::set_archive_full(bool full) {
  if (process_ && process_->archive) process_->archive->set_full(full);
}

SimulatedXen* SimulatedMachine::xen() { return hardware_ ? hardware_->xen.get() : nullptr; }

std::optional<Epoch> SimulatedMachine::open_port(const std::string& vm) const {
  if (!hardware_) return std::nullopt;
  return SimulatedFabric(*hardware_->fabric).port(vm);
}

// ---- what guests reach the world through -----------------------------------------------------------------------------

void SimulatedMachine::write(const std::string& vm, Epoch epoch, std::uint64_t block,
                             std::uint64_t value, Reply<std::uint64_t> done) {
  world_.checker.write_issued(vm, block, value);
  const Instant deadline = done.deadline();  // before it is moved
  hardware_->disk().write(
      vm, epoch, block, value,
      Reply<Done>(deadline, [this, vm, epoch, block, value,
                             done = std::move(done)](absl::StatusOr<Done> written) mutable {
        if (!written.ok()) return done(written.status());
        std::uint64_t version = 0;
        const auto volume = disk_.volumes().find(vm);
        if (volume != disk_.volumes().end()) {
          const auto found = volume->second.blocks().find(block);
          if (found != volume->second.blocks().end()) {
            // A later write of the same block may be there already: then this one's version is not known, and is lower.
            version =
                found->second.value == value ? found->second.version : found->second.version - 1;
          }
        }
        world_.checker.write_acknowledged(name_, vm, epoch, block, {value, epoch, version});
        done(version);
      }));
}

void SimulatedMachine::flush(const std::string& vm, Epoch epoch, Reply<std::uint64_t> done) {
  const Instant deadline = done.deadline();
  hardware_->disk().flush(vm, epoch,
                          Reply<Done>(deadline, [this, vm, done = std::move(done)](
                                                    absl::StatusOr<Done> flushed) mutable {
                            if (!flushed.ok()) return done(flushed.status());
                            std::uint64_t version = 0;
                            for (const VolumeStatus& volume : hardware_->volumes->list())
                              if (volume.vm == vm) version = volume.version_flushed;
                            world_.checker.flush_acknowledged(vm, version);
                            done(version);
                          }));
}

void SimulatedMachine::transmit(const std::string& vm, Epoch epoch) {
  hardware_->fabric->transmit(vm, epoch);
}

// Through the guest's port and, as the daemon stands in for the network beyond, through its bus.
void SimulatedMachine::read_resource(const std::string& vm, Epoch epoch,
                                     const std::string& resource, std::uint64_t bytes) {
  if (!hardware_->fabric->transmit(vm, epoch) || !process_) return;
  const ResourceAccess access(vm, resource, bytes);
  process_->bus.request(access.to, std::string(access.request.bytes()),
                        Reply<std::string>(scheduler_.clock().now() + read_deadline,
                                           [this, vm](const absl::StatusOr<std::string>& answer) {
                                             if (!answer.ok()) return;
                                             const auto response =
                                                 Message<schema::Response>::parse(*answer);
                                             if (response.ok() && response->reader().getCode() == 0)
                                               world_.checker.access_acknowledged(vm);
                                           }));
}

void SimulatedMachine::on_first_instruction(const std::string& vm, Epoch epoch) {
  bool boot = true;
  for (const GuestProbe& probe : probes())
    if (probe.vm == vm) boot = probe.boot_epoch == 0;
  world_.checker.first_instruction(name_, vm, epoch, boot);
}

void SimulatedMachine::on_execute(const std::string& vm, Epoch epoch) {
  world_.checker.executed(name_, vm, epoch);
}

void SimulatedMachine::on_memory_given_up(const std::string& vm) {
  world_.checker.memory_given_up(vm);
}

void SimulatedMachine::on_needed_destroyed(const std::string& vm) {
  world_.checker.needed_destroyed(name_, vm);
}

}  // namespace supercloud
