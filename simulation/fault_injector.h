// What goes wrong in a run, and what users do meanwhile: drawn from the seed, overlapping, all of it told for the story.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "simulation/cluster.h"

namespace supercloud {

struct FaultOptions {
  Duration between_min = absl::Milliseconds(100);  // two draws
  Duration between_max = absl::Milliseconds(2500);
  bool commands = true;  // users migrate, cancel, pause, stop, create, destroy
  bool network = true;
  // subscribers that take nothing of what is published for a while
  bool slow_subscribers = true;
  // connections of which one end is gone
  bool half_open_links = true;
  bool processes = true;   // daemons killed, actors failed
  bool machines = true;    // power, freezes; one may be lost for good
  bool table = true;       // the lease site
  bool hypervisor = true;  // slow and failing calls, dying guests, cut streams
  bool disks = true;       // full logs
  bool domains =
      true;  // of machines that are Xen hosts: they come, change and go, and so does the XenStore's daemon
  // the moment at which an epoch changes hands: swaps that arrive late, and whatever of the above is wanted, just as one arrives
  bool swaps = true;
  // the moment between log and send: daemons killed, and power lost, when what others get is on the disk and nobody has got it
  bool commits = true;
  // where the cluster has a generated one: feeds that stop, prices that spike
  bool market = true;
  // where there are several clouds: their hubs killed and frozen, ways between clouds cut, lossy and slow
  bool hubs = true;
};

struct InjectedFault {
  Instant at;
  std::string what;
};

// Thread-bound; the cluster outlives it.
class FaultInjector {
 public:
  FaultInjector(SimulatedCluster& cluster, Random random, FaultOptions options);

  // Draws from now until `end`, by timers of the world.
  void run(Instant end);
  // Everything works again, but for machines that were lost for good.
  void heal();

  const std::vector<InjectedFault>& story() const { return story_; }
  // Durable events that were in their node's log when it was struck, and that it had not sent.
  std::uint64_t unsent() const { return unsent_; }

 private:
  using Fault = std::function<void()>;

  void arm();
  void draw();
  void later(Duration delay, std::function<void()> task);
  Duration span(Duration low, Duration high);
  SimulatedMachine& any_machine();
  std::string any_vm();
  HubMachine& any_hub();
  std::string any_process();  // a daemon's name, the site's, or a hub's
  std::string holder(const std::string& vm);
  void tell(std::string what);

  void partition();
  void one_sided();
  void lossy();
  void slow_subscriber();
  void half_open_link();
  void kill_hub();
  void freeze_hub();
  void cut_clouds();
  void lossy_clouds();
  void kill_daemon();
  void kill(SimulatedMachine& machine);
  void stop_daemon();
  void start_later(SimulatedMachine& machine);
  void fail_actor();
  void power_cycle();
  void power_cycle(SimulatedMachine& machine);
  void lose_machine();
  void freeze();
  void freeze(SimulatedMachine& machine);
  void kill_site();
  void table_outage();
  void lose_table_replies();
  void late_swaps();
  void cut_off_at_swap();
  void freeze_at_swap();
  void kill_daemon_at_swap();
  void kill_site_at_swap();
  // What befalls the machine whose swap of an epoch is the next to arrive at the table.
  void strike_next_swap(std::function<void(SimulatedMachine& machine)> strike);
  void watch_swaps();
  void kill_daemon_at_commit();
  void lose_power_at_commit();
  void strike_next_commit(std::function<void(SimulatedMachine& machine)> strike);
  Duration swap_arrives(const Swap& swap);
  void slow_calls();
  void kill_guest();
  void cut_streams();
  void await_what_follows();
  void befall_what_follows(const std::string& vm);
  void fill_log();
  void fill_archive();
  void set_archive_full(const std::string& node, bool full);
  void change_domain();
  void restart_store();
  void stop_feed();
  void spike_price();
  void migrate();
  void ask_whether();
  void cancel();
  void change_state();
  void create_or_destroy();
  void drain();
  void undrain(const std::string& node);
  void undrain_all();

  SimulatedCluster& cluster_;
  Random random_;
  FaultOptions options_;
  std::vector<Fault> faults_;
  Instant end_{};
  std::set<std::string> following_;  // VMs whose sources are needed, as last looked at
  bool healed_ = false;
  bool machine_lost_ = false;
  Instant swaps_late_until_{};
  Duration swap_late_max_;
  std::function<void(SimulatedMachine& machine)> strike_;
  std::uint64_t unsent_ = 0;
  int created_ = 0;
  std::set<std::string> drained_;  // nodes that may be draining still
  std::vector<InjectedFault> story_;
};

}  // namespace supercloud
