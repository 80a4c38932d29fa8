// A whole simulated cloud: machines with all their actors, the lease site, a network and a market, in one thread under virtual
// time, from one seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "actors/provider/simulated_market.h"
#include "core/virtual_scheduler.h"
#include "simulation/checker.h"
#include "simulation/cloud_networks.h"
#include "simulation/faulty_feed.h"
#include "simulation/hub_machine.h"
#include "simulation/machine.h"
#include "storage/lease_site.h"
#include "storage/log_image.h"
#include "storage/simulated/memory_lease_table.h"

namespace supercloud {

// The market of a cluster that has one.
struct ClusterMarket {
  absl::Time origin = VirtualScheduler::default_start();  // market time as the world begins
  PlaceName on_demand{.cloud = "aws",
                      .region = "us-east-1",
                      .zone = "us-east-1a",
                      .instance_type = "r3.large",
                      .spot = false};
  Money on_demand_per_hour{175'000'000};  // there; the bid of spot instances too, if none is given
  std::optional<Money> bid;
  // empty: generated from the cluster's seed, for all spot places
  FeedFactory feed;
  // WorldOptions::lead, ProviderActorOptions::return_lead
  absl::Duration lead = absl::Minutes(3);
  // Of the account; its market, and what is there from the start, come from this cluster.
  SimulatedMarketOptions account{.launch_delay_min = absl::Milliseconds(500),
                                 .notice_min = absl::Seconds(3)};
};

struct ClusterOptions {
  std::uint64_t seed = 1;
  int nodes = 4;
  int vms = 3;
  std::vector<std::string> prepared;  // of each VM: nodes that keep a target for it ready
  // Over which the nodes are spread, one after the other, joined by a hub each; the site and users are in the first. 1: no hub.
  std::size_t clouds = 1;
  absl::Time start = VirtualScheduler::default_start();  // cluster time as the world begins
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;   // of each machine
  SimulatedBusOptions bus;
  Duration heartbeat = NodeOptions{}.heartbeat_interval;
  Duration ttl = absl::Seconds(3);
  // Where the nodes are that exist from the start; empty: a spot zone each, the last one on demand. Those of the cloud "aws"
  // are instances of its account, others are hosts of one's own.
  std::vector<PlaceName> places;
  // Guests write faster than the way carries, and may be moved by post-copy, for all nodes are on demand.
  bool post_copy = false;
  bool market = true;
  bool xen = false;                  // MachineOptions::xen, of all of them
  std::int64_t market_speed = 1200;  // market seconds per second: 20 minutes
  // Of the site, and of the last of the first machines unless nothing fails; empty: nobody keeps what others say.
  std::optional<ArchiveOptions> archive =
      ArchiveOptions{.look_interval = absl::Seconds(2), .retry_max = absl::Seconds(2)};
  // Each node has a key: logs are signed, and what an archive tells of others has to be proven.
  bool keys = false;
  // But for the site's, archives make up some of what they answer for nodes that are gone.
  bool archives_lie = false;
  // Of several clouds, one hub makes up some of what it lets pass, both ways.
  bool hub_lies = false;
  Retention retention;            // of all logs and archives
  ArchivedTypes archived;         // what publishers on machines wait for
  std::set<std::string> holders;  // machines with an actor that they wait for, too
  bool followers = true;          // MachineOptions::follower, of all of them; unless nothing fails
  bool listeners = false;         // likewise
  ClusterMarket prices;
  ExecutorOptions executor;
  SimulatedHostOptions host;
  FencePolicy fence;
  // Of the lease site, which is no machine of these.
  std::int64_t site_drift_ppm = 200;  // to both sides
  NodeActorsOptions site;             // its market's actors are filled in, where it has any
  // Nothing fails but what the market takes: for long runs whose subject is the choreography. Then the site alone has the market's roles;
  // who watches for failures, or waits for a role, looks once an hour; leases, clocks and disks are as of a cluster that is well; that a
  // machine ends is heard at once; nobody judges what arrives, and the cluster is looked at after a batch of deliveries instead of each.
  bool nothing_fails = false;
  std::function<void(NodeActorsOptions::Market&)> adjust_market;  // before its actors are made
  // Tests put their broken parts in here: the options of each machine before it is built.
  std::function<void(MachineOptions&)> adjust;
  std::function<void(HubMachineOptions&)> adjust_hub;
};

// Thread-bound.
class SimulatedCluster {
 public:
  static constexpr const char* site_node = "site";

  explicit SimulatedCluster(ClusterOptions options);
  ~SimulatedCluster();
  SimulatedCluster(const SimulatedCluster&) = delete;
  SimulatedCluster& operator=(const SimulatedCluster&) = delete;

  VirtualScheduler& scheduler() { return scheduler_; }
  CloudNetworks& networks() { return networks_; }
  const std::vector<std::unique_ptr<HubMachine>>& hubs() const { return hubs_; }  // by cloud
  const ClusterOptions& options() const { return options_; }
  Checker& checker() { return checker_; }
  const Deliveries& deliveries() const { return deliveries_; }
  Random& random() { return random_; }
  EventPool& pool() { return pool_; }

  // One task, then a look at everything. False: nothing is left to do.
  bool step();
  void run_for(Duration span);

  const std::vector<std::unique_ptr<SimulatedMachine>>& machines() const { return machines_; }
  SimulatedMachine* machine(std::string_view name);  // null: none

  // The lease site is a machine of its own; its table survives it.
  void kill_site();
  void start_site();
  MemoryLeaseTable* table();
  const LeaseContents& leases() const { return lease_disk_.contents; }

  // What a person does: a request to the executor of a node.
  using Told = std::function<void(const absl::StatusOr<Message<schema::Response>>&)>;
  // They may let go of it, and hear how far it is.
  std::shared_ptr<Call> ask(const std::string& node, Message<schema::Request> request,
                            Told told = nullptr, Call::OnProgress on_progress = nullptr);
  std::shared_ptr<Call> ask(const Address& to, Message<schema::Request> request,
                            Told told = nullptr, Call::OnProgress on_progress = nullptr);
  // At "10.0.0.<address>"; without one its name is the last part. It reads of the resource that lives with the last of the first
  // machines.
  void create_vm(const std::string& node, const std::string& name, schema::DiskLoss loss,
                 const std::string& address = "");
  void create_vm(const std::string& node, Message<schema::VmSpec> spec);
  void migrate(const std::string& node, const std::string& vm, const std::string& target);

  // A machine that never comes back, and neither does its disk.
  void lose_machine(SimulatedMachine& machine);
  bool lost(const SimulatedMachine& machine) const { return lost_.contains(machine.name()); }

  // Rented once, and not any more: revoked, or returned.
  bool given_up(const SimulatedMachine& machine) const {
    return given_up_.contains(machine.name());
  }

  // What the account has running.
  const std::map<std::string, Instance>& rented() const { return rented_; }  // by id

  const MarketClock& market_clock() const { return market_clock_; }
  FeedFaults& feed_faults() { return feed_faults_; }
  // Spot places whose prices the generated market makes; empty without it.
  const std::vector<PlaceName>& spot_places() const { return spot_places_; }

  // Faults in hypervisor calls, per million.
  void set_call_faults(std::uint64_t slow_per_million, std::uint64_t failing_per_million);

  // All machines' logs, those of lost disks too, in order of (time, id): what an observer would have seen. `wanted`: by topic; empty:
  // all.
  std::vector<Event> history(const std::function<bool(std::string_view topic)>& wanted = nullptr);
  std::uint64_t logged() const;  // how many that are
  // The logs of nodes, by name; of one that was lost, as it was then. A machine may have lost its disk before.
  struct NodeLog {
    std::string node;
    const MemoryLogDisk* disk = nullptr;
    bool lost = false;
  };
  std::vector<NodeLog> node_logs() const;
  // Whether the log of its node has it, byte for byte.
  bool logged(const Event& event) const;
  // What archives have on their disks, by the names of their nodes; without those that were lost.
  std::map<std::string, const MemoryLogDisk*> archives() const;
  std::map<std::string, std::uint64_t> archive_disks() const;  // Checker::Eyes
  void set_site_archive_full(bool full);
  // The same as one log; the bytes are this cluster's, and valid until it goes on.
  LogImage log_image();
  // A digest of every byte of every log, machine by machine.
  std::uint64_t log_digest() const;
  std::uint64_t steps() const { return steps_; }

 private:
  ClusterKeys* keys() { return options_.keys ? &keys_ : nullptr; }
  class Faults;
  class Account;
  struct Site;

  void look();
  void look_at_leases();
  std::vector<const MemoryLogDisk*> log_disks() const;
  std::vector<const MemoryLogDisk::Stored*> stored_history(
      const std::function<bool(std::string_view topic)>& wanted);
  void forget_removed_leases();
  NodeActorsOptions::Market market_actors();
  Provider* provider();  // null: no market
  void add_hubs();
  void add_machine(const std::string& name, const PlaceName& place, const std::string& instance);
  void launched(const Instance& instance);
  void gone(const Instance& instance);

  ClusterOptions options_;
  Random random_;
  VirtualScheduler scheduler_;
  MachineScheduler site_clock_;
  EventPool pool_;
  Checker checker_;
  Deliveries deliveries_;
  ClusterKeys keys_;
  CloudNetworks networks_;
  MemoryLinkHub links_;
  MarketClock market_clock_;
  FeedFaults feed_faults_;
  std::vector<PlaceName> spot_places_;
  std::unique_ptr<Faults> faults_;
  MemoryLeaseDisk lease_disk_;
  MemoryLogDisk site_log_, site_archive_;
  std::unique_ptr<Site> site_;
  std::unique_ptr<Account> account_;
  std::vector<std::unique_ptr<HubMachine>> hubs_;
  std::vector<std::unique_ptr<SimulatedMachine>> machines_;
  std::map<std::string, SimulatedMachine*, std::less<>> machines_by_name_;
  std::unique_ptr<BusReceiver> client_;
  std::unique_ptr<SimulatedBus> client_bus_;
  std::map<std::string, std::uint64_t> seen_revisions_;  // by lease key
  std::uint64_t looked_changes_ = 0;                     // MemoryLeaseDisk::lease_changes
  std::set<std::string> lost_, given_up_;                // machines
  std::map<std::string, Instance> rented_;
  std::vector<std::pair<std::string, MemoryLogDisk>> lost_logs_;  // the disks of lost machines
  std::uint64_t steps_ = 0;
};

}  // namespace supercloud
