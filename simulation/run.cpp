#include "simulation/run.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/json.h"
#include "simulation/convergence.h"

namespace supercloud {
namespace {

void count(RunResult& result, const std::vector<Event>& history) {
  result.events = history.size();
  for (const Event& event : history) {
    switch (event.type()) {
      case schema::Payload::MIGRATION_ACCEPTED:
        ++result.accepted;
        break;
      case schema::Payload::MIGRATION_COMPLETED:
        ++result.completed;
        break;
      case schema::Payload::MIGRATION_ABORTED:
        ++result.aborted;
        break;
      case schema::Payload::MIGRATION_REFUSED:
        ++result.refused;
        break;
      case schema::Payload::SPOT_INTERRUPTION_NOTICE:
        ++result.notices;
        break;
      case schema::Payload::INSTANCE_REVOKED:
        ++result.revoked;
        break;
      case schema::Payload::SPOT_FEED_LOST:
        ++result.feeds_lost;
        break;
      case schema::Payload::BUS_SLOW_SUBSCRIBER: {
        const auto slow = event.payload().getBusSlowSubscriber();
        if (text(slow.getDone()).starts_with("dropped")) result.dropped += slow.getBacklog();
        break;
      }
      case schema::Payload::VM_STARTED:
        if (text(event.payload().getVmStarted().getWhy()).find("taken over") !=
            std::string_view::npos)
          ++result.taken_over;
        break;
      default:
        break;
    }
  }
}

// Faults by the world's clock, events by their hybrid time: machines' clocks stand up to 0.2 s off.
std::vector<std::string> tell_story(const RunResult& result, const std::vector<Event>& history,
                                    absl::Time start) {
  std::multimap<std::int64_t, std::string> lines;  // equal keys keep the order in which they came
  for (const InjectedFault& fault : result.faults)
    lines.emplace(fault.at.ns, absl::StrCat("    *** ", fault.what));
  for (const Violation& violation : result.violations)
    lines.emplace(violation.at.ns, absl::StrCat("    !!! ", violation.rule, ": ", violation.what));
  for (const Event& event : history)
    lines.emplace(absl::ToInt64Nanoseconds(event.time().wall() - start), to_json(event));
  std::vector<std::string> story;
  for (const auto& [at, line] : lines)
    story.push_back(absl::StrFormat("%10.3f %s", static_cast<double>(at) / 1e9, line));
  return story;
}

// As short as what actors need of the past lets it be, where a day is as much as they ever look back, but nothing is down for longer.
constexpr Duration forgets_after = absl::Seconds(40);

// What was asked of a node may reach it so late.
constexpr Duration standby_late = absl::Seconds(5);

bool moves_are_open(SimulatedCluster& cluster) {
  return std::ranges::any_of(cluster.leases().leases, [](const auto& lease) {
    return lease.second.record.heir.has_value();
  });
}

}  // namespace

RunResult run_simulation(const RunOptions& options) {
  ClusterOptions cluster_options = options.cluster;
  cluster_options.seed = options.seed;
  // Every other one fences as late as rule 8 lets it.
  if (options.seed % 2 == 0)
    cluster_options.fence.fence_after = cluster_options.fence.fence_limit() - absl::Milliseconds(1);
  // Every third one on Xen hosts.
  if (options.seed % 3 == 0) cluster_options.xen = true;
  // Two of five with keys, and one of these with an archive that lies: that one not where there is a ledger, which does not read again
  // what it missed.
  const bool lies = options.keys && options.seed % 5 == 0 && !cluster_options.market;
  cluster_options.keys = lies || (options.keys && options.seed % 5 == 1);
  cluster_options.archives_lie = lies;
  // Every fifth over two or three clouds; not where there is a market, whose machines come and go. Two of three of these with keys, and in half of
  // them a hub lies.
  const std::uint64_t fifth = options.seed / 5;
  if (options.hubs && options.seed % 5 == 3 && !cluster_options.market) {
    cluster_options.clouds = 2 + fifth % 2;
    cluster_options.keys = options.keys && fifth % 3 != 1;
    cluster_options.hub_lies = options.keys && fifth % 3 == 0;
  }
  // On every sixth without a market, most moves take post-copy.
  if (options.seed % 6 == 4 && !cluster_options.market) {
    cluster_options.post_copy = true;
    cluster_options.host.bytes_per_second = 160 << 20U;
  }
  // Every seventh one's logs forget, and so their actors read a past that has no beginning.
  if (options.seed % 7 == 0) cluster_options.retention.age = forgets_after;
  // On every fourth, two nodes keep targets ready for all VMs.
  if (options.seed % 4 == 2) cluster_options.prepared = {"node-0", "node-1"};
  // On every third, actors with small queues listen to VMs.
  if (options.seed % 3 == 1) cluster_options.listeners = true;
  // On every fourth, what is rented, told of an access, or moved waits for an archive.
  if (options.seed % 4 == 0 && cluster_options.archived.empty())
    cluster_options.archived = {{schema::Payload::INSTANCE_REQUESTED, 1},
                                {schema::Payload::RESOURCE_ACCESSED, 1},
                                {schema::Payload::MIGRATION_ACCEPTED, 1}};
  // On every third, for two subscribers that take what they get late; so on every twelfth for those and archives.
  if (options.seed % 3 == 2 && cluster_options.holders.empty())
    cluster_options.holders = {"node-0", "node-1"};
  // Room for 4, 8 or 16 events, so that who takes none for seconds misses some.
  cluster_options.bus.high_water_mark = std::size_t{4} << (options.seed % 3);
  SimulatedCluster cluster(std::move(cluster_options));
  const absl::Time start = cluster.scheduler().wall();
  FaultInjector injector(cluster, cluster.random().fork(), options.faults);

  cluster.run_for(absl::Seconds(2));
  constexpr schema::DiskLoss losses[] = {schema::DiskLoss::SYNC, schema::DiskLoss::BOUNDED_LOSS,
                                         schema::DiskLoss::WAIT};
  for (int i = 0; i < options.cluster.vms; ++i)
    cluster.create_vm(absl::StrCat("node-", i % options.cluster.nodes), absl::StrCat("web", i),
                      losses[i % 3]);
  cluster.run_for(absl::Seconds(2));
  injector.run(cluster.scheduler().now() + options.chaos);
  cluster.run_for(options.chaos);
  injector.heal();
  cluster.run_for(options.calm + standby_late);
  // A policy may have begun a move just now, which gets its time too.
  for (int i = 0; i < 20 && moves_are_open(cluster); ++i) cluster.run_for(absl::Milliseconds(500));

  const std::vector<Event> history = cluster.history();
  demand_convergence(cluster, history);
  RunResult result;
  result.seed = options.seed;
  result.violations = cluster.checker().violations();
  result.faults = injector.story();
  result.log_digest = cluster.log_digest();
  result.steps = cluster.steps();
  for (const auto& hub : cluster.hubs()) result.relayed += hub->relayed();
  for (const auto& machine : cluster.machines())
    for (const ListenerBook& book : machine->listened()) result.let_go += book.let_go();
  result.archived = cluster.checker().told_archived();
  result.unsent = injector.unsent();
  result.found = cluster.deliveries().found();
  result.held = cluster.checker().holds().told();
  result.simulated = cluster.scheduler().wall() - start;
  count(result, history);
  if (options.keep_history) result.story = tell_story(result, history, start);
  return result;
}

}  // namespace supercloud
