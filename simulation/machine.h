// A simulated machine: what survives its daemon (clock, disks, guests with their keepers, ports), and the daemon, with all its
// actors, which can be killed and started again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "actors/network/simulated/fabric.h"
#include "actors/node_actors.h"
#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/memory_link.h"
#include "core/node.h"
#include "hypercall/simulated/host.h"
#include "hypercall/simulated/hypervisor.h"
#include "hypercall/simulated/xen.h"
#include "simulation/checker.h"
#include "simulation/cluster_keys.h"
#include "simulation/deliveries.h"
#include "simulation/follower.h"
#include "simulation/listener.h"
#include "simulation/lying_log.h"
#include "simulation/machine_scheduler.h"
#include "storage/remote_lease_table.h"
#include "storage/simulated/memory_event_log.h"
#include "storage/simulated/memory_volume.h"

namespace supercloud {

// What all machines of a simulated cluster stand in.
struct SimulatedWorld {
  VirtualScheduler& scheduler;
  SimulatedNetwork& network;
  MemoryLinkHub& links;
  EventPool& pool;
  Checker& checker;
  Deliveries* deliveries;  // null: nobody judges what arrives
  ClusterKeys* keys;       // null: nobody has any, and archives are believed
};

// What a machine uses in place of the real parts: tests put their broken parts in here. Where a function is not given, or answers
// null, the real part is used. The real one outlives what stands in for it.
struct PartsInPlace {
  // Of the daemon's actors: asked at each start of the daemon, and dropped after its actors.
  std::function<std::shared_ptr<const NodeActorsSeams>(const NodeActorsSeams& real,
                                                       Scheduler& scheduler)>
      seams;
  // The bus of the daemon's actors: asked at each start of the daemon.
  std::function<std::unique_ptr<Bus>(Bus& real)> bus;
  // The disk that guests reach: asked when power comes.
  std::function<std::unique_ptr<GuestDisk>(MemoryVolumeStore& real, Scheduler& scheduler)> disk;
  // What its follower hands out.
  Follower::Change followed;
  // Whether what this node publishes waits for that one; not given: for each.
  std::function<bool(std::string_view node, std::string_view topic)> may_hear;
  // Its listeners are not told what their queues let go.
  bool silent_queues = false;
};

struct MachineOptions {
  NodeDescription description;  // data_endpoint is filled in
  NodeActorsOptions actors;
  std::string site_node;  // where the lease table is
  SimulatedHostOptions host;
  MemoryVolumeOptions volumes;  // `node` is filled in
  SimulatedBusOptions bus;
  Duration heartbeat = NodeOptions{}.heartbeat_interval;
  std::size_t batch = 1;  // NodeOptions::batch
  std::int64_t drift_ppm = 0;
  Duration wall_offset;
  std::uint64_t seed = 0;
  bool xen = false;        // a Xen host, with domains that are no VMs of the cluster
  bool archive = false;    // it keeps what others say: `actors.archive`
  bool lies = false;       // of that, when it is asked in the place of its publisher
  Retention retention;     // of its log, and of its archive
  ArchivedTypes archived;  // what its publishers wait for
  bool follower = false;   // it follows what others say: FollowerBook
  bool holder = false;     // publishers wait for an actor of it: HoldBook
  bool listeners = false;  // to VMs, with small queues: ListenerBook
  PartsInPlace in_place;
};

class SimulatedMachine final : private GuestDevices, private GuestObserver {
 public:
  SimulatedMachine(SimulatedWorld world, std::string name, MachineOptions options,
                   HostFaults* faults, Provider* provider);
  ~SimulatedMachine() override;

  const std::string& name() const { return name_; }

  void start_daemon();
  void kill_daemon(bool keep_unsynced);
  // In order: it says node.left first. Then `ended`, unless something else ends it before.
  void stop_daemon(std::function<void()> ended);
  bool daemon_runs() const { return process_ != nullptr; }
  // When its daemons ended, world time, in order.
  const std::vector<Instant>& daemon_ends() const { return daemon_ends_; }
  // Those of the daemon that runs.
  std::vector<std::string> actors() const;
  void fail_actor(const std::string& actor);
  // When the next group commit with durable events is on the log's disk, the daemon stands still before it sends any of them, and `strike` is
  // to end it; unless that is not `wanted` any more, or the daemon has ended before.
  void strike_at_commit(std::function<bool()> wanted,
                        std::function<void(std::size_t events)> strike);

  // Power goes: guests, daemon and unflushed data are lost. `disk`: whether the disk comes back with power_on().
  void power_off(bool lose_disk, Random& random);
  void power_on();
  bool powered() const { return hardware_ != nullptr; }

  void freeze();
  void thaw();
  bool frozen() const { return scheduler_.frozen(); }
  // Frozen, or thawed less than the keeper's stopping time ago.
  bool excused() const;

  std::vector<GuestProbe> probes() const;
  std::vector<std::string> standbys() const;  // by vm
  void kill_guest(const std::string& vm);
  void cut_streams();
  void set_log_full(bool full);
  void set_archive_full(bool full);
  SimulatedXen* xen();  // null: it is no Xen host, or has no power
  const MemoryDisk& disk() const { return disk_; }
  const MemoryLogDisk& log_disk() const { return log_disk_; }
  const MemoryLogDisk& archive_disk() const { return archive_disk_; }
  std::uint64_t disks() const { return disks_; }  // so many it had, with the one that it has
  const FollowerBook& followed() const { return followed_; }
  // In the daemon that runs, what waits only for those that hold.
  std::vector<Event> held() const;
  // Whom it waits for; none, if no daemon has run for that long.
  std::optional<std::map<std::string, std::vector<Pattern>>> known_holders(Duration since) const;
  const std::vector<ListenerBook>& listened() const { return listened_; }
  // Of a machine that never comes back: its power goes next.
  MemoryLogDisk take_log_disk() { return std::exchange(log_disk_, MemoryLogDisk()); }
  std::optional<Epoch> open_port(const std::string& vm) const;
  const MachineOptions& options() const { return options_; }

 private:
  struct Hardware;  // while it has power
  struct Process;   // while its daemon runs
  void end_process();

  void write(const std::string& vm, Epoch epoch, std::uint64_t block, std::uint64_t value,
             Reply<std::uint64_t> done) override;
  void flush(const std::string& vm, Epoch epoch, Reply<std::uint64_t> done) override;
  void transmit(const std::string& vm, Epoch epoch) override;
  void read_resource(const std::string& vm, Epoch epoch, const std::string& resource,
                     std::uint64_t bytes) override;
  void on_first_instruction(const std::string& vm, Epoch epoch) override;
  void on_execute(const std::string& vm, Epoch epoch) override;
  void on_memory_given_up(const std::string& vm) override;
  void on_needed_destroyed(const std::string& vm) override;

  SimulatedWorld world_;
  const std::string name_;
  MachineOptions options_;
  HostFaults* faults_;
  Provider* provider_;
  Random random_;
  MachineScheduler scheduler_;
  MemoryDisk disk_;
  MemoryLogDisk log_disk_, archive_disk_;
  FollowerBook followed_;
  std::vector<ListenerBook> listened_;
  std::uint64_t disks_ = 1;  // a new disk makes a new identity
  std::uint32_t boots_ = 0;
  bool fresh_ = true;                 // since power came, no daemon that ended had a session
  std::optional<Instant> thawed_at_;  // world time
  std::vector<Instant> daemon_ends_;
  std::unique_ptr<Hardware> hardware_;
  std::unique_ptr<Process> process_;
};

}  // namespace supercloud
