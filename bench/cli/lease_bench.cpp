// What the choreography stands on besides durable events (bench/bus/bus_bars.cpp): a swap at the lease site.

#include <benchmark/benchmark.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/cli/cluster.h"
#include "storage/lease_codec.h"
#include "storage/lease_site.h"

namespace supercloud {
namespace {

constexpr Duration answer_deadline = absl::Seconds(10);
constexpr Duration renew_interval = absl::Seconds(10);

void skip(benchmark::State& state, const absl::Status& why) {
  state.SkipWithError(std::string(why.message()).c_str());
}

// A new epoch of a record, as a target's commit is one: asked for over the bus, synced by the site, answered.
void lease_swap_round_trip(benchmark::State& state) {
  const auto cluster = BenchCluster::start(false);
  if (!cluster.ok()) return skip(state, cluster.status());
  ClusterClient& client = (*cluster)->client();
  const Address site{"site", std::string(lease_site_actor)};
  const auto opened =
      client.ask(site, Message<schema::Request>::build([](schema::Request::Builder builder) {
                   auto open = builder.initOpenSession();
                   open.setNode("bench");
                   open.setIdentity("bench");
                 }),
                 answer_deadline);
  if (!opened.ok()) return skip(state, opened.status());
  Swap swap;
  swap.key = "role/bench";
  swap.session = std::string(text(opened->reader().getSession().getId()));
  const auto renew = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { builder.setRenewSession(swap.session); });
  const auto send = [&] {
    swap.swap_id = absl::StrCat("bench-", swap.epoch);
    const auto request = Message<schema::Request>::build(
        [&](schema::Request::Builder builder) { write_swap(swap, builder.initSwap()); });
    return client.ask(site, request, answer_deadline);
  };
  const auto won = [&](const absl::StatusOr<Message<schema::Response>>& answer) {
    if (!answer.ok() || !answer->reader().isSwapResult()) return false;
    const auto result = answer->reader().getSwapResult();
    return result.getWon() && result.getLease().getEpoch() == ++swap.epoch;
  };
  bool good = won(send());
  swap.kind = SwapKind::RESTART;
  Instant renewed = client.loop().clock().now();
  for (auto unused : state) {
    (void)unused;
    const auto answer = send();
    good = good && won(answer);
    if (!good) break;
    if (client.loop().clock().now() - renewed < renew_interval) continue;
    state.PauseTiming();
    good = client.ask(site, renew, answer_deadline).ok();
    renewed = client.loop().clock().now();
    state.ResumeTiming();
  }
  if (!good) state.SkipWithError("a swap was not won at the next epoch");
}

BENCHMARK(lease_swap_round_trip)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace supercloud
