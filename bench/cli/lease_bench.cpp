// What the choreography stands on besides durable events (bench/bus/bus_bars.cpp): a swap, at the lease site and on etcd.

#include <benchmark/benchmark.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/cli/cluster.h"
#include "storage/etcd/etcd_lease_table.h"
#include "storage/lease_codec.h"
#include "storage/lease_site.h"
#include "tests/storage/etcd/etcd_server.h"

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

// The same on an etcd of one member on this machine: one transaction, as the table remembers the record, synced and answered.
void lease_swap_on_etcd(benchmark::State& state) {
  EtcdServer server;
  if (const absl::Status started = server.start(); !started.ok()) return skip(state, started);
  EventLoop loop;
  const auto table =
      make_etcd_lease_table(loop, {.endpoints = {server.endpoint()}}, 3 * renew_interval);
  const auto wait = [&]<class T>(absl::FunctionRef<void(Reply<T>)> call) {
    std::optional<absl::StatusOr<T>> answer;
    call(Reply<T>(loop.clock().now() + answer_deadline,
                  [&](absl::StatusOr<T> with) { answer = std::move(with); }));
    loop.run_until([&] { return answer.has_value(); }, 2 * answer_deadline);
    return *std::move(answer);
  };
  const auto opened = wait.operator()<Session>(
      [&](Reply<Session> reply) { table->open_session({"bench", "bench"}, std::move(reply)); });
  if (!opened.ok()) return skip(state, opened.status());
  Swap swap;
  swap.key = "role/bench";
  swap.session = opened->id;
  const auto won = [&] {
    swap.swap_id = absl::StrCat("bench-", swap.epoch);
    const auto result = wait.operator()<SwapResult>(
        [&](Reply<SwapResult> reply) { table->swap(swap, std::move(reply)); });
    return result.ok() && result->won && result->record->epoch == ++swap.epoch;
  };
  bool good = won();
  swap.kind = SwapKind::RESTART;
  Instant renewed = loop.clock().now();
  for (auto unused : state) {
    (void)unused;
    good = good && won();
    if (!good) break;
    if (loop.clock().now() - renewed < renew_interval) continue;
    state.PauseTiming();
    good = wait.operator()<Done>(
                   [&](Reply<Done> reply) { table->renew(swap.session, std::move(reply)); })
               .ok();
    renewed = loop.clock().now();
    state.ResumeTiming();
  }
  if (!good) state.SkipWithError("a swap was not won at the next epoch");
}

const bool on_etcd = [] {
  if (EtcdServer::available())
    benchmark::RegisterBenchmark("lease_swap_on_etcd", lease_swap_on_etcd)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  return true;
}();

}  // namespace
}  // namespace supercloud
