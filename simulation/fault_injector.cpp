#include "simulation/fault_injector.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr Duration follows_look = absl::Milliseconds(100);

}  // namespace

FaultInjector::FaultInjector(SimulatedCluster& cluster, Random random, FaultOptions options)
    : cluster_(cluster), random_(random), options_(options) {
  const auto add = [this](bool wanted, void (FaultInjector::*fault)(), int weight) {
    for (int i = 0; wanted && i < weight; ++i)
      faults_.push_back([this, fault] { (this->*fault)(); });
  };
  add(options_.commands, &FaultInjector::migrate, 8);
  add(options_.commands, &FaultInjector::ask_whether, 2);
  add(options_.commands, &FaultInjector::cancel, 2);
  add(options_.commands, &FaultInjector::change_state, 1);
  add(options_.commands, &FaultInjector::create_or_destroy, 1);
  add(options_.commands, &FaultInjector::drain, 1);
  add(options_.network, &FaultInjector::partition, 2);
  add(options_.network, &FaultInjector::one_sided, 2);
  add(options_.network, &FaultInjector::lossy, 2);
  add(options_.slow_subscribers, &FaultInjector::slow_subscriber, 2);
  add(options_.half_open_links, &FaultInjector::half_open_link, 2);
  add(options_.processes, &FaultInjector::kill_daemon, 3);
  add(options_.processes, &FaultInjector::stop_daemon, 1);
  add(options_.processes, &FaultInjector::fail_actor, 2);
  add(options_.machines, &FaultInjector::power_cycle, 2);
  add(options_.machines, &FaultInjector::freeze, 3);
  add(options_.machines, &FaultInjector::lose_machine, 1);
  add(options_.table, &FaultInjector::kill_site, 1);
  add(options_.table, &FaultInjector::table_outage, 1);
  add(options_.table, &FaultInjector::lose_table_replies, 2);
  add(options_.swaps, &FaultInjector::late_swaps, 1);
  add(options_.swaps && options_.network, &FaultInjector::cut_off_at_swap, 1);
  add(options_.swaps && options_.machines, &FaultInjector::freeze_at_swap, 1);
  add(options_.swaps && options_.processes, &FaultInjector::kill_daemon_at_swap, 1);
  add(options_.swaps && options_.table, &FaultInjector::kill_site_at_swap, 1);
  add(options_.commits && options_.processes, &FaultInjector::kill_daemon_at_commit, 1);
  add(options_.commits && options_.machines, &FaultInjector::lose_power_at_commit, 1);
  add(options_.hypervisor, &FaultInjector::slow_calls, 2);
  add(options_.hypervisor, &FaultInjector::kill_guest, 1);
  add(options_.hypervisor, &FaultInjector::cut_streams, 2);
  add(options_.disks, &FaultInjector::fill_log, 1);
  add(options_.disks && !cluster_.archives().empty(), &FaultInjector::fill_archive, 1);
  const bool domains = options_.domains && cluster_.options().xen;
  add(domains, &FaultInjector::change_domain, 6);
  add(domains, &FaultInjector::restart_store, 1);
  const bool market = options_.market && !cluster_.spot_places().empty();
  add(market, &FaultInjector::stop_feed, 1);
  add(market, &FaultInjector::spike_price, 4);
  const bool hubs = options_.hubs && !cluster_.hubs().empty();
  add(hubs, &FaultInjector::kill_hub, 3);
  add(hubs, &FaultInjector::freeze_hub, 2);
  add(hubs, &FaultInjector::cut_clouds, 3);
  add(hubs, &FaultInjector::lossy_clouds, 2);
}

void FaultInjector::run(Instant end) {
  end_ = end;
  arm();
  if (options_.hypervisor && cluster_.options().post_copy) await_what_follows();
}

void FaultInjector::arm() {
  const Instant next =
      cluster_.scheduler().now() + span(options_.between_min, options_.between_max);
  if (next >= end_) return;
  cluster_.scheduler().at(next, [this] {
    draw();
    arm();
  });
}

void FaultInjector::draw() {
  if (healed_ || faults_.empty()) return;
  const std::size_t index = random_.below(faults_.size());
  faults_[index]();
}

Duration FaultInjector::span(Duration low, Duration high) {
  return absl::Microseconds(
      random_.between(absl::ToInt64Microseconds(low), absl::ToInt64Microseconds(high)));
}

void FaultInjector::later(Duration delay, std::function<void()> task) {
  cluster_.scheduler().at(cluster_.scheduler().now() + delay, [this, task = std::move(task)] {
    if (!healed_) task();
  });
}

void FaultInjector::tell(std::string what) {
  story_.push_back({cluster_.scheduler().now(), std::move(what)});
}

SimulatedMachine& FaultInjector::any_machine() {
  std::vector<SimulatedMachine*> rented;
  for (const auto& machine : cluster_.machines())
    if (!cluster_.given_up(*machine)) rented.push_back(machine.get());
  if (rented.empty()) return *cluster_.machines().front();
  const std::size_t index = random_.below(rented.size());
  return *rented[index];
}

std::string FaultInjector::any_process() {
  if (options_.hubs && !cluster_.hubs().empty() && random_.chance(200'000)) return any_hub().name();
  return random_.chance(200'000) ? SimulatedCluster::site_node : any_machine().name();
}

std::string FaultInjector::any_vm() {
  std::vector<std::string> vms;
  for (const auto& [key, stored] : cluster_.leases().leases)
    if (key.starts_with("vm/main/")) vms.push_back(key.substr(8));
  if (vms.empty()) return "web0";
  const std::size_t index = random_.below(vms.size());
  return vms[index];
}

std::string FaultInjector::holder(const std::string& vm) {
  const auto found = cluster_.leases().leases.find("vm/main/" + vm);
  return found == cluster_.leases().leases.end() ? any_machine().name()
                                                 : found->second.record.holder;
}

// ---- processes and machines --------------------------------------------------------------------------------------------

void FaultInjector::kill_daemon() { kill(any_machine()); }

void FaultInjector::kill(SimulatedMachine& machine) {
  if (!machine.daemon_runs() || machine.frozen()) return;
  tell("kill -9 of the daemon of " + machine.name());
  machine.kill_daemon(random_.chance(500'000));
  start_later(machine);
}

void FaultInjector::start_later(SimulatedMachine& machine) {
  later(span(absl::Milliseconds(50), absl::Seconds(6)), [this, &machine] {
    if (!machine.powered() || machine.daemon_runs()) return;
    tell("the daemon of " + machine.name() + " starts");
    machine.start_daemon();
  });
}

void FaultInjector::stop_daemon() {
  SimulatedMachine& machine = any_machine();
  if (!machine.daemon_runs() || machine.frozen()) return;
  tell("the daemon of " + machine.name() + " is told to end");
  machine.stop_daemon([this, &machine] {
    tell("the daemon of " + machine.name() + " has ended");
    if (healed_)
      machine.start_daemon();
    else
      start_later(machine);
  });
}

void FaultInjector::fail_actor() {
  SimulatedMachine& machine = any_machine();
  const std::vector<std::string> names = machine.actors();
  if (names.empty()) return;
  const std::size_t index = random_.below(names.size());
  tell(absl::StrCat("the actor ", names[index], " of ", machine.name(), " fails"));
  machine.fail_actor(names[index]);
}

void FaultInjector::power_cycle() { power_cycle(any_machine()); }

void FaultInjector::power_cycle(SimulatedMachine& machine) {
  if (!machine.powered()) return;
  tell(machine.name() + " loses its power");
  machine.power_off(false, random_);
  later(span(absl::Milliseconds(500), absl::Seconds(10)), [this, &machine] {
    if (machine.powered() || cluster_.lost(machine)) return;
    tell(machine.name() + " has power again");
    machine.power_on();
    machine.start_daemon();
  });
}

void FaultInjector::lose_machine() {
  SimulatedMachine& machine = any_machine();
  if (machine_lost_ || !machine.powered() || !random_.chance(500'000)) return;
  machine_lost_ = true;
  tell(machine.name() + " is lost for good, with its disk");
  cluster_.lose_machine(machine);
}

void FaultInjector::freeze() { freeze(any_machine()); }

void FaultInjector::freeze(SimulatedMachine& machine) {
  if (!machine.powered() || machine.frozen()) return;
  tell(machine.name() + " freezes as a whole");
  machine.freeze();
  later(span(absl::Milliseconds(100), absl::Seconds(8)), [this, &machine] {
    if (!machine.frozen()) return;
    tell(machine.name() + " thaws");
    machine.thaw();
  });
}

void FaultInjector::kill_site() {
  tell("kill -9 of the lease site");
  cluster_.kill_site();
  later(span(absl::Milliseconds(100), absl::Seconds(6)), [this] {
    tell("the lease site starts");
    cluster_.start_site();
  });
}

void FaultInjector::table_outage() {
  if (cluster_.table() == nullptr) return;
  tell("the lease table is out of reach");
  cluster_.table()->set_outage(true);
  later(span(absl::Milliseconds(100), absl::Seconds(6)), [this] {
    if (cluster_.table() == nullptr) return;
    tell("the lease table is back");
    cluster_.table()->set_outage(false);
  });
}

void FaultInjector::lose_table_replies() {
  if (cluster_.table() == nullptr) return;
  const std::uint64_t count = 1 + random_.below(4);
  tell(absl::StrCat("the next ", count, " answers of the lease table are lost"));
  cluster_.table()->lose_replies(count);
}

// ---- around a swap ---------------------------------------------------------------------------------------------------

void FaultInjector::late_swaps() {
  swap_late_max_ = span(absl::Milliseconds(200), absl::Seconds(5));
  swaps_late_until_ = cluster_.scheduler().now() + span(absl::Seconds(1), absl::Seconds(10));
  tell(absl::StrCat("for a while every other swap reaches the lease table late, by up to ",
                    absl::FormatDuration(swap_late_max_)));
  watch_swaps();
}

// It takes effect, and its sender does not hear of it: its session may end meanwhile, or go on.
void FaultInjector::cut_off_at_swap() {
  const Duration lasts = span(absl::Milliseconds(300), absl::Seconds(8));
  strike_next_swap([this, lasts](SimulatedMachine& machine) {
    const std::string& node = machine.name();
    tell(node + " and the lease site do not hear each other");
    cluster_.networks().block(node, "site");
    cluster_.networks().block("site", node);
    later(lasts, [this, node] {
      tell(node + " and the lease site hear each other again");
      cluster_.networks().unblock(node, "site");
      cluster_.networks().unblock("site", node);
    });
  });
}

void FaultInjector::freeze_at_swap() {
  strike_next_swap([this](SimulatedMachine& machine) { freeze(machine); });
}

void FaultInjector::kill_daemon_at_swap() {
  strike_next_swap([this](SimulatedMachine& machine) { kill(machine); });
}

void FaultInjector::kill_site_at_swap() {
  strike_next_swap([this](SimulatedMachine&) { kill_site(); });
}

void FaultInjector::strike_next_swap(std::function<void(SimulatedMachine& machine)> strike) {
  strike_ = std::move(strike);
  watch_swaps();
}

// As all faults of the table, until its site ends.
void FaultInjector::watch_swaps() {
  if (cluster_.table() == nullptr) return;
  cluster_.table()->set_swap_gate([this](const Swap& swap) { return swap_arrives(swap); });
}

Duration FaultInjector::swap_arrives(const Swap& swap) {
  if (healed_) return absl::ZeroDuration();
  const std::string node = swap.session.substr(0, swap.session.find(':'));
  const bool of_epoch = swap.kind == SwapKind::COMMIT || swap.kind == SwapKind::RECLAIM ||
                        swap.kind == SwapKind::RESTART || swap.kind == SwapKind::TAKEOVER;
  SimulatedMachine* machine = cluster_.machine(node);
  if (strike_ && of_epoch && machine != nullptr) {
    tell(absl::StrCat("just as a swap by ", node, " of ", swap.key, " at epoch ", swap.epoch,
                      " arrives:"));
    // Not within the table's turn, and before the swap is on its disk.
    later(absl::ZeroDuration(),
          [machine, strike = std::exchange(strike_, nullptr)] { strike(*machine); });
  }
  if (cluster_.scheduler().now() >= swaps_late_until_ || !random_.chance(500'000))
    return absl::ZeroDuration();
  return span(absl::ZeroDuration(), swap_late_max_);
}

// ---- between log and send --------------------------------------------------------------------------------------------

void FaultInjector::kill_daemon_at_commit() {
  strike_next_commit([this](SimulatedMachine& machine) { kill(machine); });
}

void FaultInjector::lose_power_at_commit() {
  strike_next_commit([this](SimulatedMachine& machine) { power_cycle(machine); });
}

void FaultInjector::strike_next_commit(std::function<void(SimulatedMachine& machine)> strike) {
  SimulatedMachine& machine = any_machine();
  machine.strike_at_commit([this] { return !healed_; },
                           [this, &machine, strike = std::move(strike)](std::size_t events) {
                             unsent_ += events;
                             tell(absl::StrCat("just as ", machine.name(), " has logged ", events,
                                               " events that it has to send:"));
                             strike(machine);
                             if (!healed_) return;
                             machine.kill_daemon(false);
                             machine.power_on();
                             machine.start_daemon();
                           });
}

// ---- hypervisor and disks ----------------------------------------------------------------------------------------------

void FaultInjector::slow_calls() {
  const std::uint64_t slow = random_.below(300'000);
  const std::uint64_t failing = random_.below(150'000);
  tell(absl::StrCat("hypervisor calls: ", slow / 10'000, " % slow, ", failing / 10'000,
                    " % failing"));
  cluster_.set_call_faults(slow, failing);
  later(span(absl::Seconds(1), absl::Seconds(10)), [this] {
    tell("hypervisor calls are as before");
    cluster_.set_call_faults(0, 0);
  });
}

void FaultInjector::kill_guest() {
  const std::string vm = any_vm();
  SimulatedMachine& machine = any_machine();
  tell(absl::StrCat("the guest process of ", vm, " on ", machine.name(), ", if any, dies"));
  machine.kill_guest("main/" + vm);
}

void FaultInjector::cut_streams() {
  SimulatedMachine& machine = any_machine();
  tell("the page streams of " + machine.name() + " are cut");
  machine.cut_streams();
}

// Of most moves by post-copy the stream is cut while memory follows, or the source dies.
void FaultInjector::await_what_follows() {
  std::set<std::string> now;
  for (const auto& machine : cluster_.machines())
    for (const GuestProbe& probe : machine->probes())
      if (probe.needed) now.insert(probe.vm);
  for (const std::string& vm : now)
    if (!following_.contains(vm))
      later(span(absl::ZeroDuration(), absl::Seconds(1)), [this, vm] { befall_what_follows(vm); });
  following_ = std::move(now);
  if (cluster_.scheduler().now() < end_) later(follows_look, [this] { await_what_follows(); });
}

void FaultInjector::befall_what_follows(const std::string& vm) {
  const std::uint64_t which = random_.below(4);
  for (const auto& machine : cluster_.machines())
    for (const GuestProbe& probe : machine->probes()) {
      if (probe.vm != vm || !probe.needed) continue;
      if (which < 2) {
        tell(absl::StrCat("the page streams of ", machine->name(), " are cut, while memory of ", vm,
                          " follows"));
        return machine->cut_streams();
      }
      if (which == 2) {
        tell(absl::StrCat("the source of ", vm, " on ", machine->name(),
                          " dies, while its memory follows"));
        return machine->kill_guest(vm);
      }
    }
}

void FaultInjector::fill_log() {
  SimulatedMachine& machine = any_machine();
  tell("the log's disk of " + machine.name() + " is full");
  machine.set_log_full(true);
  later(span(absl::Milliseconds(100), absl::Seconds(4)), [this, &machine] {
    tell("the log's disk of " + machine.name() + " has room again");
    machine.set_log_full(false);
  });
}

void FaultInjector::fill_archive() {
  const auto archives = cluster_.archives();
  if (archives.empty()) return;
  const std::string node =
      std::next(archives.begin(), static_cast<std::ptrdiff_t>(random_.below(archives.size())))
          ->first;
  tell("the archive's disk of " + node + " is full");
  set_archive_full(node, true);
  later(span(absl::Milliseconds(100), absl::Seconds(4)), [this, node] {
    tell("the archive's disk of " + node + " has room again");
    set_archive_full(node, false);
  });
}

void FaultInjector::set_archive_full(const std::string& node, bool full) {
  if (SimulatedMachine* machine = cluster_.machine(node))
    machine->set_archive_full(full);
  else
    cluster_.set_site_archive_full(full);
}

// ---- Xen's domains -----------------------------------------------------------------------------------------------------

void FaultInjector::change_domain() {
  SimulatedMachine& machine = any_machine();
  if (machine.xen() == nullptr) return;
  SimulatedXen& xen = *machine.xen();
  const std::vector<DomainStatus> domains = *xen.list();
  if (domains.size() == 1 || random_.chance(300'000)) {
    const std::string name = absl::StrCat("guest", random_.below(1000));
    const auto id = xen.create_domain(name, std::uint64_t{1} << 30U, 1);
    if (id.ok()) tell(absl::StrCat(machine.name(), " starts domain ", *id, ", ", name));
    return;
  }
  const DomainId id = domains[1 + random_.below(domains.size() - 1)].id;
  using State = DomainStatus::State;
  constexpr State states[] = {State::running,   State::paused,  State::suspended,
                              State::shut_down, State::crashed, State::dying};
  const std::size_t choice = random_.below(std::size(states) + 2);
  tell(absl::StrCat("domain ", id, " of ", machine.name(),
                    choice < std::size(states) ? " changes" : " goes"));
  if (choice < std::size(states))
    xen.set_state(id, states[choice]);
  else
    xen.destroy_domain(id);
}

void FaultInjector::restart_store() {
  SimulatedMachine& machine = any_machine();
  if (machine.xen() == nullptr || !machine.xen()->store_runs()) return;
  tell("the XenStore of " + machine.name() + " ends");
  machine.xen()->stop_store();
  later(span(absl::Milliseconds(10), absl::Seconds(4)), [this, &machine] {
    if (machine.xen() == nullptr) return;
    tell("the XenStore of " + machine.name() + " is back");
    machine.xen()->start_store(random_.chance(500'000));
  });
}

// ---- the market --------------------------------------------------------------------------------------------------------

void FaultInjector::stop_feed() {
  if (cluster_.feed_faults().stopped()) return;
  tell("the price feed stops");
  cluster_.feed_faults().set_stopped(true);
  later(span(absl::Seconds(1), absl::Seconds(30)), [this] {
    tell("the price feed goes on");
    cluster_.feed_faults().set_stopped(false);
  });
}

void FaultInjector::spike_price() {
  const auto& places = cluster_.spot_places();
  const std::size_t index = random_.below(places.size());
  const std::int64_t on_demand = cluster_.options().prices.on_demand_per_hour.nano_usd;
  const Money price{on_demand * random_.between(80, 400) / 100};
  const Duration lasts = span(absl::Milliseconds(500), absl::Seconds(8));
  tell(absl::StrCat("the price of ", places[index].id(), " spikes to ", to_string(price), " for ",
                    absl::FormatDuration(lasts)));
  const MarketClock& market = cluster_.market_clock();
  cluster_.feed_faults().spike(places[index], price, market.at(cluster_.scheduler().wall()),
                               lasts * market.speed);
}

void FaultInjector::heal() {
  healed_ = true;
  tell("all faults end");
  cluster_.networks().heal();
  cluster_.networks().calm();
  for (const auto& hub : cluster_.hubs()) {
    hub->thaw();
    hub->start();
  }
  cluster_.set_call_faults(0, 0);
  // A market that went on would have VMs on their way for ever.
  cluster_.feed_faults().set_stopped(false);
  cluster_.feed_faults().rest(cluster_.market_clock().at(cluster_.scheduler().wall()));
  cluster_.start_site();
  cluster_.set_site_archive_full(false);
  cluster_.table()->set_outage(false);
  cluster_.table()->lose_replies(0);
  for (const auto& machine : cluster_.machines()) {
    machine->thaw();
    if (cluster_.lost(*machine)) continue;
    machine->power_on();
    machine->start_daemon();
    machine->set_log_full(false);
    machine->set_archive_full(false);
    if (machine->xen() != nullptr) machine->xen()->start_store(true);
  }
  undrain_all();
}

}  // namespace supercloud
