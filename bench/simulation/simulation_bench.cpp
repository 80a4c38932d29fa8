// How fast the simulator is: a cluster of four nodes with three VMs and a market, under virtual time.
#include <benchmark/benchmark.h>

#include "absl/strings/str_cat.h"
#include "simulation/cluster.h"

namespace supercloud {
namespace {

// An iteration is one second of virtual time, in which three VMs write, nodes beat and prices move.
void simulated_second(benchmark::State& state) {
  ClusterOptions options;
  options.seed = 7;
  SimulatedCluster cluster(options);
  cluster.run_for(absl::Seconds(2));
  for (int i = 0; i < options.vms; ++i)
    cluster.create_vm(absl::StrCat("node-", i), absl::StrCat("web", i), schema::DiskLoss::SYNC);
  cluster.run_for(absl::Seconds(2));
  const Instant begun = cluster.scheduler().now();
  const std::uint64_t steps = cluster.steps();
  for (auto unused : state) {
    (void)unused;
    cluster.run_for(absl::Seconds(1));
  }
  if (cluster.scheduler().now() - begun != absl::Seconds(1) * state.iterations())
    state.SkipWithError("virtual time went astray");
  if (cluster.leases().leases.count("vm/main/web0") == 0) state.SkipWithError("no VM was there");
  if (!cluster.checker().violations().empty()) state.SkipWithError("an invariant broke");
  state.counters["steps"] =
      benchmark::Counter(static_cast<double>(cluster.steps() - steps), benchmark::Counter::kIsRate);
  state.counters["virtual_per_real"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(simulated_second);

}  // namespace
}  // namespace supercloud
